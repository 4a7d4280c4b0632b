"""Gates: one row for each case in each service; open, frozen or closed.

Every transaction that writes something of a case increments the case's gate row. Freezing and closing write the same
row. So a late writer conflicts with an erasure and cannot write behind its read-back. A closed gate is the tombstone:
it holds a case id and nothing else of the case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from shared.db.changes import NOW
from shared.db.held_gates import Applied, HeldGates, key_in
from shared.db.keys.errors import Altered
from shared.db.keys.tree import numbered
from shared.db.keys.vault import Vault
from shared.db.transactions import TryAgain, insert_new, transact
from shared.errors import Erased, Frozen, NotFound
from shared.ops.logs import log

OPEN, FROZEN, CLOSED = "open", "frozen", "closed"
_STATE = {"state": 1, "key": 1, "mac": 1}

FROZEN_SENTENCE = (
    "An erasure has been asked for, so nothing may be added or changed until it is settled. Nothing was stored."
)
ERASED_SENTENCE = "This case has been erased, or its erasure has begun. Nothing was stored."
UNKNOWN_SENTENCE = "No such case is known here."


class Gates:
    """The gate rows of one service."""

    def __init__(self, rows: Collection[dict[str, Any]], vault: Vault) -> None:
        self.rows = rows
        self._vault = vault
        self._held: dict[ClientSession, HeldGates] = {}

    @contextmanager
    def holding(
        self,
        session: ClientSession,
        case_ids: Iterable[str],
        *,
        making: Iterable[str] = (),
        only: Applied | None = None,
    ) -> Iterator[Mapping[str, Mapping[str, Any]]]:
        """Count a write at each of these gates, yield their rows, and write all changes together at the end.

        It comes first in its transaction, so that other writers to these cases wait. A long transaction that wrote its
        gates last would conflict with each of them and start again.

        making: the cases among them whose gate and key are made if there is no gate. only: the one state that the
        transaction applies. It is written with the count, unless a newer one is there. Raises Altered.
        """
        if only is not None:
            rows = list(self._counted_with(session, only))
        else:
            rows = list(self._counted(session, sorted(set(case_ids))))
        for row in rows:
            self._state_of(row)
        unknown = sorted(set(making) - {str(row["_id"]) for row in rows})
        if unknown:
            rows += self.make(session, unknown)
            only = None
        held = HeldGates(rows, applied=only, marked=self.marked)
        self._held[session] = held
        try:
            yield held.rows
            if updates := held.updates():
                self.rows.bulk_write(updates, ordered=False, session=session)
        finally:
            del self._held[session]

    def _counted(self, session: ClientSession, case_ids: list[str]) -> Iterable[dict[str, Any]]:
        of_these = {"_id": {"$in": case_ids}}
        self.rows.update_many(of_these, {"$inc": {"writes": 1}}, session=session)
        return self.rows.find(of_these, session=session)

    def _counted_with(self, session: ClientSession, only: Applied) -> Iterable[dict[str, Any]]:
        """The gate's row as it was before: one call instead of three."""
        case_id, topic, seq = only
        change = {"$inc": {"writes": 1}, "$max": {f"applied.{topic}": seq}}
        row = self.rows.find_one_and_update({"_id": case_id}, change, session=session)
        return () if row is None else (row,)

    def _holds(self, session: ClientSession | None, case_id: str) -> HeldGates | None:
        """The locked rows of the session's transaction, if this case's gate is one of them."""
        held = None if session is None else self._held.get(session)
        return held if held is not None and case_id in held.rows else None

    def known(self, case_ids: Iterable[str]) -> set[str]:
        """Those of these cases that have a gate, in any state."""
        wanted = sorted(case_ids)
        rows = self.rows.find({"_id": {"$in": wanted}}, {"_id": 1}) if wanted else ()
        return {str(row["_id"]) for row in rows}

    def make(self, session: ClientSession, case_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Make gate and key of cases that have no gate; the gates' rows. Raises TryAgain if another process did so."""
        rows = [{"_id": case_id, "writes": 1, "seq": 1, **self.marked(case_id, OPEN)} for case_id in case_ids]
        try:
            self._vault.make(case_ids, session)
            insert_new(self.rows, rows, session)
        except DuplicateKeyError as error:
            raise TryAgain from error
        return rows

    def make_if_unknown(self, case_id: str) -> None:
        """Make gate and key of a case that another service has, unless it has a gate here, in any state."""

        def act(session: ClientSession) -> None:
            if self.state(case_id, session) is None:
                self.make(session, [case_id])

        transact(self.rows.database.client, act)

    def marked(self, case_id: str, state: str, key: int = 1) -> dict[str, Any]:
        """State and number of the case's key as a gate's row says them, with the code that only this service can make.

        A closed gate has no key.
        """
        says = f"gate|{self._vault.service}|{case_id}|{state}"
        if key == 1 or state == CLOSED:
            return {"state": state, "mac": self._vault.mac(says.encode())}
        return {"state": state, "key": key, "mac": self._vault.mac(f"{says}|{key}".encode())}

    def _state_of(self, row: Mapping[str, Any]) -> str:
        """The state that the row says. Raises Altered where this service never wrote that."""
        state = str(row["state"])
        if row.get("mac") != self.marked(str(row["_id"]), state, key_in(row))["mac"]:
            log.error("gate.altered", case_id=str(row["_id"]))
            raise Altered
        return state

    def state(self, case_id: str, session: ClientSession | None = None) -> str | None:
        """open, frozen, closed, or None for a case that was never heard of."""
        if held := self._holds(session, case_id):
            return str(held.rows[case_id]["state"])
        row = self.rows.find_one({"_id": case_id}, _STATE, session=session)
        return None if row is None else self._state_of(row)

    def states(self, case_ids: Iterable[str]) -> dict[str, str]:
        """The state of each of these cases that has a gate."""
        rows = self.rows.find({"_id": {"$in": sorted(case_ids)}}, _STATE)
        return {str(row["_id"]): self._state_of(row) for row in rows}

    def enter(self, session: ClientSession, case_id: str, *, frozen_too: bool = False) -> tuple[int | None, str]:
        """Pass the gate as a writer, and count the write. Raises Erased, Frozen or NotFound.

        Returns a number for one event of this transaction, which `next_seq` won't give again: most transactions emit
        one event, and needn't write the gate twice. An unused number leaves a gap, which consumers accept. None where
        the gate is locked by `holding`, since numbers cost no call there. And the name of the case's key.
        """
        allowed = [OPEN, FROZEN] if frozen_too else [OPEN]
        if held := self._holds(session, case_id):
            state = str(held.rows[case_id]["state"])
            if state not in allowed:
                refuse(state)
            return None, numbered(case_id, key_in(held.rows[case_id]))
        row = self.rows.find_one_and_update(
            {"_id": case_id, "state": {"$in": allowed}},
            {"$inc": {"writes": 1, "seq": 1}},
            {"seq": 1, **_STATE},
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        if row is None:
            refuse(self.state(case_id, session))
            raise TryAgain
        self._state_of(row)
        return int(row["seq"]), numbered(case_id, key_in(row))

    def key_name(self, session: ClientSession, case_id: str) -> str:
        """The name of the case's key, of a gate in any state. It counts a write, as everything sealed must.

        So who gives the case another key conflicts with this transaction, and nothing is sealed under the old one
        afterwards.
        """
        row = self._locked(session, case_id)
        return numbered(case_id, 1 if row is None else key_in(row))

    def key_now(self, case_id: str) -> str | None:
        """The name of the key that everything of the case is sealed under from now on; None of a case that is gone."""
        row = self.rows.find_one({"_id": case_id}, _STATE)
        if row is None or self._state_of(row) == CLOSED:
            return None
        return numbered(case_id, key_in(row))

    def renew_key(self, session: ClientSession, case_id: str) -> str | None:
        """Make another key for the case, under which everything is sealed from now on; its name. None: it is closed."""
        row = self._locked(session, case_id)
        if row is None or row["state"] == CLOSED:
            return None
        key = key_in(row) + 1
        self._vault.make([numbered(case_id, key)], session)
        if held := self._holds(session, case_id):
            held.set_key(case_id, key)
        else:
            marked = self.marked(case_id, str(row["state"]), key)
            self.rows.update_one({"_id": case_id}, {"$set": marked}, session=session)
        return numbered(case_id, key)

    def _locked(self, session: ClientSession, case_id: str) -> dict[str, Any] | None:
        """The gate's row, with a write counted. Raises Altered."""
        if held := self._holds(session, case_id):
            return held.rows[case_id]
        row = self.rows.find_one_and_update(
            {"_id": case_id}, {"$inc": {"writes": 1}}, _STATE, return_document=ReturnDocument.AFTER, session=session
        )
        if row is not None:
            self._state_of(row)
        return row

    def touch(self, session: ClientSession, case_id: str) -> None:
        """Count a write in any state, for the rows of an erasure, which pass a closed gate.

        Two such transactions about one case conflict, so each reads what the other has decided.
        """
        if not self._holds(session, case_id):
            self.rows.update_one({"_id": case_id}, {"$inc": {"writes": 1}}, session=session)

    def next_seq(self, session: ClientSession, case_id: str) -> int:
        """The next number of this publisher's events about the case, also after its gate is closed."""
        if held := self._holds(session, case_id):
            return held.next_seq(case_id)
        row = self.rows.find_one_and_update(
            {"_id": case_id},
            {"$inc": {"seq": 1}},
            {"seq": 1},
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        if row is None:
            raise NotFound(UNKNOWN_SENTENCE)
        return int(row["seq"])

    def is_news(self, session: ClientSession, case_id: str, topic: str, seq: int) -> bool:
        """Whether this state is newer than the last one applied of its topic. If so, it is recorded as the last."""
        if held := self._holds(session, case_id):
            last = held.rows[case_id].get("applied", {}).get(topic)
            if last is None or last < seq:
                held.set_applied(case_id, topic, seq)
                return True
            return False
        name = f"applied.{topic}"
        changed = self.rows.update_one(
            {"_id": case_id, "$or": [{name: {"$exists": False}}, {name: {"$lt": seq}}]},
            {"$set": {name: seq}},
            session=session,
        )
        return changed.modified_count == 1

    def freeze(self, session: ClientSession, case_id: str) -> None:
        self._move(session, case_id, OPEN, FROZEN)

    def release(self, session: ClientSession, case_id: str) -> None:
        self._move(session, case_id, FROZEN, OPEN)

    def close(self, session: ClientSession, case_id: str) -> None:
        """Close the gate for good, also of a case that has no gate yet."""
        if held := self._holds(session, case_id):
            held.set_state(case_id, CLOSED)
            return
        self.rows.update_one(
            {"_id": case_id},
            {"$set": self.marked(case_id, CLOSED), "$inc": {"writes": 1}, "$setOnInsert": {"seq": 0}, **NOW},
            upsert=True,
            session=session,
        )

    def _move(self, session: ClientSession, case_id: str, before: str, after: str) -> None:
        if held := self._holds(session, case_id):
            if held.rows[case_id]["state"] == before:
                held.set_state(case_id, after)
            return
        row = self._locked(session, case_id)
        if row is not None and row["state"] == before:
            marked = self.marked(case_id, after, key_in(row))
            self.rows.update_one({"_id": case_id}, {"$set": marked, **NOW}, session=session)


def refuse(state: str | None) -> None:
    """Raise the error that a writer gets from a gate in this state."""
    if state == CLOSED:
        raise Erased(ERASED_SENTENCE)
    if state == FROZEN:
        raise Frozen(FROZEN_SENTENCE)
    if state is None:
        raise NotFound(UNKNOWN_SENTENCE)
