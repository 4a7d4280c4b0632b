"""An erasure that follows from what became of a consent: asked for in the name of whoever gave it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.consent.actions.requests import log_or_join, new_erasure
from services.consent.model.consents import CHILD, PARENTAL, YOUNG_PERSON, Consent
from services.consent.store import Stores
from shared.db.unit_of_work import Tx

_AUTHORITY = {PARENTAL: "parental_responsibility", YOUNG_PERSON: "self", CHILD: "self"}


def authority_of(given: Consent) -> str:
    """On what authority whoever gave this consent asks for an erasure."""
    return _AUTHORITY.get(given.capacity, "representative")


def ask_erasure(
    stores: Stores,
    tx: Tx,
    given: Consent,
    *,
    id: str,
    at: datetime,
    channel: str,
    note: str,
    logged_by: str,
    elsewhere: Sequence[str],
    recorded_by: str | None = None,
) -> str:
    """Log an erasure, received and logged at `at`, or join the open one; its id. The caller went through the gate."""
    made_by = {"name": given.given_by["name"], "authority": authority_of(given)}
    if given.person_id is not None:
        made_by["person_id"] = given.person_id
    new = new_erasure(
        stores,
        id=id,
        case_id=given.case_id,
        received_at=at,
        channel=channel,
        personal={"made_by": made_by, "note": note},
        identity_settled=True,
        logged_by=logged_by,
        recorded_by=recorded_by,
        elsewhere=elsewhere,
        now=at,
    )
    return log_or_join(stores, tx, new)[0].id
