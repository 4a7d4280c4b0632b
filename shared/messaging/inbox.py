"""The inbox: each event is applied once, in one transaction with the row that remembers it.

Every delivery ends in exactly one way, committed before it is acked: handled; passed over (a duplicate, an older state,
a message for an erased case, a type without a handler here); deferred; or parked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby

import pymongo
from pymongo import InsertOne
from pymongo.errors import BulkWriteError, ConnectionFailure, PyMongoError

from shared.clock import utc_now
from shared.db import Register
from shared.db.gates import CLOSED
from shared.db.held_gates import Applied
from shared.db.keys.errors import KeyGone
from shared.db.unit_of_work import Row, Tx, traceparent
from shared.erasure.named_keys import NamedKeys
from shared.errors import Erased, Frozen, Permanent, Problem, Temporary, Unavailable
from shared.events import Event, UnknownType, all_types
from shared.fields import Id, Name, Time
from shared.messaging.deliveries import Delivery, KeepUnacked
from shared.messaging.outcomes import Outcomes, with_type
from shared.messaging.parked_messages import ParkedMessages
from shared.messaging.senders import is_never_dropped, passes_closed_gate, verify
from shared.ops.logs import log, where

Handler = Callable[[Tx, Event], None]

INBOX_KEPT = timedelta(days=30)
_MARKS_BEFORE_PARKED = 3
# An unexpected failure (a bug) is retried for some minutes, in case it passes. Then the message is parked.
_FAILURES_BEFORE_PARKED = 8
# Far under the three seconds after which MongoDB ends a transaction, and little enough for others that want the same
# gates: a batch that takes longer is committed in parts. Fifty usual messages take a tenth of it.
_TRANSACTION_SECONDS = 0.2
_DUPLICATE = 11000


class Inbox:
    """Brings deliveries to one service's handlers.

    without_gate: types that need neither gate nor key made for a case not heard of; none of them a state event.
    """

    def __init__(
        self,
        register: Register,
        handlers: Mapping[str, Handler],
        *,
        keys: NamedKeys,
        names: str,
        without_gate: frozenset[str] = frozenset(),
    ) -> None:
        types = all_types()
        if unknown := [name for name in (*handlers, *without_gate) if name not in types]:
            raise ValueError(f"no such event: {', '.join(unknown)}")
        if wrong := [name for name in without_gate if types[name].topic is not None]:
            raise ValueError(f"a state event needs its gate: {', '.join(wrong)}")
        self._unit_of_work = register.unit_of_work
        self._service = register.unit_of_work.service
        self._handlers = handlers
        self._names = names
        self._without_gate = without_gate
        # What this process has marked and not settled yet. These messages haven't killed it.
        self._marked: set[str] = set()
        self.parked_messages = ParkedMessages(register, keys)
        self._outcomes = Outcomes(self._service, self.parked_messages)
        self._rows = register.keep(
            "inbox",
            clear={"case_id": Id(), "type": Name(), "at": Time()},
            retention=INBOX_KEPT,
            why="an event that comes again is known by its id; longer than any backup could reach back",
        ).rows

    def handle(self, deliveries: Sequence[Delivery]) -> None:
        """Settle every delivery, so that all may be acked. Raises KeepUnacked while MongoDB doesn't answer."""
        try:
            for redelivered, group in groupby(deliveries, key=lambda delivery: delivery.delivery_count > 0):
                if redelivered:
                    for delivery in group:
                        self._take_alone(delivery)
                else:
                    self._take_together(list(group))
        except PyMongoError as error:
            raise KeepUnacked from error

    def work_deferred(self, now: datetime) -> int:
        """Try the deferred messages that are due; how many. Raises PyMongoError."""
        tried = 0
        while (row := self.parked_messages.claim(now)) is not None:
            tried += 1
            if row["marks"] >= _MARKS_BEFORE_PARKED and row["_id"] not in self._marked:
                self._outcomes.park(row, "killed-its-process")
                continue
            self._marked.add(row["_id"])
            event = self._opened(bytes(row["body"]), row["user_id"], row, now)
            if event is not None:
                self._take_event(event, row, now)
            self._marked.discard(row["_id"])
        return tried

    # One delivery after another

    def _take_together(self, deliveries: Sequence[Delivery]) -> None:
        taken: list[tuple[Event, Delivery]] = []
        for delivery in deliveries:
            event = self._opened(delivery.body, delivery.user_id, self._outcomes.message(delivery), utc_now())
            if event is not None:
                taken.append((event, delivery))
        try:
            while taken:
                taken = taken[self._commit_news([event for event, _ in taken]) :]
        except Exception as error:
            # Each is now tried alone, which shows the message that fails.
            if isinstance(error, ConnectionFailure) and not self._mongo_answers():
                raise
            for event, delivery in taken:
                self._take_event(event, self._outcomes.message(delivery, event), utc_now())

    def _take_alone(self, delivery: Delivery) -> None:
        """Take a redelivered message. It may have killed its process, so it is marked before it is read."""
        key = self.parked_messages.key_of(delivery.message_id, delivery.body)
        if key not in self._marked:
            if self.parked_messages.mark(key, utc_now()) >= _MARKS_BEFORE_PARKED:
                self._outcomes.park(self._outcomes.message(delivery), "killed-its-process")
                self.parked_messages.unmark(key)
                return
            self._marked.add(key)
        event = self._opened(delivery.body, delivery.user_id, self._outcomes.message(delivery), utc_now())
        if event is not None:
            self._take_event(event, self._outcomes.message(delivery, event), utc_now())
        self.parked_messages.unmark(key)
        self._marked.discard(key)

    def _opened(self, body: bytes, user_id: str | None, message: Row, now: datetime) -> Event | None:
        """The event, if it has a handler here. Otherwise the message is settled, and the answer is None."""
        try:
            event = verify(body, user_id, names=self._names)
        except UnknownType as unknown:
            named = with_type(message, unknown.type_name)
            if is_never_dropped(str(unknown.type_name)):
                self._outcomes.defer(named, "unknown-version", now, alarm=True)
            else:
                self._outcomes.park(named, "unknown-version")
            return None
        except Permanent as refused:
            self._outcomes.park(message, refused.reason)
            return None
        if event.type.type not in self._handlers:
            if "attempts" in message:
                self.parked_messages.deferred.rows.delete_one({"_id": message["_id"]})
            self._outcomes.count(event.type.type, "ignored")
            return None
        return event

    def _take_event(self, event: Event, message: Row, now: datetime) -> None:
        """Apply one verified event in a transaction of its own, and settle its message after any error too."""
        try:
            self._commit([event], worked_off=message)
        except (Erased, KeyGone) as gone:
            if passes_closed_gate(event.type.type):
                self._outcomes.park(message, "erased")
            elif isinstance(gone, Erased) or self._unit_of_work.gates.state(event.case) == CLOSED:
                # A late message must not bring a case back.
                self._commit([event], worked_off=message, too_late=True)
            else:
                self._outcomes.park(message, "key-gone")
        except Temporary as temporary:
            self._outcomes.defer(message, temporary.reason, now)
        except (Frozen, Unavailable) as problem:
            self._outcomes.defer(message, problem.name, now)
        except Permanent as permanent:
            self._outcomes.park(message, permanent.reason)
        except Problem as problem:
            self._outcomes.park(message, problem.name)
        except ConnectionFailure:
            if not self._mongo_answers():
                raise
            self._outcomes.defer(message, "database-away", now)
        except OSError:
            # Another server of the deployment is away (requests and urllib3 raise these).
            self._outcomes.defer(message, "server-away", now)
        except Exception as error:  # noqa: BLE001 - a bug in a handler: recorded, retried, then parked
            self._give_up_slowly(message, error, now)

    def _give_up_slowly(self, message: Row, error: Exception, now: datetime) -> None:
        log.error("message.failed", event_type=message["type"], record_id=message["_id"], **where(error))
        reason = f"failed.{type(error).__name__.lower()}"
        serious = is_never_dropped(message["type"])
        if serious or int(message.get("attempts", 0)) < _FAILURES_BEFORE_PARKED:
            self._outcomes.defer(message, reason, now, alarm=serious)
        else:
            self._outcomes.park(message, reason)

    # One transaction

    def _commit_news(self, events: Sequence[Event]) -> int:
        """As `_commit`, without looking up duplicates first. Nearly always there are none, and a read is saved."""
        try:
            return self._commit(events, asking=False)
        except BulkWriteError as error:
            if all(one["code"] != _DUPLICATE for one in error.details["writeErrors"]):
                raise
            return self._commit(events)

    def _commit(
        self, events: Sequence[Event], *, asking: bool = True, worked_off: Row | None = None, too_late: bool = False
    ) -> int:
        """Apply these events and remember them. Returns how many, from the first, fitted into the transaction's time.

        asking: look up which of them came before; otherwise a duplicate raises BulkWriteError. worked_off: the message,
        which may have been deferred until now.
        """
        making = {event.case for event in events if event.type.type not in self._without_gate}
        outcomes: list[str] = []

        def act(tx: Tx) -> None:
            outcomes.clear()
            until = time.monotonic() + _TRANSACTION_SECONDS
            cases = [event.case for event in events]
            with tx.gates.holding(tx.session, cases, making=making, only=_only_state(events)) as gates:
                known = self._known(tx, events) if asking else set()
                closed = {case_id for case_id, gate in gates.items() if gate["state"] == CLOSED}
                for event in events:
                    if outcomes and time.monotonic() > until:
                        break
                    key = self._key(event)
                    if key in known:
                        outcomes.append("duplicate")
                        continue
                    known.add(key)
                    row = {"_id": key, "case_id": event.case, "type": event.type.type, "at": tx.now}
                    tx.write(self._rows, InsertOne(row))
                    outcomes.append("late" if too_late else self._apply(tx, event, closed))
            if worked_off is not None:
                self.parked_messages.deferred.rows.delete_one({"_id": worked_off["_id"]}, session=tx.session)

        self._unit_of_work.run(act)
        for event, outcome in zip(events, outcomes, strict=False):
            self._outcomes.count(event.type.type, outcome)
        return len(outcomes)

    def _apply(self, tx: Tx, event: Event, closed: set[str]) -> str:
        name = event.type.type
        if event.case in closed and not passes_closed_gate(name):
            return "late"
        topic = event.type.topic
        if topic is not None and not tx.gates.is_news(tx.session, event.case, topic, event.seq):
            return "old"
        token = traceparent.set(event.traceparent)
        try:
            self._handlers[name](tx, event)
        finally:
            traceparent.reset(token)
        return "handled"

    def _key(self, event: Event) -> str:
        return f"{self._service}:{event.id}"

    def _known(self, tx: Tx, events: Sequence[Event]) -> set[str]:
        keys = [self._key(event) for event in events]
        return {str(row["_id"]) for row in self._rows.find({"_id": {"$in": keys}}, {"_id": 1}, session=tx.session)}

    def _mongo_answers(self) -> bool:
        try:
            with pymongo.timeout(2):
                self._unit_of_work.client.admin.command("ping")
        except PyMongoError:
            return False
        return True


def _only_state(events: Sequence[Event]) -> Applied | None:
    """The state that the event brings, where there is one event, and it brings one."""
    if len(events) != 1 or events[0].type.topic is None:
        return None
    return events[0].case, events[0].type.topic, events[0].seq
