"""Consents given and withdrawn; decisions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.consent.actions.automatic_erasures import request_erasure
from services.consent.actions.ledger import enter
from services.consent.actions.organisations import refuse_ending
from services.consent.actions.others import Others
from services.consent.actions.reviews import schedule
from services.consent.actions.rights import refuse_parental, settle_answered
from services.consent.actions.standing_events import emit_standing
from services.consent.actions.tasks import settle_task
from services.consent.context import Context
from services.consent.model import rights
from services.consent.model.consents import (
    CHILD,
    PARENTAL,
    YOUNG,
    YOUNG_PERSON,
    Consent,
    Decision,
    Ended,
    Ending,
    Expiry,
    Grant,
    Standing,
    decide,
    faults,
)
from services.consent.model.histories import is_given_twice, last_to_leave, supersessions
from services.consent.model.requests import SYSTEM
from services.consent.model.tasks import Kind
from services.consent.store import Stores, queries
from shared import events
from shared.db.gates import FROZEN
from shared.db.unit_of_work import Tx
from shared.errors import Conflict, ConsentRequired, Invalid, NotFound
from shared.events import Event
from shared.ids import new_id
from shared.known_consents import CASEWORK
from shared.ledger import WITHDRAWAL
from shared.uk.working_days import london_day

# Other services tell this reason from the rest: a document can come only from an organisation that is entered here.
NO_SUCH_ORGANISATION = "no-such-organisation"
RIGHTS_PASSED = "rights-passed"
# Asked about a person whom the case service hasn't told of yet: a caller that can wait asks again.
NOBODY_KNOWN_YET = "nobody-known-yet"
NO_CONSENT = "There is no such consent here."
_CANT = "The consent can't be recorded as it stands. Nothing was stored."


def give_consent(stores: Stores, given: Consent, others: Others, *, now: datetime) -> Consent:
    """Record a consent and say what stands (P2, P6, P7).

    Raises Invalid for what can't be so, ConsentRequired when nothing is agreed about the file itself, Conflict for one
    that is recorded already, that rests on parental authority which has passed, or that names an organisation which is
    ending, and as the gate does.
    """
    check_consent(stores, given, others, now=now)

    def act(tx: Tx) -> Consent:
        record_consent(stores, tx, given, now=now)
        return given

    return stores.unit_of_work.run(act)


def check_consent(stores: Stores, given: Consent, others: Others, *, now: datetime) -> None:
    """Raises Invalid for what can't be so, naming each field; the first thing, before anything is written."""
    wrong = faults(given, now=now)
    wrong |= _strangers(stores, given, others)
    if given.evidence is not None and not others.has_document(given.evidence):
        wrong["evidence"] = ["This is no document of the case."]
    if wrong:
        raise Invalid(_CANT, errors=wrong)


def record_consent(stores: Stores, tx: Tx, given: Consent, *, now: datetime) -> Event:
    """Go through the gate, keep the consent, and say what stands; the event that says it. Raises as `give_consent`."""
    case_id = given.case_id
    tx.enter(case_id)
    refuse_ending(stores, tx, {grant.party for grant in given.grants if grant.party is not None})
    before = stores.consents.of_case(case_id, tx=tx)
    stands = queries.standing(stores, case_id, london_day(now), tx=tx)
    first_adult = queries.first_adult(stores, case_id, tx=tx)
    require_file((*(s.grant for s in stands), *given.grants))
    if is_given_twice(given, before, first_adult=first_adult):
        raise Conflict("This consent is recorded already: the same words, at the same moment. Nothing was stored.")
    if given.capacity == PARENTAL:
        refuse_parental(stores, tx, case_id, now)
    if given.represented_by == "parent":
        _refuse_parent_beside_others(before, {s.consent_id for s in stands}, given)
    return enter_consent(stores, tx, given, before, stands)


def require_file(grants: Iterable[Grant]) -> None:
    """Raises ConsentRequired where nothing is agreed about the file itself."""
    if not any(grant.purpose == CASEWORK for grant in grants):
        raise ConsentRequired(
            "There is no consent to a case file yet, and this one has no purpose `casework`. Nothing was stored."
        )


def enter_consent(
    stores: Stores, tx: Tx, given: Consent, before: Sequence[Consent], stands: Sequence[Standing]
) -> Event:
    """Keep it, end what gives way to it, and say what stands; the caller went through the gate and settled that it may.

    before, stands: the consents of the case until now, and what stands of them. Returns the event.
    """
    case_id, today = given.case_id, london_day(tx.now)
    first_adult = queries.first_adult(stores, case_id, tx=tx)
    stores.consents.add(given, tx=tx)
    for day in sorted({grant.until for grant in given.grants if grant.until is not None}):
        stores.expiries.add(Expiry(id=new_id(), case_id=case_id, consent_id=given.id, on=day), tx=tx)
    for consent_id, grants, newer in supersessions(given, before, stands, first_adult=first_adult):
        ending = Ending(
            id=new_id(),
            case_id=case_id,
            consent_id=consent_id,
            kind=Ended.SUPERSEDED,
            grants=grants,
            superseded_by=newer,
            recorded_at=tx.now,
        )
        stores.endings.add(ending, tx=tx)
    settle_answered(stores, tx, case_id, today)
    if any(g.purpose == CASEWORK for g in given.grants):
        settle_task(stores, tx, case_id=case_id, kind=Kind.CONSENT_EXPIRED)
    schedule(stores, tx, case_id)
    return emit_standing(stores, tx, events.consent.GIVEN, case_id=case_id, consent_id=given.id, today=today)


def _strangers(stores: Stores, given: Consent, others: Others) -> dict[str, list[str]]:
    """Each person or party who is named and isn't of this case, or isn't what they are said to be."""
    wrong: dict[str, list[str]] = {}
    if given.person_id is not None:
        role = others.role_of(given.person_id)
        if role is None:
            wrong["given_by.person_id"] = ["This is no person of the case."]
        elif given.capacity in (YOUNG_PERSON, CHILD) and role not in YOUNG:
            wrong["given_by.person_id"] = ["This person is no child or young person of the case."]
        elif given.capacity == PARENTAL and role in YOUNG:
            wrong["given_by.capacity"] = ["A child or young person of the case has no parental responsibility in it."]
    if given.for_person_id is not None and others.role_of(given.for_person_id) not in YOUNG:
        wrong["given_by.for_person_id"] = ["This is no child or young person of the case."]
    parties = {grant.party for grant in given.grants if grant.party is not None}
    if any(queries.organisation(stores, party) is None and others.role_of(party) is None for party in sorted(parties)):
        wrong["purposes"] = ["A party is neither an organisation nor a person of the case."]
    return wrong


def _refuse_parent_beside_others(before: Sequence[Consent], standing: set[str], given: Consent) -> None:
    """A parent represents a person only where no deputy and no attorney does."""
    if any(
        one.id in standing and one.for_person_id == given.for_person_id and one.represented_by in ("deputy", "attorney")
        for one in before
    ):
        raise Conflict(
            "A deputy or an attorney represents this person already, so a parent doesn't. Nothing was stored. "
            "Withdraw that consent first, if they no longer do."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """A withdrawal, and the erasure that it asks for where it was the last consent to the file."""

    ending: Ending
    request_id: str | None


def withdraw(
    context: Context,
    *,
    id: str,
    request_id: str,
    consent_id: str,
    channel: str,
    by: str,
    grants: tuple[Grant, ...] | None,
    recorded_by: str,
    now: datetime,
) -> Withdrawn:
    """End a consent, or some of its purposes; also while the case is frozen.

    What rested on it stops. When no consent to the file stands any more an erasure is requested in the name of the
    person who withdrew: it waits for confirmation like any other, by another person than `recorded_by`.
    Raises NotFound; Invalid for a purpose that was never given; Conflict when all of it had ended before.
    """
    stores, today = context.stores, london_day(now)
    found = stores.consents.get(consent_id)
    if found is None:
        raise NotFound(NO_CONSENT)
    case_id = found.case_id

    def act(tx: Tx) -> Withdrawn:
        tx.enter(case_id, frozen_too=True)
        given = stores.consents.get(consent_id, tx=tx)
        if given is None:
            raise NotFound(NO_CONSENT)
        if grants is not None and (not grants or any(grant not in given.grants for grant in grants)):
            raise Invalid(
                "A consent can be withdrawn only for what it was given for. Nothing was changed.",
                errors={"purposes": ["A purpose named here was never given by this consent."]},
            )
        stands = queries.standing(stores, case_id, today, tx=tx)
        left = {s.grant for s in stands if s.consent_id == consent_id}
        if not left.intersection(given.grants if grants is None else grants):
            raise Conflict(
                "None of this stands any more: it was withdrawn, ran out, or gave way to a newer consent. "
                "Nothing was changed."
            )
        ending = Ending(
            id=id, case_id=case_id, consent_id=consent_id, channel=channel, by=by, grants=grants, recorded_at=now
        )
        stores.endings.add(ending, tx=tx)
        young = stores.rights.of_case(case_id, tx=tx)
        after = queries.standing(stores, case_id, today, tx=tx)
        requested: str | None = None
        if last_to_leave(*(rights.speaking(s, young, today=today) for s in (stands, after))):
            # Before the event of the withdrawal: the last letter goes by the consents as they stood.
            requested = request_erasure(
                context,
                tx,
                given,
                id=request_id,
                at=now,
                channel=channel,
                note="The last consent to the case file was withdrawn.",
                logged_by=SYSTEM,
                recorded_by=recorded_by,
            )
        schedule(stores, tx, case_id)
        emit_standing(stores, tx, events.consent.WITHDRAWN, case_id=case_id, consent_id=consent_id, today=today)
        enter(stores, tx, WITHDRAWAL, id, case_id)
        return Withdrawn(ending=ending, request_id=requested)

    return stores.unit_of_work.run(act)


def decision(stores: Stores, *, case_id: str, asked: Grant, person_id: str | None, now: datetime) -> Decision:
    """Whether this may be done now. A frozen case allows nothing: sending and sharing have stopped (P24)."""
    if stores.unit_of_work.gates.state(case_id) == FROZEN:
        return Decision(allowed=False, reason="frozen")
    if asked.purpose == "obtain_documents" and (
        asked.party is None or queries.organisation(stores, asked.party) is None
    ):
        return Decision(allowed=False, reason=NO_SUCH_ORGANISATION)
    today, first_adult = london_day(now), queries.first_adult(stores, case_id)
    stands, young = queries.standing(stores, case_id, today), stores.rights.of_case(case_id)
    agreed = decide(stands, asked, person_id=person_id, first_adult=first_adult)
    if not agreed.allowed:
        # A consent that names no person speaks for the adult added first, and the case service hasn't told of any yet.
        waits = person_id is not None and first_adult is None and any(s.person_id is None for s in stands)
        return replace(agreed, reason=NOBODY_KNOWN_YET) if waits else agreed
    covering = rights.covering(stands, young, today=today)
    covered = decide(covering, asked, person_id=person_id, first_adult=first_adult)
    return covered if covered.allowed else Decision(allowed=False, reason=RIGHTS_PASSED)
