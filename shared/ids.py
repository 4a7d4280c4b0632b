"""Ids: UUIDv7 strings, made at the edge and passed in."""

from __future__ import annotations

import re

from uuid_utils import uuid7

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def new_id() -> str:
    """A new UUIDv7, lower case, 36 characters; sorts by the millisecond it was made in."""
    return str(uuid7())


def is_id(value: object) -> bool:
    """Whether the value is written exactly as our ids are."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None
