"""Ids: UUIDv7 strings, made at the edge and passed in."""

from __future__ import annotations

import re
from datetime import datetime

from uuid_utils import uuid7

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def new_id() -> str:
    """A new UUIDv7, lower case, 36 characters; sorts by the millisecond it was made in."""
    return str(uuid7())


def first_id_at(moment: datetime) -> str:
    """An id that sorts before all that are made from that millisecond on, and after all that were made before it."""
    number = f"{int(moment.timestamp() * 1000):012x}"
    return f"{number[:8]}-{number[8:]}-0000-0000-000000000000"


def is_id(value: object) -> bool:
    """Whether the value is written exactly as our ids are."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None
