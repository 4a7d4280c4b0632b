"""A file's bytes as an upload has them, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from services.document.parsing.errors import Reason, Unreadable
from services.document.parsing.inspect import inspect
from services.document.parsing.inspection import Inspection
from services.document.upload.spool import Spool
from shared.errors import Problem

#: Says what the bytes are, or raises the problem that an upload of them is answered with.
Look = Callable[[bytes], Inspection]


def look_in(folder: Path) -> Look:
    """Look at bytes that lie in a spool in this folder."""

    def looked(data: bytes) -> Inspection:
        with Spool(folder) as spool:
            spool.write(data)
            return inspect(spool)

    return looked


def reason(look: Look, data: bytes) -> Reason:
    """Why the file is unreadable, which it is."""
    with pytest.raises(Unreadable) as caught:
        look(data)
    assert caught.value.name == "unreadable-file"
    return caught.value.reason


def status(look: Look, data: bytes) -> int:
    """Of the answer to an upload of these bytes. What isn't an answer comes through."""
    try:
        look(data)
    except Problem as problem:
        return problem.status
    return 201
