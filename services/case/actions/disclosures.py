"""The register of disclosures: to whom, what, and on which consent or duty (P14)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.case.actions.access import enter_case, require_writable
from services.case.actions.outward import SHARE, consent_for, is_organisation, name_organisation
from services.case.context import Context
from services.case.model.cases import SHELL
from services.case.model.disclosures import (
    CONSENT,
    LEGAL_DUTY_IS_FOR_MANAGERS,
    NOT_AGREED_SENTENCE,
    SHELL_SENTENCE,
    Disclosure,
)
from shared.db.unit_of_work import Tx
from shared.errors import ConsentRequired, Forbidden, Invalid
from shared.ids import new_id


def record_disclosure(
    context: Context, *, case_id: str, given: Mapping[str, Any], by: str, by_manager: bool, now: datetime
) -> Disclosure:
    """Record what is disclosed on consent or under a legal duty. given: fields of `Disclosure` that its basis asks for.

    Raises Forbidden for a legal duty by anyone but a manager, Invalid for a party that isn't known, ConsentRequired,
    Unavailable, and as the gate does.
    """
    stores = context.stores
    on_consent = given["basis"] == CONSENT
    if not on_consent and not by_manager:
        raise Forbidden(LEGAL_DUTY_IS_FOR_MANAGERS)
    require_writable(stores, case_id=case_id, now=now)
    party = given.get("party")
    if party is not None:
        _require_known(context, case_id, party, on_consent=on_consent)
    consent_id = None
    if on_consent:
        consent_id = consent_for(
            context.calls, case_id=case_id, purpose=SHARE, party=str(party), otherwise=NOT_AGREED_SENTENCE
        )
    made = Disclosure(id=new_id(), case_id=case_id, consent_id=consent_id, recorded_at=now, recorded_by=by, **given)

    def act(tx: Tx) -> Disclosure:
        case = enter_case(stores, case_id=case_id, now=now, tx=tx)
        if not on_consent and case.state == SHELL:
            raise ConsentRequired(SHELL_SENTENCE)
        return stores.disclosures.add(made, tx=tx)

    return stores.unit_of_work.run(act)


def _require_known(context: Context, case_id: str, party: str, *, on_consent: bool) -> None:
    """Raises Invalid unless the party is a person of the case, or an organisation that is entered."""
    if context.stores.people.get(party, case_id=case_id) is not None:
        return
    # A consent to the party keeps it. Under a legal duty there may be none.
    calls = context.calls
    if not (is_organisation(calls, party) if on_consent else name_organisation(calls, party, case_id=case_id)):
        raise Invalid(
            "The party is neither an organisation nor a person of the case. Nothing was stored.",
            errors={"party": ["There is no such organisation or person here."]},
        )
