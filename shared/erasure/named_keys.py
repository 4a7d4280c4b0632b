"""Named keys in transactions: made with what they seal, and doomed with what decides that it is forgotten.

A doomed key is deleted at once, and destroyed by a rotation of the key tree soon after.
Keys that are doomed while a rotation runs share the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Protocol

from prometheus_client import Counter, Gauge
from pymongo.client_session import ClientSession

from shared.db.keys.roots import PlaceAway
from shared.db.keys.rotation import Rotated, Rotation
from shared.db.unit_of_work import Tx, UnitOfWork
from shared.ops.logs import log, where

ROTATE_STEP: Final = "rotate_keys"
_TREE: Final = "tree"

#: A rotation takes a second; a server or a place of the roots that is away delays it.
_DESTROYED_WITHIN: Final = timedelta(minutes=15)
_LATE = Gauge("fmn_keys_not_destroyed", "Deleted keys whose root should be gone and isn't", ["service"])
_ROTATIONS = Counter("fmn_key_rotations", "Roots of the key tree that were destroyed", ["service"])


class AddsSteps(Protocol):
    """What keeps steps to be run after a transaction."""

    def add(self, tx: Tx, kind: str, key: str, case_id: str | None, due: datetime | None = None) -> None: ...


class StepOf(Protocol):
    """One step to run: its key and its case."""

    @property
    def key(self) -> str: ...
    @property
    def case_id(self) -> str | None: ...


class NamedKeys:
    """The named keys of one service."""

    def __init__(self, unit_of_work: UnitOfWork, rotation: Rotation, steps: AddsSteps) -> None:
        self._unit_of_work = unit_of_work
        self._vault = unit_of_work.vault
        self._steps = steps
        self.rotation = rotation

    def step_kinds(self) -> dict[str, Callable[[StepOf], None]]:
        return {ROTATE_STEP: self.rotate}

    def exists(self, tx: Tx, name: str) -> bool:
        return self._vault.has_key(name, tx.session)

    def make(self, tx: Tx, name: str) -> None:
        """Make a key, which nothing but this transaction can use before it commits. Raises DuplicateKeyError."""
        self._vault.make([name], tx.session)

    def search_key(self, tx: Tx, case_id: str) -> bytes:
        """What the search hashes of this case are made with. Raises KeyGone."""
        return self._vault.search_key(tx.key_name(case_id), tx.session)

    def search_keys(self, session: ClientSession) -> list[bytes]:
        """All that search hashes are made with, as they are in this session's snapshot. Raises TryAgain."""
        return self._vault.search_keys(session)

    def doom(self, tx: Tx, name: str, *, then: tuple[str, str, str | None] | None = None) -> bool:
        """Delete a key, and have its root destroyed; whether that is still to come. Nothing may be called forgotten
        that hangs on the key while it is.

        then: the step (kind, key, case) that is asked for once it is destroyed.
        """
        if not self._vault.doom(name, tx.session, then):
            return False
        self._steps.add(tx, ROTATE_STEP, _TREE, None)
        return True

    def was_doomed(self, tx: Tx, name: str) -> bool:
        """Whether it was deleted, now or within the last thirty days."""
        return self._vault.was_doomed(name, tx.session)

    def doom_one(self, tx: Tx, name: str) -> None:
        """As `doom`, of a case's key with just this number."""
        if self._vault.doom_one(name, tx.session):
            self._steps.add(tx, ROTATE_STEP, _TREE, None)

    def is_doomed(self, name: str) -> bool:
        """Whether it is deleted but not destroyed yet."""
        return self._vault.is_doomed(name)

    def destroyed(self, name: str) -> tuple[int, datetime] | None:
        """The generation of the root that went with it, and when that was; None while it isn't so, or never was."""
        return self._vault.destroyed(name)

    def look_after(self, now: datetime) -> None:
        """Have the root made anew where a place lacks it or has a damaged one; alarm for keys that wait too long."""
        late = self._vault.doomed.count_documents({"gone_at": None, "at": {"$lt": now - _DESTROYED_WITHIN}})
        _LATE.labels(self._unit_of_work.service).set(late)
        if late:
            log.error("keys.not_destroyed", count=late)
        try:
            is_whole = self._vault.roots.is_whole(self._vault.tree().root)
        except PlaceAway as error:
            log.error("keys.place_away", **where(error))
            return
        if not is_whole:
            # `forgetmenot keys status` says which.
            log.error("keys.place_without_root")
            self._unit_of_work.run(lambda tx: self._steps.add(tx, ROTATE_STEP, _TREE, None))

    def rotate(self, step: StepOf) -> None:
        """Destroy a root for the keys that were doomed, and ask for what waited; again until none is left."""
        while (rotated := self.rotation.run()) is not None:
            self._settle(rotated)

    def _settle(self, rotated: Rotated) -> None:
        def settle(tx: Tx) -> None:
            for doomed in rotated.doomed:
                # Not one that was made and doomed again meanwhile.
                same = {"_id": doomed["_id"], "at": doomed["at"]}
                gone = {"gone_at": rotated.destroyed_at, "generation": rotated.generation, "then": []}
                row = self._vault.doomed.find_one_and_update(same, {"$set": gone}, session=tx.session)
                for kind, key, case_id in row["then"] if row else ():
                    self._steps.add(tx, kind, key, case_id)

        self._unit_of_work.run(settle)
        _ROTATIONS.labels(self._unit_of_work.service).inc()
        log.info("keys.rotated", count=len(rotated.doomed))
