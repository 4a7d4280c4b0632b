"""What scanners, phones and programs make is taken whole, refused when part of it is missing, and never mistaken."""

from __future__ import annotations

import io

import pytest

from services.document.parsing.errors import Reason, Unreadable, UnsupportedPicture
from services.document.parsing.inspect import inspect
from services.document.parsing.previews import preview
from tests.odd import jpegs, pdfs, pngs, tiffs
from tests.odd.said import Said

CASES = [*jpegs.cases(), *pngs.cases(), *tiffs.cases(), *pdfs.cases()]


class Held(io.BytesIO):
    """A file in memory."""

    @property
    def size(self) -> int:
        return len(self.getbuffer())

    def readall(self) -> bytes:
        return self.read()


TAKEN = [said for said in CASES if said.refusal is None and not said.warnings and said.password is None]


@pytest.mark.parametrize("said", TAKEN, ids=[said.name for said in TAKEN])
def test_no_preview_calls_a_file_damaged_that_was_taken_for_whole(said: Said) -> None:
    media_type, out = inspect(Held(said.data)).media_type, io.BytesIO()
    try:
        preview(Held(said.data), out, media_type=media_type, page=1, width=64)
    except Unreadable as error:
        assert error.reason is Reason.NOT_SHOWN  # noqa: PT017 - either will do
    else:
        assert out.getvalue().startswith(b"\x89PNG")


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
