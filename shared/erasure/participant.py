"""A service's part in an erasure: close the gate, walk the register, destroy the key, read back, sign a receipt.

It is the same in every service. Every step is idempotent, since a process can die at any line: what was found is
recorded before anything is deleted, and a repeated attempt sends the stored receipt. Between deleting and reading back
lies a rotation of the key tree, which erasures share: the receipt is signed once the root is gone that the key hung on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from pymongo import ReturnDocument

from shared.clock import utc_now
from shared.db import Inventory, Register
from shared.db.unit_of_work import Tx, UnitOfWork
from shared.erasure.grants import Grants
from shared.erasure.manifest import CASE_KEYS
from shared.erasure.named_keys import AddsSteps, NamedKeys, StepOf
from shared.erasure.walk import Walk, delete_all
from shared.events import Event, consent, erasure
from shared.events import case as case_events
from shared.fields import Count, Field, Id, List, Name, Optional, Signed, Table, Time

RECEIPT_TYPE = "fmn-receipt"
ERASE_STEP = "erase"
END_STEP = "end"
SECOND_STEP = "second_receipt"

CLEAR: Mapping[str, Field] = {
    "case_id": Id(),
    "attempt": Count(),
    "found": Table(Count()),
    # The attempt whose walk has deleted everything, and only waits until the key is destroyed.
    "walked": Optional(Count()),
    "receipts": List(Signed()),
    "late": List(Name()),
    "at": Time(),
    "done_at": Optional(Time()),
}


class Signs(Protocol):
    def sign(self, claims: Mapping[str, Any], *, typ: str) -> str: ...


class ErasureParticipant:
    """One service's participation, and what else it does for one.

    before_walk: run with the case, once its gate is closed and before anything is deleted. more_claims: what else a
    receipt says, none of it personal; run with the case, the request, and whether it is receipt 1 or 2. on_release: run
    with the case, in the transaction that releases it.
    """

    def __init__(
        self,
        *,
        unit_of_work: UnitOfWork,
        register: Register,
        steps: AddsSteps,
        keys: NamedKeys,
        grants: Grants,
        signer: Signs,
    ) -> None:
        self.unit_of_work = unit_of_work
        self.register = register
        self.steps = steps
        self.keys = keys
        self.grants = grants
        self._walk = Walk(register, keys)
        self.signer = signer
        self.before_walk: list[Callable[[str], None]] = []
        self.more_claims: list[Callable[[str, str, int], Mapping[str, Any]]] = []
        self.on_release: list[Callable[[Tx, str], None]] = []
        self.rows = register.keep(
            "erasures", clear=CLEAR, retention=None, why="a repeated attempt is answered with the stored receipt"
        ).rows

    def handlers(self) -> dict[str, Callable[[Tx, Event], None]]:
        """The handlers that every service has for the coordinator's events."""
        return {
            consent.FROZEN.type: self.on_frozen,
            consent.RELEASED.type: self.on_released,
            consent.STARTED.type: self.on_started,
            case_events.ENDED.type: self.on_ended,
        }

    def step_kinds(self) -> dict[str, Callable[[StepOf], None]]:
        return {ERASE_STEP: self.erase, END_STEP: self.end, SECOND_STEP: self.send_second}

    def on_frozen(self, tx: Tx, event: Event) -> None:
        # The service that froze the case did so in its own transaction. Its own event can arrive after the next change.
        if event.source != self.unit_of_work.service:
            self.unit_of_work.gates.freeze(tx.session, event.case)

    def on_released(self, tx: Tx, event: Event) -> None:
        if event.source != self.unit_of_work.service:
            self.release(tx, event.case)

    def release(self, tx: Tx, case_id: str) -> None:
        """End the freeze of a case, and resume what waited for that."""
        self.unit_of_work.gates.release(tx.session, case_id)
        for hook in self.on_release:
            hook(tx, case_id)

    def on_ended(self, tx: Tx, event: Event) -> None:
        """A shell has ended: erase it. No receipt is owed. Raises Permanent without the consent service's grant."""
        self.grants.require_ending(event.data.get("grant"), case_id=event.case, now=tx.now)
        self.unit_of_work.gates.close(tx.session, event.case)
        self.steps.add(tx, END_STEP, event.case, event.case)

    def on_started(self, tx: Tx, event: Event) -> None:
        """The erasure has begun: close the gate and walk the stores in a step, or send the stored receipt again."""
        if self.unit_of_work.service not in event.data["participants"]:
            return
        request, attempt = str(event.data["request"]), int(event.data["attempt"])
        grant = event.data.get("grant")
        self.grants.require_erasure(grant, request=request, case_id=event.case, attempt=attempt, now=tx.now)
        self.unit_of_work.gates.close(tx.session, event.case)
        row = self.rows.find_one({"_id": request}, session=tx.session)
        if row is not None and row["attempt"] == attempt and row["receipts"]:
            self._send(tx, request, event.case, attempt, row["receipts"][-1])
            return
        if row is not None and row["attempt"] > attempt:
            return
        if row is None:
            empty: dict[str, Any] = {"case_id": event.case, "found": {}, "receipts": [], "late": [], "done_at": None}
            self.rows.insert_one({"_id": request, "attempt": attempt, "at": tx.now, **empty}, session=tx.session)
        else:
            anew = {"attempt": attempt, "receipts": [], "done_at": None}
            self.rows.update_one({"_id": request}, {"$set": anew}, session=tx.session)
        self.steps.add(tx, ERASE_STEP, request, event.case)

    def end(self, step: StepOf) -> None:
        """Erase a shell that has ended from every store of this service."""
        case_id = str(step.case_id)
        self._prepare(case_id)
        delete_all(self._walk.inventories(case_id))
        self.unit_of_work.run(lambda tx: self.keys.doom(tx, case_id))

    def erase(self, step: StepOf) -> None:
        """Walk the register for one request, and have the case's key destroyed; once it is, send a receipt."""
        request = step.key
        row = self.rows.find_one({"_id": request})
        if row is None or row["receipts"]:
            return
        case_id, attempt = str(row["case_id"]), int(row["attempt"])
        found = _found_in(row)
        if row.get("walked") != attempt:
            self._prepare(case_id)
            inventories = self._walk.inventories(case_id)
            found = self._record_found(request, case_id, inventories)
            delete_all(inventories)
        if self._destroys_key(request, case_id, attempt):
            # The rotation asks for this step again.
            return
        remaining = self._walk.remaining(case_id)
        late = self._walk.late(case_id)
        # Read once: were the clock corrected between two readings, a second receipt could be dated before this one.
        signed_at = utc_now()
        receipt = self._receipt(request, case_id, attempt, found, remaining, late, signed_at, number=1)

        def answer(tx: Tx) -> None:
            done = self.rows.update_one(
                {"_id": request, "attempt": attempt, "receipts": []},
                {"$set": {"receipts": [receipt], "late": late, "done_at": signed_at}},
                session=tx.session,
            )
            if done.modified_count:
                self._send(tx, request, case_id, attempt, receipt)

        self.unit_of_work.run(answer)

    def _destroys_key(self, request: str, case_id: str, attempt: int) -> bool:
        """Doom the case's key now that the walk is over; whether its root is still to be destroyed."""

        def act(tx: Tx) -> bool:
            waits = self.keys.doom(tx, case_id, then=(ERASE_STEP, request, case_id))
            if waits:
                mine = {"_id": request, "attempt": attempt}
                self.rows.update_one(mine, {"$set": {"walked": attempt}}, session=tx.session)
            return waits

        return self.unit_of_work.run(act)

    def settle_late(self, tx: Tx, case_id: str) -> None:
        """Send a second receipt for every request of the case that waited for late records.

        Runs in the transaction that settled the last late record, so that both happen or neither.
        """
        for row in self.rows.find({"case_id": case_id, "receipts": {"$size": 1}}, session=tx.session):
            if row["late"]:
                self.steps.add(tx, SECOND_STEP, str(row["_id"]), case_id)

    def send_second(self, step: StepOf) -> None:
        """Read back once more, and send a second receipt."""
        request = step.key
        row = self.rows.find_one({"_id": request})
        if row is None or len(row["receipts"]) != 1:
            return
        case_id, attempt = str(row["case_id"]), int(row["attempt"])
        late = self._walk.late(case_id)
        found = _found_in(row)
        # The receipt with the latest date counts, so this one is dated after the first, even if this clock is behind.
        at = max(utc_now(), row["done_at"] + timedelta(milliseconds=1))
        receipt = self._receipt(request, case_id, attempt, found, self._walk.remaining(case_id), late, at, number=2)

        def answer(tx: Tx) -> None:
            done = self.rows.update_one(
                {"_id": request, "attempt": attempt, "receipts": {"$size": 1}},
                {"$push": {"receipts": receipt}, "$set": {"late": late}},
                session=tx.session,
            )
            if done.modified_count:
                self._send(tx, request, case_id, attempt, receipt)

        self.unit_of_work.run(answer)

    def _prepare(self, case_id: str) -> None:
        for hook in self.before_walk:
            hook(case_id)

    def _record_found(self, request: str, case_id: str, inventories: Mapping[str, Inventory]) -> dict[str, int]:
        """Record what each store holds, before anything is deleted; the highest count that any attempt has seen.

        It is one write: if two attempts run at once, the later one finds nothing left and must not lower the count.
        """
        counts = {name: inventory.count for name, inventory in inventories.items()}
        counts[CASE_KEYS] = self._walk.case_keys(case_id)
        most = {f"found.{name}": count for name, count in counts.items()}
        row = self.rows.find_one_and_update(
            {"_id": request}, {"$max": most}, {"found": 1}, return_document=ReturnDocument.AFTER
        )
        return _found_in(row or {"found": counts})

    def _receipt(
        self,
        request: str,
        case_id: str,
        attempt: int,
        found: Mapping[str, int],
        remaining: Mapping[str, int],
        late: list[str],
        signed_at: datetime,
        *,
        number: int,
    ) -> str:
        outcome = "erased" if any(found.values()) else "nothing_held"
        if any(remaining.values()):
            outcome = "failed"
        claims: dict[str, Any] = {
            "iss": self.unit_of_work.service,
            "service": self.unit_of_work.service,
            "request": request,
            "case": case_id,
            "attempt": attempt,
            "outcome": outcome,
            "stores": [
                {
                    "store": name,
                    "found": found.get(name, 0),
                    "deleted": max(0, found.get(name, 0) - left),
                    "remaining": left,
                }
                for name, left in sorted(remaining.items())
            ],
            "late": late,
            **self._walk.root_claims(case_id),
            "signed_at": signed_at.isoformat(),
        }
        for more in self.more_claims:
            claims |= more(case_id, request, number)
        return self.signer.sign(claims, typ=RECEIPT_TYPE)

    def _send(self, tx: Tx, request: str, case_id: str, attempt: int, receipt: str) -> None:
        data = {
            "request": request,
            "case": case_id,
            "service": self.unit_of_work.service,
            "attempt": attempt,
            "receipt": receipt,
        }
        tx.emit(erasure.RECEIPT, data)


def _found_in(row: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(count) for name, count in row["found"].items()}
