"""The change feed of one service: its stores' records by the time of their last write, in pages that miss nothing.

Rows become visible out of the order of their times, since a transaction writes before it commits. A reader therefore
goes through the newest ones again: where it begins next is a time of the cluster that is at least ten seconds old. By
then every transaction that wrote before it is over: MongoDB ends one after `transactionLifetimeLimitSeconds` (3, in
every installation of ours), and a writer of ours gives up after eight seconds (`transactions`). The ten seconds are
those of this process's monotonic clock: neither a wall clock that is wrong nor one that is put right can make them
shorter.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from bson.timestamp import Timestamp
from pymongo.client_session import ClientSession
from pymongo.read_concern import ReadConcern

from shared.db.changes import CHANGED, REMOVALS, Feed, What
from shared.db.gates import CLOSED
from shared.db.register import Register

Row = dict[str, Any]
BEGINNING: Final = Timestamp(0, 0)
#: Longer than any transaction lasts, by far.
SETTLED_SECONDS: Final = 10.0
# `now` begins so far back. It is by the database's clock alone, and may be generous: a few items more are told.
_NOW_SECONDS: Final = 60
_SAMPLED_SECONDS: Final = 0.5
# The same of what is settled while nothing is known: a database's clock isn't put right by a day.
_SURELY_SECONDS: Final = 86_400
_GATES: Final = "gates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far a reader has come. generation: of the data, which a restore changes. at: of the last item that it has.

    again: where it goes on once it has read to the end; later than `at`, or the same, where it is not on the way there.
    """

    generation: int
    at: Timestamp
    again: Timestamp

    @property
    def is_start(self) -> bool:
        return self.at == self.again


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One item. id: of the record that the kind names. case_id: None where a record is of no case."""

    id: str
    kind: str
    case_id: str | None
    at: datetime
    what: What


class RestoredSince(Exception):
    """The data was restored from a backup after this place was given: what came after it may have gone."""


class Settled:
    """Which time of the cluster is so old that no transaction which wrote before it goes on: sampled at each read."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, Timestamp]] = deque()
        self._lock = threading.Lock()

    def sample(self, seen: Timestamp) -> Timestamp:
        """The newest settled time. seen: the cluster's time now.

        Later writes have later times than `seen`, whatever its wall clock does. Before this process has read for ten
        seconds it is a day ago, so that a reader who begins with everything isn't sent back to the beginning.
        """
        with self._lock:
            now = self._clock()
            if not self._samples or now - self._samples[-1][0] >= _SAMPLED_SECONDS:
                self._samples.append((now, seen))
            while len(self._samples) > 1 and now - self._samples[1][0] >= SETTLED_SECONDS:
                self._samples.popleft()
            since, settled = self._samples[0]
            return settled if now - since >= SETTLED_SECONDS else _earlier(seen, _SURELY_SECONDS)


class ChangeFeed:
    """What changed in one service. kinds: what its stores' records are called, and `case`."""

    def __init__(self, register: Register, *, last_restore: Callable[[ClientSession], datetime | None]) -> None:
        """last_restore: when the data was last restored from a backup, read in this session; None: never."""
        self._client = register.unit_of_work.client
        self._db = register.unit_of_work.db.with_options(read_concern=ReadConcern("majority"))
        self._last_restore = last_restore
        self._settled = Settled()
        told = {name: getattr(store, "feed", None) for name, store in register.stores.items()}
        self._stores: dict[str, Feed] = {name: feed for name, feed in told.items() if feed is not None}
        self.kinds = frozenset(feed.kind for name, feed in self._stores.items() if name != REMOVALS)

    def read(self, place: Place | None, kinds: Collection[str], *, limit: int) -> tuple[list[Change], Place]:
        """Up to `limit` changes of these kinds after that place (None: the beginning), oldest first; the next place.

        It is the same place where there is nothing new. Raises RestoredSince.
        """
        with self._client.start_session(causal_consistency=True) as session:
            generation, seen = self._looked_at(session)
            place = place or Place(generation=generation, at=BEGINNING, again=BEGINNING)
            if place.generation != generation:
                raise RestoredSince
            settled = self._settled.sample(seen)
            # In a causally consistent session this sees all that was committed when `seen` was, also where the majority
            # lags behind.
            rows = self._rows(session, place.at, kinds, limit + 1)
        again = max(place.at, settled) if place.is_start else place.again
        changes = [_change(row) for row in rows[:limit]]
        if len(rows) > limit:
            return changes, replace(place, at=rows[limit - 1][CHANGED], again=again)
        if not changes and place.is_start:
            return changes, place
        return changes, replace(place, at=again, again=again)

    def now(self) -> Place:
        """Where a reader begins who wants to know of nothing older than a minute."""
        with self._client.start_session(causal_consistency=True) as session:
            generation, seen = self._looked_at(session)
        self._settled.sample(seen)
        since = _earlier(seen, _NOW_SECONDS)
        return Place(generation=generation, at=since, again=since)

    def _looked_at(self, session: ClientSession) -> tuple[int, Timestamp]:
        """The data's generation, and the cluster's time when it was read."""
        restored_at = self._last_restore(session)
        seen = session.operation_time
        if seen is None:
            raise RuntimeError("MongoDB runs without a replica set, so it tells no time")
        return (0 if restored_at is None else int(restored_at.timestamp() * 1000)), seen

    def _rows(self, session: ClientSession, after: Timestamp, kinds: Collection[str], limit: int) -> Sequence[Row]:
        """The rows after that time of all stores together, in one call: each store's index gives its own in order."""
        told = [name for name, feed in self._stores.items() if name == REMOVALS or feed.kind in kinds]
        if not told:
            return ()
        first, *others = ((name, _pipeline(self._stores[name], name, kinds, after, limit)) for name in sorted(told))
        pipeline = [*first[1], *({"$unionWith": {"coll": name, "pipeline": each}} for name, each in others)]
        pipeline += [{"$sort": {CHANGED: 1}}, {"$limit": limit}]
        return list(self._db[first[0]].aggregate(pipeline, session=session))


def _earlier(moment: Timestamp, seconds: int) -> Timestamp:
    return Timestamp(max(0, moment.time - seconds), 0)


def _pipeline(feed: Feed, name: str, kinds: Collection[str], after: Timestamp, limit: int) -> list[Row]:
    """One store's part: {changed, kind, id, case_id, what}."""
    where: Row = {CHANGED: {"$gt": after}}
    kind: Any = {"$literal": feed.kind}
    case_id = "$case_id"
    what: Any = {"$cond": [{"$eq": ["$version", 1]}, What.CREATED, What.CHANGED]}
    if name == REMOVALS:
        where["kind"] = {"$in": sorted(kinds)}
        kind, what = "$kind", {"$literal": What.REMOVED}
    elif name == _GATES:
        # The gate's id is the case's, and a gate that is closed is all that an erasure leaves of it.
        case_id = "$_id"
        what = {"$cond": [{"$eq": ["$state", CLOSED]}, What.ERASED, What.CHANGED]}
    elif feed.appended:
        what = {"$literal": What.CHANGED}
    shown: Mapping[str, Any] = {
        "_id": 0,
        CHANGED: 1,
        "kind": kind,
        "id": f"${feed.id}",
        "case_id": case_id,
        "what": what,
    }
    return [{"$match": where}, {"$sort": {CHANGED: 1}}, {"$limit": limit}, {"$project": shown}]


def _change(row: Row) -> Change:
    return Change(
        id=str(row["id"]),
        kind=str(row["kind"]),
        case_id=row.get("case_id"),
        at=row[CHANGED].as_datetime(),
        what=What(row["what"]),
    )
