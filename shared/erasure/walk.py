"""The walk through a service's register: what each store has of a case, and whether anything is left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.db import Inventory, Register, Store
from shared.erasure.manifest import CASE_KEYS
from shared.erasure.named_keys import NamedKeys


class Walk:
    """Every store of one service, and the case's key."""

    def __init__(self, register: Register, keys: NamedKeys) -> None:
        self._register = register
        self._keys = keys

    def inventories(self, case_id: str) -> dict[str, Inventory]:
        return {store.name: store.inventory(case_id) for store in self._register.erased_by_a_case()}

    def late(self, case_id: str) -> list[str]:
        """The late stores that still hold something of the case, or whose key for it could still open something."""
        return [store.name for store in self._register.late() if store.found(case_id) or self._opens(store, case_id)]

    def _opens(self, store: Store, case_id: str) -> bool:
        name_of = self._register.late_keys.get(store.name)
        return name_of is not None and self._is_there(name_of(case_id))

    def remaining(self, case_id: str) -> dict[str, int]:
        """Read back every store, and whether the key is gone."""
        remaining = {store.name: store.remaining(case_id) for store in self._register.erased_by_a_case()}
        return {**remaining, CASE_KEYS: self.case_keys(case_id)}

    def case_keys(self, case_id: str) -> int:
        """Keys of the case that could still open something: one, until the root is gone that it hung on."""
        return int(self._is_there(case_id))

    def _is_there(self, name: str) -> bool:
        return self._register.vault.has_key(name) or self._keys.is_doomed(name)

    def root_claims(self, case_id: str) -> dict[str, Any]:
        """Which root was destroyed so that the case's key opens nothing, and when; None where there was no key."""
        generation, at = self._keys.destroyed(case_id) or (None, None)
        return {"root_generation": generation, "root_destroyed_at": None if at is None else at.isoformat()}


def delete_all(inventories: Mapping[str, Inventory]) -> None:
    for inventory in inventories.values():
        inventory.delete()
