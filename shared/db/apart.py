"""Records that stand outside every case: a recorded departure from P24, made for safeguarding (P15)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pymongo import collection as mongo

from shared.db.collection import Collection
from shared.db.store import Disposal, Exported
from shared.db.vault import Vault
from shared.fields import Field


class Apart(Collection):
    """See `Store`. Each record is sealed under a key of its own and has no `case_id`.

    Whatever walks the register (an erasure, its read-back and receipt, a package) is told the same, nothing, whether or
    not there is a record: a count would already say that there is one.
    """

    def __init__(
        self,
        name: str,
        *,
        rows: mongo.Collection[dict[str, Any]],
        vault: Vault,
        clear: Mapping[str, Field],
        indexes: tuple[tuple[str, ...], ...],
        why: str,
    ) -> None:
        super().__init__(
            name,
            rows=rows,
            vault=vault,
            clear=clear,
            disposal=Disposal.APART,
            indexes=indexes,
            unique=(),
            expire_after=None,
        )
        self.why = why

    def found(self, case_id: str) -> int:
        return 0

    def delete(self, case_id: str) -> int:
        return 0

    def remaining(self, case_id: str) -> int:
        return 0

    def export(self, case_id: str) -> Iterator[Exported]:
        return iter(())
