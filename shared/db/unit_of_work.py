"""The unit of work: state, outbox rows and inbox rows in one MongoDB transaction, or not at all.

Majority writes, snapshot reads. The function given to `UnitOfWork.run` may run more than once (MongoDB asks for a
transaction to be repeated when it conflicts), so it changes nothing but what it writes through its `Tx`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from pymongo import InsertOne, MongoClient, ReplaceOne, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database

from shared.clock import to_millisecond, utc_now
from shared.db.gates import Gates
from shared.db.keys.roots import RootStore
from shared.db.keys.vault import Vault
from shared.db.transactions import transact
from shared.events import Event, EventType, write
from shared.ids import new_id

T = TypeVar("T")
Row = dict[str, Any]
Operation = InsertOne[Row] | UpdateOne | ReplaceOne[Row]

traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
#: What the request that is being answered adds to each of its transactions, told what that returned; None elsewhere.
before_commit: ContextVar[Callable[[Tx, Any], None] | None] = ContextVar("before_commit", default=None)


SERVICES_NAME = "forgetmenot"


def connect(url: str, *, name: str = SERVICES_NAME) -> MongoClient[Row]:
    """A client that waits for a majority and its journal, and gives aware datetimes. name: what MongoDB is told."""
    return MongoClient(
        url,
        tz_aware=True,
        w="majority",
        journal=True,
        readConcernLevel="majority",
        # A server that no longer answers is found to be away after the sum of the first two. Calls that wait for it
        # then fail, and are retried for the third.
        heartbeatFrequencyMS=3_000,
        connectTimeoutMS=3_000,
        serverSelectionTimeoutMS=3_000,
        socketTimeoutMS=30_000,
        appname=name,
    )


@dataclass(kw_only=True)
class Tx:
    """One transaction. What is in `after_commit` runs once it is safe.

    renewed: told the case, in the transaction, when `renew_key` has made it another key.
    """

    session: ClientSession
    gates: Gates
    service: str
    now: datetime
    renewed: Callable[[Tx, str], None]
    events: list[Event] = field(default_factory=list)
    after_commit: list[Callable[[], None]] = field(default_factory=list)
    # Numbers for events that came with the way through a gate, by case.
    _seqs: dict[str, int] = field(default_factory=dict)
    # The names of the keys of cases, as their gates say them.
    _keys: dict[str, str] = field(default_factory=dict)
    _renewed: set[str] = field(default_factory=set)
    _writes: dict[str, tuple[Collection[Row], list[Operation]]] = field(default_factory=dict)

    def enter(self, case_id: str, *, frozen_too: bool = False) -> None:
        """Pass the case's gate as a writer. Raises Erased, Frozen (unless allowed) or NotFound."""
        seq, self._keys[case_id] = self.gates.enter(self.session, case_id, frozen_too=frozen_too)
        if seq is not None:
            self._seqs[case_id] = seq

    def open_gate(self, case_id: str) -> None:
        """Make the gate and the key of a new case, and pass the gate as a writer."""
        self._seqs[case_id] = int(self.gates.make(self.session, [case_id])[0]["seq"])
        self._keys[case_id] = case_id

    def enter_or_open(self, case_id: str) -> None:
        """As `enter`, of a case that this service may not have heard of yet. Raises Erased, Frozen."""
        if self.gates.state(case_id, self.session) is None:
            self.open_gate(case_id)
        else:
            self.enter(case_id)

    def key_name(self, case_id: str) -> str:
        """The name of the key that this transaction seals under what is of the case."""
        if case_id not in self._keys:
            self._keys[case_id] = self.gates.key_name(self.session, case_id)
        return self._keys[case_id]

    def renew_key(self, case_id: str) -> None:
        """Something personal has left a case that lives on: give it another key, once in this transaction.

        What is left of it is sealed anew after the commit, and then the key before is destroyed. Nothing happens where
        the gate is closed, since the case's key goes anyway.
        """
        if case_id in self._renewed:
            return
        name = self.gates.renew_key(self.session, case_id)
        if name is not None:
            self._keys[case_id] = name
            self._renewed.add(case_id)
            self.renewed(self, case_id)

    def write(self, rows: Collection[Row], *operations: Operation) -> None:
        """Write these at the transaction's end, all of one collection's in one call and in this order.

        For writes that the transaction doesn't read back: a batch of fifty messages then makes one call. Fifty calls
        take ten times as long.
        """
        if operations:
            self._writes.setdefault(rows.full_name, (rows, []))[1].extend(operations)

    def finish(self) -> None:
        """Write what `write` has collected; last before the commit."""
        for rows, operations in self._writes.values():
            rows.bulk_write(operations, session=self.session)

    def emit(self, event_type: EventType, data: Mapping[str, Any]) -> Event:
        """Record an event, which is published if this transaction commits."""
        case_id = str(data["case"])
        seq = self._seqs.pop(case_id, None)
        event = Event(
            id=new_id(),
            type=event_type,
            source=self.service,
            time=to_millisecond(self.now),
            seq=self.gates.next_seq(self.session, case_id) if seq is None else seq,
            data=data,
            traceparent=traceparent.get(),
        )
        self.events.append(event)
        return event


class UnitOfWork:
    """One service's databases, and the way to write to them."""

    def __init__(self, client: MongoClient[Row], *, names: str, service: str, roots: RootStore) -> None:
        """roots: where the roots of the service's key tree are."""
        self.client = client
        self.service = service
        self.db: Database[Row] = client[f"{names}_{service}"]
        self.vault_db: Database[Row] = client[f"{names}_{service}_vault"]
        self.vault = Vault(client, self.vault_db.name, service=service, roots=roots)
        self.gates = Gates(self.db["gates"], self.vault)
        self.outbox: Collection[Row] = self.db["outbox"]
        # Set by the process that has a publisher: handed the rows that were just committed.
        self.hand_over: Callable[[Sequence[Row]], None] = lambda rows: None
        # Set by what seals a case anew that was given another key: told the case, in that transaction.
        self.renewed: Callable[[Tx, str], None] = lambda tx, case_id: None

    def run(self, act: Callable[[Tx], T]) -> T:
        """Run `act` in a transaction and return what it returned."""
        finish = before_commit.get()

        def body(session: ClientSession) -> tuple[T, Tx, list[Row]]:
            tx = Tx(session=session, gates=self.gates, service=self.service, now=utc_now(), renewed=self.renewed)
            with self.vault.making():
                result = act(tx)
                if finish is not None:
                    finish(tx, result)
                rows = [outbox_row(event, tx.now) for event in tx.events]
                tx.write(self.outbox, *map(InsertOne, rows))
                tx.finish()
            return result, tx, rows

        result, tx, rows = transact(self.client, body)
        if rows:
            self.hand_over(rows)
        for hook in tx.after_commit:
            hook()
        return result


def outbox_row(event: Event, now: datetime) -> Row:
    """An event as an outbox row. It is not sealed, since an event holds nothing personal."""
    return {
        "_id": event.id,
        "case_id": event.case,
        "key": event.routing_key,
        "body": write(event),
        "at": now,
        "due": now,
        "attempts": 0,
    }
