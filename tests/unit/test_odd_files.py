"""What scanners, phones and programs make is taken whole, refused when part of it is missing, and never mistaken."""

from __future__ import annotations

import io

import pytest

from services.document.parsing.errors import Reason, Unreadable, UnsupportedPicture
from services.document.parsing.inspect import inspect
from tests.odd import jpegs, pdfs, pngs, tiffs
from tests.odd.said import Said

CASES = [*jpegs.cases(), *pngs.cases(), *tiffs.cases(), *pdfs.cases()]


class Held(io.BytesIO):
    """A file in memory."""

    @property
    def size(self) -> int:
        return len(self.getbuffer())


@pytest.mark.parametrize("said", CASES, ids=[said.name for said in CASES])
def test_of_each_kind_of_file_what_is_true_is_said(said: Said) -> None:
    file = Held(said.data)
    if said.refusal is None:
        found = inspect(file, password=said.password)
        assert (found.pages, found.warnings, found.locked) == (said.pages, said.warnings, said.locked)
        return
    with pytest.raises((Unreadable, UnsupportedPicture)) as caught:
        inspect(file, password=said.password)
    error = caught.value
    assert (error.reason if isinstance(error, Unreadable) else error.feature) is said.refusal
    assert (said.refusal is Reason.BROKEN) == ("is damaged" in error.detail)
