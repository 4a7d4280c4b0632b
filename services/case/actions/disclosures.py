"""The register of disclosures: to whom, what, and on which consent or duty (P14)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.case.actions.cases import readable, still_writable, writable
from services.case.actions.outward import SHARE, Asks, consent_for, is_organisation
from services.case.model.cases import SHELL
from services.case.model.disclosures import (
    CONSENT,
    LEGAL_DUTY_IS_FOR_MANAGERS,
    NOT_AGREED_SENTENCE,
    SHELL_SENTENCE,
    Disclosure,
)
from services.case.store import CaseStores
from shared.db.unit_of_work import Tx
from shared.errors import ConsentRequired, Forbidden, Invalid, NotFound
from shared.ids import new_id


def record_disclosure(
    stores: CaseStores,
    calls: Asks,
    *,
    case_id: str,
    given: Mapping[str, Any],
    by: str,
    by_manager: bool,
    now: datetime,
) -> Disclosure:
    """Record what is told on consent or under a legal duty. given: fields of `Disclosure` that its basis asks for.

    Raises Forbidden for a legal duty by anyone but a manager, Invalid for a party that is nobody here,
    ConsentRequired, Unavailable, and as the gate does.
    """
    on_consent = given["basis"] == CONSENT
    if not on_consent and not by_manager:
        raise Forbidden(LEGAL_DUTY_IS_FOR_MANAGERS)
    still_writable(stores, case_id=case_id, now=now)
    party = given.get("party")
    if party is not None:
        _known(stores, calls, case_id, party)
    consent_id = None
    if on_consent:
        consent_id = consent_for(calls, case_id=case_id, purpose=SHARE, party=str(party), otherwise=NOT_AGREED_SENTENCE)
    made = Disclosure(id=new_id(), case_id=case_id, consent_id=consent_id, recorded_at=now, recorded_by=by, **given)

    def act(tx: Tx) -> Disclosure:
        case = writable(stores, tx, case_id, now)
        if not on_consent and case.state == SHELL:
            raise ConsentRequired(SHELL_SENTENCE)
        return stores.disclosures.add(tx, made)

    return stores.unit_of_work.run(act)


def _known(stores: CaseStores, calls: Asks, case_id: str, party: str) -> None:
    """Raises Invalid unless the party is a person of the case, or an organisation that is entered."""
    if stores.people.get(case_id, party) is None and not is_organisation(calls, party):
        raise Invalid(
            "The party is neither an organisation nor a person of the case. Nothing was stored.",
            errors={"party": ["There is no such organisation or person here."]},
        )


def list_disclosures(
    stores: CaseStores, *, case_id: str, after: str | None, limit: int, now: datetime
) -> list[Disclosure]:
    """Up to `limit` disclosures recorded after that one. Raises NotFound or Erased."""
    found = stores.disclosures.page(case_id, after=after, limit=limit)
    readable(stores, case_id=case_id, now=now)
    return found


def read_disclosure(stores: CaseStores, *, case_id: str, disclosure_id: str, now: datetime) -> Disclosure:
    """Raises NotFound or Erased."""
    made = stores.disclosures.get(case_id, disclosure_id)
    readable(stores, case_id=case_id, now=now)
    if made is None:
        raise NotFound("No such disclosure is known here.")
    return made
