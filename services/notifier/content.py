"""What was written, while it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A letter's PDF or an email's words, and the values that a caller gave for it. The `repr` shows none of it."""

    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    pdf: bytes | None = field(default=None, repr=False)
    email: Mapping[str, str] | None = field(default=None, repr=False)


NOTHING_KEPT = Content()
