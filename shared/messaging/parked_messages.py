"""Messages that weren't handled: deferred (worked again from here), parked (for a person), and marks of trying."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from functools import partial

from prometheus_client import Gauge
from pymongo import ReturnDocument

from shared.clock import CLOCKS_DIFFER, LONG_AGO
from shared.db import KeptRows, Register
from shared.db.unit_of_work import Row, Tx
from shared.erasure.named_keys import NamedKeys
from shared.events import is_ours
from shared.fields import Count, Day, Digest, Field, Id, Name, Optional, Sealed, Subject, Time
from shared.ids import is_id, new_id
from shared.messaging.unread import UnreadMessages
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
_OF_A_MESSAGE = ("_id", "case_id", "type", "user_id", "body")

_UNHANDLED = Gauge("fmn_messages_unhandled", "Messages that were not handled", ["service", "state"])

_MESSAGE: dict[str, Field] = {
    "case_id": Optional(Id()),
    "type": Name(),
    "user_id": Optional(Subject()),
    "reason": Subject(),
    # An event. Of what is none it is sealed, or kept apart.
    "body": Optional(Sealed()),
    "at": Time(),
}


class ParkedMessages:
    """One service's deferred and parked messages.

    A message with a `case_id` was verified: it is an event, which has no person in it, and lies in clear. One without
    may say anything, so its body is sealed (`UnreadMessages`), and only a routing key of ours is its `type`.
    """

    def __init__(self, register: Register, keys: NamedKeys) -> None:
        self._unit_of_work = register.unit_of_work
        self.unread = UnreadMessages(register, keys)
        self.deferred = register.keep(
            "deferred",
            clear={
                **_MESSAGE,
                # The day whose key seals the body of one that isn't verified.
                "day": Optional(Day()),
                "tried": Time(),
                "due": Time(),
                "attempts": Count(),
                "marks": Count(),
            },
            retention=None,
            why="a message that couldn't be handled yet waits here: an event, or sealed",
            indexes=(("due",), ("tried",)),
        )
        self.parked = register.keep(
            "parked",
            # digest, size: of the body of one that isn't verified. The digest is under the key of its day.
            clear={**_MESSAGE, "digest": Optional(Digest()), "size": Optional(Count())},
            retention=None,
            why="a message that can't be handled waits here for a person: an event, or what it was without its body",
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
        self, *, body: bytes, user_id: str | None, routing_key: str, case_id: str | None = None, id: str | None = None
    ) -> Row:
        """What `defer` and `park` are given.

        case_id, id: the event's where it was verified; a new id otherwise, so that what a stranger sent can't take a
        real event's place.
        """
        account = user_id if user_id is not None and Subject().accepts(user_id) else None
        name = routing_key if is_ours(routing_key) else "unknown"
        row = {"_id": id or new_id(), "case_id": case_id, "type": name, "user_id": account}
        return {**row, "body": body, "routing_key": routing_key}

    def defer(self, message: Row, reason: str, now: datetime) -> int:
        """Keep the message to be tried again later; how often it has been tried."""
        attempts = int(message.get("attempts", 0)) + 1
        row = {
            **{name: message[name] for name in _OF_A_MESSAGE},
            "day": None,
            "reason": _word(reason),
            "at": min(message.get("at", now), now),
            "tried": now,
            "due": now + full_jitter(attempts, _SLOWEST),
            "attempts": attempts,
            "marks": 0,
        }

        def act(tx: Tx) -> None:
            if message["case_id"] is None:
                day = now.date()
                row.update(day=day.isoformat(), body=self.unread.seal(message, day, tx=tx))
            self.deferred.rows.replace_one({"_id": row["_id"]}, row, upsert=True, session=tx.session)

        self._unit_of_work.run(act)
        self._look_again = LONG_AGO
        return attempts

    def park(self, message: Row, reason: str) -> None:
        """Keep the message for a person; it is no longer deferred. Alarms."""

        def act(tx: Tx) -> None:
            row = {name: message[name] for name in _OF_A_MESSAGE} | {"reason": _word(reason), "at": tx.now}
            if message["case_id"] is None:
                row |= {"body": None, **self.unread.keep_body(message, tx=tx)}
            self.parked.rows.replace_one({"_id": row["_id"]}, row, upsert=True, session=tx.session)
            self.deferred.rows.delete_one({"_id": row["_id"]}, session=tx.session)

        self._unit_of_work.run(act)
        log.error("message.parked", event_type=message["type"], reason=_word(reason), record_id=message["_id"])

    def forget_old(self, now: datetime) -> int:
        """Destroy the keys of bodies whose thirty days are over; how many. One that is deferred keeps its day's key."""
        row = self.deferred.rows.find_one({"day": {"$ne": None}}, {"day": 1}, sort=[("day", 1)])
        return self.unread.forget_old(now, first_needed=None if row is None else date.fromisoformat(row["day"]))

    def seal_older(self) -> int:
        """Seal the bodies that an older version kept in clear without having verified them; how many."""
        count = 0
        for store in (self.parked, self.deferred):
            for row in list(store.rows.find({"case_id": None, "body": {"$ne": None}, "day": None})):
                self._unit_of_work.run(partial(self._seal_older, store, row))
                count += 1
        return count

    def _seal_older(self, store: KeptRows, row: Row, tx: Tx) -> None:
        name = str(row["type"])
        message = {**row, "body": bytes(row["body"]), "routing_key": name}
        sealed: Row = {"type": name if is_ours(name) else "unknown"}
        if store is self.parked:
            sealed |= {"body": None, **self.unread.keep_body(message, tx=tx)}
        else:
            day = tx.now.date()
            sealed |= {"body": self.unread.seal(message, day, tx=tx), "day": day.isoformat()}
        store.rows.update_one({"_id": row["_id"]}, {"$set": sealed}, session=tx.session)

    def claim(self, now: datetime) -> Row | None:
        """A deferred message that is due, kept from other processes for a minute and marked as being tried."""
        if self._looked <= now < self._look_again or not self._look(now):
            return None
        row = self.deferred.rows.find_one_and_update(
            {"$or": [{"due": {"$lte": now}}, {"tried": {"$gt": now + CLOCKS_DIFFER}}]},
            {"$set": {"due": now + _LEASE, "tried": now}, "$min": {"at": now}, "$inc": {"marks": 1}},
            sort=[("due", 1)],
            return_document=ReturnDocument.AFTER,
        )
        if row is None:
            return None
        return {
            **row,
            "routing_key": row["type"],
            **(self.unread.open(row["_id"], row["body"]) if row.get("day") else {}),
        }

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

    def key_of(self, message_id: str | None, body: bytes) -> str:
        """What a redelivered message is marked under: its id or, where that is none of ours, a code over its body."""
        return message_id if message_id and is_id(message_id) else self._unit_of_work.vault.mac(body).hex()

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
