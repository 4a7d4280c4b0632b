"""The case service's stores: records to model and back. All go when the case does, but for safeguarding (P15)."""

from __future__ import annotations

from collections.abc import Sequence

from services.case.store.cases import Cases, Projections
from services.case.store.contacts import Contacts, Disclosures
from services.case.store.entries import Entries
from services.case.store.intakes import Intakes
from services.case.store.people import People, SearchHashes
from services.case.store.safeguarding import Concerns
from services.case.store.stops import Stops
from shared.db import Register
from shared.db.gates import CLOSED
from shared.erasure.participant import AddsSteps

__all__ = ["CaseStores"]


class CaseStores:
    """What the case service keeps, opened through the register; and the steps that its transactions leave."""

    def __init__(self, register: Register, steps: AddsSteps, *, search_key: bytes) -> None:
        self.unit_of_work = register.unit_of_work
        self.vault = register.vault
        self.steps = steps
        self.cases = Cases(register)
        self.people = People(register)
        self.stops = Stops(register)
        self.entries = Entries(register)
        self.contacts = Contacts(register)
        self.disclosures = Disclosures(register)
        self.concerns = Concerns(register)
        self.projections = Projections(register)
        self.intakes = Intakes(register)
        self.search_hashes = SearchHashes(register, search_key)

    def gates_of(self, case_ids: Sequence[str]) -> dict[str, str]:
        """What the gate of each of these cases is, without those that are closed or were never made."""
        rows = self.unit_of_work.gates.rows.find(
            {"_id": {"$in": list(case_ids)}, "state": {"$ne": CLOSED}}, {"state": 1}
        )
        return {str(row["_id"]): str(row["state"]) for row in rows}
