"""Changes: the rows that the change feed tells of carry MongoDB's own time of their last write.

`changed` is a timestamp of the cluster, which MongoDB puts in as it writes the row: no two are the same, they only
grow, and no process's clock has a part in them. It costs no call and no row, since the record is written anyway. A
record that is removed leaves a row in `removals`; an erased case has its closed gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from bson.timestamp import Timestamp
from pymongo import ASCENDING
from pymongo.collection import Collection

from shared.fields import Field, Name

#: The field of a row, and what a writer puts there for MongoDB to replace (as it does at a document's top level).
CHANGED: Final = "changed"
UNSET: Final = Timestamp(0, 0)
#: The same for a row that is updated rather than replaced.
NOW: Final[Mapping[str, Any]] = {"$currentDate": {CHANGED: {"$type": "timestamp"}}}
#: The store of removed records, and the kind that stands for the case itself.
REMOVALS: Final = "removals"
CASE: Final = "case"
REMOVAL_CLEAR: Final[Mapping[str, Field]] = {"kind": Name()}


class What(StrEnum):
    """What became of a record, or of a case."""

    CREATED = "created"
    CHANGED = "changed"
    REMOVED = "removed"
    ERASED = "erased"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """How the change feed tells of a store's records.

    kind: what it calls them. id: the field with the id that it gives. appended: each record says that another one has
    changed (the end of a consent), so that it is never `created`.
    """

    kind: str
    id: str = "_id"
    appended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """A record that was removed from a case that lives on; it goes with the case. kind: as its store's feed says."""

    id: str
    case_id: str
    kind: str


def index_changes(rows: Collection[dict[str, Any]]) -> None:
    """Make the index that the feed reads. Rows that were never told of aren't in it."""
    rows.create_index([(CHANGED, ASCENDING)], sparse=True)
