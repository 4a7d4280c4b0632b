"""Messages that weren't handled: deferred (worked again from here), parked (for a person), and marks of trying."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from prometheus_client import Gauge
from pymongo import ReturnDocument

from shared.clock import CLOCKS_DIFFER, LONG_AGO
from shared.db import Register
from shared.db.unit_of_work import Row, Tx
from shared.fields import Count, Field, Id, Name, Optional, Sealed, Subject, Time
from shared.ids import new_id
from shared.ops.backoff import full_jitter
from shared.ops.logs import log

_SLOWEST = timedelta(hours=1)
# Longer than any handler may take: a row claimed by a process that died comes due again after it.
_LEASE = timedelta(seconds=60)
# How long a message that another process deferred may lie due: a process knows its own.
_LOOK = timedelta(seconds=5)
_OBSERVED_EVERY = timedelta(seconds=15)
_LOOKED_AT = 50
_REASON = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_TRYING_KEPT = timedelta(days=30)

_UNHANDLED = Gauge("fmn_messages_unhandled", "Messages that were not handled", ["service", "state"])

_MESSAGE: dict[str, Field] = {
    "case_id": Optional(Id()),
    "type": Name(),
    "user_id": Optional(Subject()),
    "reason": Subject(),
    "body": Sealed(),
    "at": Time(),
}


class ParkedMessages:
    """One service's deferred and parked messages. Bodies are events, which have no person in them."""

    def __init__(self, register: Register) -> None:
        self._unit_of_work = register.unit_of_work
        self.deferred = register.keep(
            "deferred",
            clear={**_MESSAGE, "tried": Time(), "due": Time(), "attempts": Count(), "marks": Count()},
            retention=None,
            why="a message that couldn't be handled yet waits here; an event has no person in it",
            indexes=(("due",), ("tried",)),
        )
        self.parked = register.keep(
            "parked",
            clear=_MESSAGE,
            retention=None,
            why="a message that can't be handled waits here for a person; an event has no person in it",
            indexes=(("at",),),
        )
        self.trying = register.keep(
            "trying",
            clear={"marks": Count(), "at": Time()},
            retention=_TRYING_KEPT,
            why="counts the tries of a message that may kill its process",
        ).rows
        # From the first until the second nothing is due, as far as is known here.
        self._looked = self._look_again = LONG_AGO
        self._observed = LONG_AGO

    def message(
        self, *, body: bytes, user_id: str | None, type_name: str, case_id: str | None = None, id: str | None = None
    ) -> Row:
        """What `defer` and `park` keep. id: the event's where it was verified; a new one otherwise, so that what a
        stranger sent can't take a real event's place.
        """
        account = user_id if user_id is not None and Subject().accepts(user_id) else None
        name = type_name if Name().accepts(type_name) else "unknown"
        return {"_id": id or new_id(), "case_id": case_id, "type": name, "user_id": account, "body": body}

    def defer(self, message: Row, reason: str, now: datetime) -> int:
        """Keep the message to be tried again later; how often it has been tried."""
        attempts = int(message.get("attempts", 0)) + 1
        row = {
            **message,
            "reason": _word(reason),
            "at": min(message.get("at", now), now),
            "tried": now,
            "due": now + full_jitter(attempts, _SLOWEST),
            "attempts": attempts,
            "marks": 0,
        }
        self.deferred.rows.replace_one({"_id": row["_id"]}, row, upsert=True)
        self._look_again = LONG_AGO
        return attempts

    def park(self, message: Row, reason: str) -> None:
        """Keep the message for a person; it is no longer deferred. Alarms."""

        def act(tx: Tx) -> None:
            row = {name: message[name] for name in ("_id", "case_id", "type", "user_id", "body")}
            row |= {"reason": _word(reason), "at": tx.now}
            self.parked.rows.replace_one({"_id": row["_id"]}, row, upsert=True, session=tx.session)
            self.deferred.rows.delete_one({"_id": row["_id"]}, session=tx.session)

        self._unit_of_work.run(act)
        log.error("message.parked", event_type=message["type"], reason=_word(reason), record_id=message["_id"])

    def claim(self, now: datetime) -> Row | None:
        """A deferred message that is due, kept from other processes for a minute and marked as being tried."""
        if self._looked <= now < self._look_again or not self._look(now):
            return None
        return self.deferred.rows.find_one_and_update(
            {"$or": [{"due": {"$lte": now}}, {"tried": {"$gt": now + CLOCKS_DIFFER}}]},
            {"$set": {"due": now + _LEASE, "tried": now}, "$min": {"at": now}, "$inc": {"marks": 1}},
            sort=[("due", 1)],
            return_document=ReturnDocument.AFTER,
        )

    def _look(self, now: datetime) -> bool:
        """Whether a message is due, and if not, when to look again. Reads alone: a write waits for the journal."""
        self._looked, self._look_again = now, now + _LOOK
        if not self._observed <= now < self._observed + _OBSERVED_EVERY:
            self._observed = now
            self._observe()
        ahead = {"tried": {"$gt": now + CLOCKS_DIFFER}}
        soon = {"$or": [{"due": {"$lte": now + _LOOK}}, ahead]}
        rows = list(self.deferred.rows.find(soon, {"due": 1, "tried": 1}, sort=[("due", 1)], limit=_LOOKED_AT))
        if any(row["due"] <= now or row["tried"] > now + CLOCKS_DIFFER for row in rows):
            self._look_again = LONG_AGO
            return True
        self._look_again = min([self._look_again, *(row["due"] for row in rows)])
        return False

    def mark(self, key: str, now: datetime) -> int:
        """Write down that this redelivered message is about to be tried; how often it now was."""
        row = self.trying.find_one_and_update(
            {"_id": key},
            {"$inc": {"marks": 1}, "$set": {"at": now}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return int(row["marks"]) if row else 1

    def unmark(self, key: str) -> None:
        self.trying.delete_one({"_id": key})

    def _observe(self) -> None:
        for store in (self.deferred, self.parked):
            _UNHANDLED.labels(self._unit_of_work.service, store.name).set(store.rows.estimated_document_count())


def _word(reason: str) -> str:
    """The reason, if it is a word of ours: a sentence could have a person in it."""
    return reason if _REASON.fullmatch(reason) else "unnamed"
