"""One ledger on the run's own MongoDB, with the consent service's account and the administrator's."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from services.consent.store.ledger import Ledger
from services.consent.store.ledger_copy import LedgerCopy
from shared.clock import utc_now
from shared.db import KeptRows
from shared.ids import new_id
from shared.ledger import BEGUN, Entry, VerifiedLedger, from_row, verified
from shared.security.signing import PublicKeys, Signer

Row = dict[str, Any]


@dataclass(kw_only=True)
class Place:
    """rows: with the service's account. admin: the same collection, with every right."""

    rows: KeptRows
    admin: Any
    signer: Signer
    keys: PublicKeys
    folder: Path
    published: Path
    cases: list[str] = field(default_factory=list)

    def process(self) -> Ledger:
        """The ledger as a process has it that has just started."""
        return Ledger(self.rows, self.signer, self.keys, copy=self.folder, published=self.published)

    @property
    def copy(self) -> LedgerCopy:
        return LedgerCopy(self.folder)

    @property
    def entries(self) -> list[Entry]:
        return [from_row(row) for row in self.rows.rows.find().sort("_id", 1)]

    @property
    def copied(self) -> list[Entry]:
        return list(self.copy.entries())

    @property
    def whole(self) -> VerifiedLedger:
        return verified(self.entries, self.keys)

    def enters(self, ledger: Ledger, about: str | None = None, *, now: datetime | None = None) -> str:
        """Enter that an erasure begins; the request."""
        request, at = about or new_id(), now or utc_now()
        ledger.append(kind=BEGUN, about=request, case_id=new_id(), at=at, now=at)
        return request
