"""Organisations that a consent, a contact or a document can name by an id. One goes once no case names it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from shared.clock import CLOCKS_DIFFER

KINDS: Final = ("local_authority", "school", "health", "social_care", "charity", "other")
#: How long an organisation that was entered waits to be named by a case.
UNNAMED_KEPT: Final = timedelta(days=30)
#: How long one is ending before it is removed. A transaction that named it without having seen that it ends is over by
#: then: MongoDB ends one after five seconds at most. The rest is for clocks that differ.
SETTLES: Final = CLOCKS_DIFFER + timedelta(seconds=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Organisation:
    """One organisation. It is of no case, so its name is sealed under a key of its own.

    ending_at: since when it is ending, because no case named it; no case may name it from then on. all_known: whether
    everything that names it is known here; of one that version 0.2 entered, other services may have records that name
    it and were never told of here, so it stays.
    """

    id: str
    name: str
    kind: str
    ending_at: datetime | None = None
    all_known: bool = False
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """A case names an organisation in a record of another service that rests on no consent to that organisation."""

    id: str
    case_id: str
    organisation: str
    version: int = 1


class Next(Enum):
    """What becomes of an organisation."""

    KEEP = "keep"
    END = "end"
    WAIT = "wait"
    REMOVE = "remove"


def next_of(organisation: Organisation, *, named: bool, now: datetime) -> Next:
    """named: whether a case names it at this moment."""
    since = organisation.ending_at
    if named or not organisation.all_known:
        return Next.KEEP
    # A time ahead was written by a clock that has been put right since.
    if since is None or since > now + CLOCKS_DIFFER:
        return Next.END
    return Next.WAIT if now < since + SETTLES else Next.REMOVE


def with_end(organisation: Organisation, at: datetime | None) -> Organisation:
    """The organisation, ending since then; None: not ending any more."""
    return replace(organisation, ending_at=at)


def organisation_key(id: str) -> str:
    """The name of the key that one organisation is sealed under."""
    return f"organisation:{id}"
