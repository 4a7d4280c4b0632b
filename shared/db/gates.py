"""Gates: one row for each case in each service; open, frozen or closed.

Every transaction that writes something of a case increments the case's gate row. Freezing and closing write the same
row. So a late writer conflicts with an erasure and cannot write behind its read-back. A closed gate is the tombstone:
it holds a case id and nothing else of the case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from pymongo import InsertOne, ReturnDocument, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from shared.db.transactions import transact
from shared.db.vault import Vault
from shared.errors import Erased, Frozen, NotFound

OPEN, FROZEN, CLOSED = "open", "frozen", "closed"
_DUPLICATE = 11000

FROZEN_SENTENCE = (
    "An erasure has been asked for, so nothing may be added or changed until it is settled. Nothing was stored."
)
ERASED_SENTENCE = "This case has been erased, or its erasure has begun. Nothing was stored."
UNKNOWN_SENTENCE = "No such case is known here."


# A case, the topic of a state, and the number of the event that brought it.
Applied = tuple[str, str, int]


class _Held:
    """The gate rows that a transaction has locked by counting a write, and its changes to them."""

    def __init__(self, rows: Iterable[dict[str, Any]], *, applied: Applied | None = None) -> None:
        """applied: the state that was written together with the count, which `rows` doesn't show yet."""
        self.rows = {str(row["_id"]): row for row in rows}
        self._applied = applied
        self._changes: dict[str, dict[str, Any]] = {}

    def next_seq(self, case_id: str) -> int:
        row = self.rows[case_id]
        row["seq"] = int(row["seq"]) + 1
        self._change(case_id, "seq", row["seq"])
        return int(row["seq"])

    def set_state(self, case_id: str, state: str) -> None:
        self.rows[case_id]["state"] = state
        self._change(case_id, "state", state)

    def set_applied(self, case_id: str, topic: str, seq: int) -> None:
        self.rows[case_id].setdefault("applied", {})[topic] = seq
        if (case_id, topic, seq) != self._applied:
            self._change(case_id, f"applied.{topic}", seq)

    def updates(self) -> list[UpdateOne]:
        return [UpdateOne({"_id": case_id}, {"$set": change}) for case_id, change in self._changes.items()]

    def _change(self, case_id: str, name: str, value: Any) -> None:
        self._changes.setdefault(case_id, {})[name] = value


class Gates:
    """The gate rows of one service."""

    def __init__(self, rows: Collection[dict[str, Any]]) -> None:
        self.rows = rows
        self._held: dict[ClientSession, _Held] = {}

    @contextmanager
    def holding(
        self, session: ClientSession, case_ids: Iterable[str], *, only: Applied | None = None
    ) -> Iterator[Mapping[str, Mapping[str, Any]]]:
        """Count a write at each of these gates, yield their rows, and write all changes together at the end.

        It comes first in its transaction, so that other writers to these cases wait. A long transaction that wrote its
        gates last would conflict with each of them and start again.

        only: the one state that the transaction applies. It is written with the count, unless a newer one is there.
        """
        if only is not None:
            held = _Held(self._counted_with(session, only), applied=only)
        else:
            held = _Held(self._counted(session, sorted(set(case_ids))))
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

    def _holds(self, session: ClientSession | None, case_id: str) -> _Held | None:
        """The locked rows of the session's transaction, if this case's gate is one of them."""
        held = None if session is None else self._held.get(session)
        return held if held is not None and case_id in held.rows else None

    def prepare(self, vault: Vault, case_ids: Iterable[str]) -> None:
        """Make gate and key for cases that have no gate yet; outside any transaction.

        A case whose gate is closed gets no key: a late message must not bring a case back.
        """
        wanted = set(case_ids)
        self.make(vault, sorted(wanted - self.known(wanted)))

    def known(self, case_ids: Iterable[str]) -> set[str]:
        """Those of these cases that have a gate, in any state."""
        wanted = sorted(case_ids)
        rows = self.rows.find({"_id": {"$in": wanted}}, {"_id": 1}) if wanted else ()
        return {str(row["_id"]) for row in rows}

    def make(self, vault: Vault, case_ids: Sequence[str]) -> None:
        """As `prepare`, for cases that are believed to have no gate."""
        made = [case_id for case_id in case_ids if vault.create_key(case_id)]
        if made:
            self._open(vault, made)
        for case_id in sorted(set(case_ids) - set(made)):
            self._take_up(vault, case_id)

    def _open(self, vault: Vault, case_ids: Sequence[str]) -> None:
        """Make the gates of cases whose keys this call has just made."""
        try:
            self.rows.bulk_write([InsertOne(_open_row(case_id)) for case_id in case_ids], ordered=False)
        except BulkWriteError as error:
            failed = error.details["writeErrors"]
            if any(one["code"] != _DUPLICATE for one in failed):
                raise
            # Another process made the gate first. If the case has ended since, its key goes again.
            for case_id in (str(one["op"]["_id"]) for one in failed):
                if self.state(case_id) == CLOSED:
                    vault.destroy_key(case_id)

    def _take_up(self, vault: Vault, case_id: str) -> None:
        """Make the gate of a case whose key was there already.

        The key belongs to another process that is preparing the case, or to one that died. The sweep of lost keys can
        destroy the second kind at the same moment.
        """
        made = False
        while not self._opened_with_key(vault, case_id):
            made = vault.create_key(case_id)
        if made and self.state(case_id) == CLOSED:
            vault.destroy_key(case_id)

    def _opened_with_key(self, vault: Vault, case_id: str) -> bool:
        """Make the gate if the key is still there, in one transaction; whether there is a gate now."""

        def act(session: ClientSession) -> bool:
            if self.state(case_id, session) is not None:
                return True
            if not vault.touch_key(case_id, session):
                return False
            self.rows.insert_one(_open_row(case_id), session=session)
            return True

        return transact(self.rows.database.client, act)

    def forget_key(self, vault: Vault, case_id: str, *, made_before: datetime) -> int:
        """Destroy the key of that name if it is so old and no case of that id has a gate; how many there were."""

        def act(session: ClientSession) -> int:
            if self.state(case_id, session) is not None:
                return 0
            # A process that makes the gate meanwhile writes to the key too, so one of the two transactions starts
            # again.
            return vault.destroy_older_key(case_id, made_before, session)

        return transact(self.rows.database.client, act)

    def state(self, case_id: str, session: ClientSession | None = None) -> str | None:
        """open, frozen, closed, or None for a case that was never heard of."""
        if held := self._holds(session, case_id):
            return str(held.rows[case_id]["state"])
        row = self.rows.find_one({"_id": case_id}, {"state": 1}, session=session)
        return None if row is None else str(row["state"])

    def enter(self, session: ClientSession, case_id: str, *, frozen_too: bool = False) -> int | None:
        """Pass the gate as a writer, and count the write. Raises Erased, Frozen or NotFound.

        Returns a number for one event of this transaction, which `next_seq` won't give again: most transactions emit
        one event, and needn't write the gate twice. An unused number leaves a gap, which consumers accept. None where
        the gate is locked by `holding`, since numbers cost no call there.
        """
        allowed = [OPEN, FROZEN] if frozen_too else [OPEN]
        if held := self._holds(session, case_id):
            state = str(held.rows[case_id]["state"])
            if state not in allowed:
                refuse(state)
            return None
        row = self.rows.find_one_and_update(
            {"_id": case_id, "state": {"$in": allowed}},
            {"$inc": {"writes": 1, "seq": 1}},
            {"seq": 1},
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        if row is None:
            refuse(self.state(case_id, session))
            return None
        return int(row["seq"])

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
            {"$set": {"state": CLOSED}, "$inc": {"writes": 1}, "$setOnInsert": {"seq": 0}},
            upsert=True,
            session=session,
        )

    def _move(self, session: ClientSession, case_id: str, before: str, after: str) -> None:
        if held := self._holds(session, case_id):
            if held.rows[case_id]["state"] == before:
                held.set_state(case_id, after)
            return
        self.rows.update_one(
            {"_id": case_id, "state": before},
            {"$set": {"state": after}, "$inc": {"writes": 1}},
            session=session,
        )


def _open_row(case_id: str) -> dict[str, Any]:
    return {"_id": case_id, "state": OPEN, "writes": 0, "seq": 0}


def refuse(state: str | None) -> None:
    """Raise the error that a writer gets from a gate in this state."""
    if state == CLOSED:
        raise Erased(ERASED_SENTENCE)
    if state == FROZEN:
        raise Frozen(FROZEN_SENTENCE)
    if state is None:
        raise NotFound(UNKNOWN_SENTENCE)
