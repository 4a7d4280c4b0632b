"""The receipt of a consent, put together from what is kept."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.consent.model.consent_receipts import Party, record
from services.consent.model.consents import Consent
from services.consent.model.histories import history
from services.consent.store import Stores
from shared.office import Office
from shared.uk.working_days import london_day


def receipt_of(stores: Stores, given: Consent, *, office: Office, now: datetime) -> dict[str, Any]:
    """The record of a consent as of now. What it names are ids, the office, organisations, and who gave it."""
    today = london_day(now)
    parties = {grant.party: _party(stores, grant.party) for grant in given.grants if grant.party is not None}
    return record(
        given,
        history(given, stores.endings_of(given.case_id), today=today),
        stores.standing(given.case_id, today),
        parties=parties,
        office=office,
        issued_at=now,
    )


def _party(stores: Stores, id: str) -> Party:
    organisation = stores.organisations.get(id)
    if organisation is None:
        return Party(id=id, name=None, kind="person")
    return Party(id=id, name=str(organisation.personal["name"]), kind=str(organisation.clear["kind"]))
