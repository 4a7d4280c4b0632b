"""The case service's stores and keys in a test's own process, as one of its workers has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from services.case.store import Stores
from services.case.store.queries import rehash_in
from shared.clock import utc_now
from shared.db.keys.roots import Folders
from shared.db.keys.rotation import Rotation
from shared.db.keys.vault import Vault
from shared.db.register import Register
from shared.db.unit_of_work import UnitOfWork
from shared.erasure.case_keys import RESEAL_STEP, CaseKeys
from shared.erasure.named_keys import ROTATE_STEP, NamedKeys
from shared.messaging.steps import StepRow, Steps


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What a worker has opened; its steps are run by hand."""

    unit_of_work: UnitOfWork
    register: Register
    stores: Stores
    keys: NamedKeys
    case_keys: CaseKeys

    @property
    def vault(self) -> Vault:
        return self.unit_of_work.vault

    def seal_anew(self, case_id: str) -> None:
        self.case_keys.seal_anew(_step(RESEAL_STEP, case_id, case_id))

    def rotate(self) -> None:
        self.keys.rotate(_step(ROTATE_STEP, "tree", None))


def open_case_service(client: MongoClient[dict[str, Any]], names: str, places: Sequence[Path]) -> Opened:
    unit_of_work = UnitOfWork(client, names=names, service="case", roots=Folders(places))
    unit_of_work.vault.start()
    register = Register(unit_of_work)
    steps = Steps(register)
    keys = NamedKeys(unit_of_work, Rotation(unit_of_work.vault), steps)
    stores = Stores.open(register, steps=steps, keys=keys)
    keys.rotation.rehash_with(rehash_in(stores.search_hashes))
    case_keys = CaseKeys(register, keys, steps)
    return Opened(unit_of_work=unit_of_work, register=register, stores=stores, keys=keys, case_keys=case_keys)


def _step(kind: str, key: str, case_id: str | None) -> StepRow:
    return StepRow(kind=kind, key=key, case_id=case_id, due=utc_now(), attempts=1, now=utc_now())
