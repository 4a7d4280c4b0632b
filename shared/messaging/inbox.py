"""The inbox: what others said, applied once, in one transaction with the row that remembers it.

Every delivery ends in exactly one way, committed before it is acked: handled, passed by (a duplicate, an older state,
a message for a case that is erased, a type nobody here handles), deferred or parked.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby

import pymongo
from prometheus_client import Counter
from pymongo import InsertOne
from pymongo.errors import BulkWriteError, ConnectionFailure, PyMongoError

from shared.clock import utc_now
from shared.db import Register
from shared.db.gates import CLOSED, Applied
from shared.db.unit_of_work import Row, Tx, traceparent
from shared.db.vault import KeyGone
from shared.errors import Erased, Frozen, Permanent, Problem, Temporary, Unavailable
from shared.events import Event, UnknownType, all_types
from shared.fields import Id, Name, Time
from shared.ids import is_id
from shared.messaging.deliveries import Delivery, KeepUnacked
from shared.messaging.parked_messages import ParkedMessages
from shared.messaging.senders import is_never_dropped, passes_closed_gate, verify
from shared.ops.logs import log, where

Handler = Callable[[Tx, Event], None]

INBOX_KEPT = timedelta(days=30)
_MARKS_BEFORE_PARKED = 3
# A failure that isn't ours to name (a bug) is tried for some minutes, in case it passes, and then parked.
_FAILURES_BEFORE_PARKED = 8
# Well under the three seconds after which MongoDB ends a transaction: a batch that takes longer is committed in parts.
_TRANSACTION_SECONDS = 1.0
_DUPLICATE = 11000

_MESSAGES = Counter("fmn_messages", "Messages by what became of them", ["service", "type", "outcome"])


class Inbox:
    """One service's handlers, and how deliveries reach them.

    without_gate: types that need neither gate nor key made for a case not heard of; none of them a state event.
    """

    def __init__(
        self,
        register: Register,
        handlers: Mapping[str, Handler],
        *,
        names: str,
        without_gate: frozenset[str] = frozenset(),
    ) -> None:
        types = all_types()
        if unknown := [name for name in (*handlers, *without_gate) if name not in types]:
            raise ValueError(f"no such event: {', '.join(unknown)}")
        if wrong := [name for name in without_gate if types[name].topic is not None]:
            raise ValueError(f"a state event needs its gate: {', '.join(wrong)}")
        self._unit_of_work = register.unit_of_work
        self._vault = register.vault
        self._service = register.unit_of_work.service
        self._handlers = handlers
        self._names = names
        self._without_gate = without_gate
        # What this process marked and hasn't settled yet: it is evidently still alive.
        self._marked: set[str] = set()
        self.parked_messages = ParkedMessages(register)
        self._rows = register.keep(
            "inbox",
            clear={"case_id": Id(), "type": Name(), "at": Time()},
            retention=INBOX_KEPT,
            why="an event that comes again is known by its id; longer than any backup could reach back",
        ).rows

    def handle(self, deliveries: Sequence[Delivery]) -> None:
        """Settle every one of them, so that all may be acked. Raises Hold while MongoDB doesn't answer."""
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
                self._park(row, "killed-its-process")
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
            event = self._opened(delivery.body, delivery.user_id, self._message(delivery), utc_now())
            if event is not None:
                taken.append((event, delivery))
        try:
            while taken:
                taken = taken[self._commit_news([event for event, _ in taken]) :]
        except Exception as error:
            # Whatever it was, each is now tried alone, which names it.
            if isinstance(error, ConnectionFailure) and not self._mongo_answers():
                raise
            for event, delivery in taken:
                self._take_event(event, self._message(delivery, event), utc_now())

    def _take_alone(self, delivery: Delivery) -> None:
        """A redelivered message: it may be what killed its process, so it is marked before it is even read."""
        digest = hashlib.sha256(delivery.body).hexdigest()
        key = delivery.message_id if is_id(delivery.message_id) and delivery.message_id else digest
        if key not in self._marked:
            if self.parked_messages.mark(key, utc_now()) >= _MARKS_BEFORE_PARKED:
                self._park(self._message(delivery), "killed-its-process")
                self.parked_messages.unmark(key)
                return
            self._marked.add(key)
        event = self._opened(delivery.body, delivery.user_id, self._message(delivery), utc_now())
        if event is not None:
            self._take_event(event, self._message(delivery, event), utc_now())
        self.parked_messages.unmark(key)
        self._marked.discard(key)

    def _opened(self, body: bytes, user_id: str | None, message: Row, now: datetime) -> Event | None:
        """The event, if it is to be handled here; otherwise the message is settled already."""
        try:
            event = verify(body, user_id, names=self._names)
        except UnknownType as unknown:
            named = {**message, **self._named(unknown.type_name)}
            if is_never_dropped(str(unknown.type_name)):
                self._defer(named, "unknown-version", now, alarm=True)
            else:
                self._park(named, "unknown-version")
            return None
        except Permanent as refused:
            self._park(message, refused.reason)
            return None
        if event.type.type not in self._handlers:
            if "attempts" in message:
                self.parked_messages.deferred.rows.delete_one({"_id": message["_id"]})
            self._count(event.type.type, "ignored")
            return None
        return event

    def _take_event(self, event: Event, message: Row, now: datetime) -> None:
        """One verified event in a transaction of its own; settled whatever its handler raises."""
        try:
            self._commit([event], worked_off=message)
        except (Erased, KeyGone) as gone:
            if passes_closed_gate(event.type.type):
                self._park(message, "erased")
            elif isinstance(gone, Erased) or self._unit_of_work.gates.state(event.case) == CLOSED:
                # A late message must not bring anyone back.
                self._commit([event], worked_off=message, too_late=True)
            else:
                self._park(message, "key-gone")
        except Temporary as temporary:
            self._defer(message, temporary.reason, now)
        except (Frozen, Unavailable) as problem:
            self._defer(message, problem.name, now)
        except Permanent as permanent:
            self._park(message, permanent.reason)
        except Problem as problem:
            self._park(message, problem.name)
        except ConnectionFailure:
            if not self._mongo_answers():
                raise
            self._defer(message, "database-away", now)
        except OSError:
            # Another server of ours is away (requests and urllib3 raise these).
            self._defer(message, "server-away", now)
        except Exception as error:  # noqa: BLE001 - a bug in a handler: recorded, retried, then parked
            self._give_up_slowly(message, error, now)

    def _give_up_slowly(self, message: Row, error: Exception, now: datetime) -> None:
        log.error("message.failed", event_type=message["type"], record_id=message["_id"], **where(error))
        reason = f"failed.{type(error).__name__.lower()}"
        serious = is_never_dropped(message["type"])
        if serious or int(message.get("attempts", 0)) < _FAILURES_BEFORE_PARKED:
            self._defer(message, reason, now, alarm=serious)
        else:
            self._park(message, reason)

    # One transaction

    def _commit_news(self, events: Sequence[Event]) -> int:
        """As `_commit`, taking it that none of them came before: nearly always so, and then it saves the asking."""
        try:
            return self._commit(events, asking=False)
        except BulkWriteError as error:
            if all(one["code"] != _DUPLICATE for one in error.details["writeErrors"]):
                raise
            return self._commit(events)

    def _commit(
        self, events: Sequence[Event], *, asking: bool = True, worked_off: Row | None = None, too_late: bool = False
    ) -> int:
        """Apply these events and remember them: how many of them, from the first, it was time for.

        asking: which of them came before is looked up; without it one that did raises BulkWriteError. worked_off: the
        message, which may lie deferred until here.
        """
        cases = {event.case for event in events if event.type.type not in self._without_gate}
        self._unit_of_work.gates.prepare(self._vault, cases)
        outcomes: list[str] = []

        def act(tx: Tx) -> None:
            outcomes.clear()
            until = time.monotonic() + _TRANSACTION_SECONDS
            with tx.gates.holding(tx.session, [event.case for event in events], only=_only_state(events)) as gates:
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
            self._count(event.type.type, outcome)
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

    # What is kept of the others

    def _message(self, delivery: Delivery, event: Event | None = None) -> Row:
        return self.parked_messages.message(
            body=delivery.body,
            user_id=delivery.user_id,
            type_name=delivery.routing_key if event is None else event.type.type,
            case_id=None if event is None else event.case,
            id=None if event is None else event.id,
        )

    @staticmethod
    def _named(type_name: object) -> Row:
        return {"type": type_name} if Name().accepts(type_name) else {}

    def _defer(self, message: Row, reason: str, now: datetime, *, alarm: bool = False) -> None:
        attempts = self.parked_messages.defer(message, reason, now)
        self._count(message["type"], "deferred")
        say = log.error if alarm else log.warning
        say("message.deferred", event_type=message["type"], record_id=message["_id"], attempt=attempts, reason=reason)

    def _park(self, message: Row, reason: str) -> None:
        self.parked_messages.park(message, reason)
        self._count(message["type"], "parked")

    def _count(self, type_name: str, outcome: str) -> None:
        # Only types of ours become a label: a stranger must not be able to make new series.
        known = type_name if type_name in all_types() else "unknown"
        _MESSAGES.labels(self._service, known, outcome).inc()

    def _mongo_answers(self) -> bool:
        try:
            with pymongo.timeout(2):
                self._unit_of_work.client.admin.command("ping")
        except PyMongoError:
            return False
        return True


def _only_state(events: Sequence[Event]) -> Applied | None:
    """The state that these events bring, where they are one."""
    if len(events) != 1 or events[0].type.topic is None:
        return None
    return events[0].case, events[0].type.topic, events[0].seq
