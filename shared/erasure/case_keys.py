"""A case that lives on after something personal has left it: what is left is sealed anew, and the old key destroyed.

The transaction that removes a record makes the case's next key (`Tx.renew_key`). Every transaction that seals something
of the case writes to its gate, which says what key is the case's. So from that commit on nothing is sealed under an
older one. What still is, is sealed anew here. Then the older keys are doomed, and a rotation of the tree destroys them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pymongo import UpdateOne

from shared.db import Register, Repository
from shared.db.keys.errors import KeyGone, KeyReplaced
from shared.db.unit_of_work import Row, Tx
from shared.erasure.named_keys import AddsSteps, NamedKeys, StepOf
from shared.ops.logs import log

RESEAL_STEP: Final = "seal_anew"
_AT_ONCE: Final = 200


class CaseKeys:
    """Seals the cases of one service anew. Every step may be repeated, and two processes may be at it at once."""

    def __init__(self, register: Register, keys: NamedKeys, steps: AddsSteps) -> None:
        self._register = register
        self._keys = keys
        self._steps = steps
        self._unit_of_work = register.unit_of_work
        self._unit_of_work.renewed = self._ask
        # Told the case, for what hangs on its older keys and isn't sealed anew.
        self.before_doom: list[Callable[[str], None]] = []

    def step_kinds(self) -> dict[str, Callable[[StepOf], None]]:
        return {RESEAL_STEP: self.seal_anew}

    def _ask(self, tx: Tx, case_id: str) -> None:
        self._steps.add(tx, RESEAL_STEP, case_id, case_id)

    def seal_anew(self, step: StepOf) -> None:
        """Seal everything of the case under its newest key, and have the older ones destroyed.

        Raises Altered where a record doesn't open: its key stays, since it may be mended.
        """
        case_id = str(step.case_id)
        gates, vault = self._unit_of_work.gates, self._unit_of_work.vault
        found = gates.key_now(case_id)
        if found is None or not (older := vault.names_below(found)):
            return
        count = sum(
            _seal_all(store, case_id, under=found)
            for store in self._register.stores.values()
            if isinstance(store, Repository)
        )

        for hook in self.before_doom:
            hook(case_id)

        def doom(tx: Tx) -> None:
            # The case may have been erased meanwhile, which dooms them all.
            for name in older:
                self._keys.doom_one(tx, name)

        self._unit_of_work.run(doom)
        log.info("keys.sealed_anew", count=count)


def _seal_all(store: Repository[Any], case_id: str, *, under: str) -> int:
    """Seal under this key what the store has of the case under another; how many records it was.

    Each is replaced only as it was read, so a writer meanwhile is never undone. It ends after a pass that finds nothing
    to do: by then every record is under this key, or under one that was made since.
    """
    done, last = 0, None
    while True:
        changes, passed_by = _pass(store, case_id, under)
        if not changes and passed_by == last:
            return done
        done, last = done + changes, passed_by


def _pass(store: Repository[Any], case_id: str, under: str) -> tuple[int, set[bytes]]:
    """Once through the records: how many were to be sealed anew, and the sealed parts whose key was gone.

    Of those another process has sealed the record anew since it was read, or it is an orphan.
    """
    where = {"case_id": case_id, "personal": {"$exists": True}, "own_key": {"$exists": False}}
    changes: list[UpdateOne] = []
    count, passed_by = 0, set[bytes]()
    for row in store.rows.find(where).sort("_id", 1):
        if store.records.is_under(row, under):
            continue
        try:
            changes.append(_change(store, row, under))
        except (KeyGone, KeyReplaced):
            passed_by.add(bytes(row["personal"]))
            continue
        count += 1
        if len(changes) == _AT_ONCE:
            store.rows.bulk_write(changes, ordered=False)
            changes = []
    if changes:
        store.rows.bulk_write(changes, ordered=False)
    return count, passed_by


def _change(store: Repository[Any], row: Row, under: str) -> UpdateOne:
    as_read = {"_id": row["_id"], "personal": row["personal"]}
    return UpdateOne(as_read, {"$set": {"personal": store.records.sealed_anew(row, under=under)}})
