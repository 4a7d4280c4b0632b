"""An erasure that follows from what became of a consent: requested in the name of the person who gave it."""

from __future__ import annotations

from datetime import datetime

from services.consent.actions.requests import log_or_join, new_erasure
from services.consent.context import Context
from services.consent.model.consents import CHILD, PARENTAL, YOUNG_PERSON, Consent
from shared.db.unit_of_work import Tx

_AUTHORITY = {PARENTAL: "parental_responsibility", YOUNG_PERSON: "self", CHILD: "self"}


def authority_of(given: Consent) -> str:
    """On what authority the person who gave this consent asks for an erasure."""
    return _AUTHORITY.get(given.capacity, "representative")


def request_erasure(
    context: Context,
    tx: Tx,
    given: Consent,
    *,
    id: str,
    at: datetime,
    channel: str,
    note: str,
    logged_by: str,
    recorded_by: str | None = None,
) -> str:
    """Log an erasure, received and logged at `at`, or join the open one; its id. The caller went through the gate."""
    made_by = {"name": given.name, "authority": authority_of(given)}
    if given.person_id is not None:
        made_by["person_id"] = given.person_id
    new = new_erasure(
        context,
        id=id,
        case_id=given.case_id,
        received_at=at,
        channel=channel,
        personal={"made_by": made_by, "note": note},
        identity_settled=True,
        logged_by=logged_by,
        recorded_by=recorded_by,
        now=at,
    )
    return log_or_join(context.stores, tx, new)[0].id
