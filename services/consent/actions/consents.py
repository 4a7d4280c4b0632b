"""Consents given, declined and withdrawn; decisions; organisations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from services.consent.model.consents import Consent, Decision, Grant, Standing, Withdrawal, decide, faults
from services.consent.store import Stores
from shared import events
from shared.errors import Conflict, ConsentRequired, Invalid, NotFound
from shared.gates import FROZEN
from shared.work import Tx

LEDGER_STEP = "ledger"
# Other services tell this reason from the rest: a document can come only from an organisation that is entered here.
NO_SUCH_ORGANISATION = "no-such-organisation"


def add_organisation(stores: Stores, *, id: str, name: str, kind: str) -> Mapping[str, Any]:
    """Enter an organisation that a consent, a contact or a document can name by its id."""

    def act(tx: Tx) -> Mapping[str, Any]:
        stores.organisations.insert(tx, id=id, case_id=None, clear={"kind": kind}, personal={"name": name})
        return {"id": id, "name": name, "kind": kind}

    return stores.work.run(act)


def give_consent(
    stores: Stores,
    *,
    id: str,
    case_id: str,
    given_by: Mapping[str, Any],
    channel: str,
    informed_at: datetime,
    given_at: datetime,
    statement_version: str,
    grants: Sequence[Grant],
    evidence: str | None,
    recorded_by: str,
    is_person: Callable[[str], bool],
    now: datetime,
) -> Consent:
    """Record a consent and tell everyone what stands (P2, P6, P7).

    is_person: whether the id is a person of this case. Raises Invalid for what can't be so, ConsentRequired when
    nothing is agreed about the file itself, and as the gate does.
    """
    wrong = faults(informed_at=informed_at, given_at=given_at, grants=grants, given_by=given_by, now=now)
    person_id = given_by.get("person_id")
    if person_id is not None and not is_person(person_id):
        wrong["given_by.person_id"] = ["This is no person of the case."]
    parties = {grant.party for grant in grants if grant.party is not None}
    if any(stores.organisations.get(party) is None and not is_person(party) for party in sorted(parties)):
        wrong.setdefault("purposes", []).append("A party is neither an organisation nor a person of the case.")
    if wrong:
        raise Invalid("The consent can't be recorded as it stands. Nothing was stored.", errors=wrong)
    given = Consent(
        id=id,
        case_id=case_id,
        given_by=given_by,
        channel=channel,
        informed_at=informed_at,
        given_at=given_at,
        statement_version=statement_version,
        grants=tuple(grants),
        evidence=evidence,
        recorded_at=now,
        recorded_by=recorded_by,
    )

    def act(tx: Tx) -> Consent:
        tx.enter(case_id)
        stands = stores.standing(case_id, tx)
        file_agreed = any(s.grant.purpose == "casework" for s in stands)
        if not file_agreed and not any(grant.purpose == "casework" for grant in grants):
            raise ConsentRequired(
                "Nobody has agreed to a case file yet, and this consent has no purpose `casework`. Nothing was stored."
            )
        stores.add_consent(tx, given)
        _tell(tx, events.consent.GIVEN, given.id, stores.standing(case_id, tx), case_id)
        return given

    return stores.work.run(act)


def withdraw(
    stores: Stores,
    *,
    id: str,
    consent_id: str,
    channel: str,
    by: str,
    grants: Sequence[Grant] | None,
    now: datetime,
) -> Withdrawal:
    """End a consent, or some of its purposes; also while the case is frozen.

    Raises NotFound; Invalid for a purpose that was never given; Conflict when all of it was withdrawn before.
    """
    record = stores.consents.get(consent_id)
    if record is None:
        raise NotFound("There is no such consent here.")
    case_id = str(record.case_id)
    end = Withdrawal(
        id=id,
        case_id=case_id,
        consent_id=consent_id,
        channel=channel,
        by=by,
        grants=None if grants is None else tuple(grants),
        at=now,
    )

    def act(tx: Tx) -> Withdrawal:
        tx.enter(case_id, frozen_too=True)
        given = next((c for c in stores.consents_of(case_id, tx) if c.id == consent_id), None)
        if given is None:
            raise NotFound("There is no such consent here.")
        if grants is not None and (not grants or any(grant not in given.grants for grant in grants)):
            raise Invalid(
                "A consent can be withdrawn only for what it was given for. Nothing was changed.",
                errors={"purposes": ["A purpose named here was never given by this consent."]},
            )
        left = {s.grant for s in stores.standing(case_id, tx) if s.consent_id == consent_id}
        if not left.intersection(given.grants if grants is None else grants):
            raise Conflict("This was withdrawn before. Nothing was changed.")
        stores.add_withdrawal(tx, end)
        _tell(tx, events.consent.WITHDRAWN, consent_id, stores.standing(case_id, tx), case_id)
        stores.steps.add(tx, LEDGER_STEP, f"withdrawal:{id}", case_id)
        return end

    return stores.work.run(act)


def decision(stores: Stores, *, case_id: str, asked: Grant, person_id: str | None) -> Decision:
    """Whether this may be done now. A frozen case allows nothing: sending and sharing have stopped (P24)."""
    if stores.work.gates.state(case_id) == FROZEN:
        return Decision(allowed=False, reason="frozen")
    if asked.purpose == "obtain_documents" and (asked.party is None or stores.organisations.get(asked.party) is None):
        return Decision(allowed=False, reason=NO_SUCH_ORGANISATION)
    stands = stores.standing(case_id)
    return decide(stands, asked, person_id=person_id, first_adult=stores.first_adult(case_id))


def _tell(tx: Tx, event_type: events.EventType, consent_id: str, stands: Sequence[Standing], case_id: str) -> None:
    tx.emit(
        event_type,
        {
            "case": case_id,
            "consent": consent_id,
            "standing": [
                {
                    "consent": s.consent_id,
                    "purpose": s.grant.purpose,
                    "party": s.grant.party,
                    "document_kind": s.grant.document_kind,
                    "person": s.person_id,
                    "until": None,
                }
                for s in stands
            ],
        },
    )
