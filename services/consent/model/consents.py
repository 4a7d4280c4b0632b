"""Consents: who agreed to what, after being told, and what of it stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum

from shared.clock import CLOCKS_DIFFER
from shared.known_consents import CASEWORK
from shared.uk.working_days import end_of_day, london_day

PARENTAL, YOUNG_PERSON, CHILD, OTHER = "parental_responsibility", "young_person", "child", "other"
CAPACITIES = (PARENTAL, YOUNG_PERSON, CHILD, OTHER)
#: Who decides for a person who can't, in this order: a parent only where there is no deputy and no attorney.
REPRESENTATIVES = ("deputy", "attorney", "parent")
#: The people of a case whose file it is, by role: the others speak for them, or for themselves.
YOUNG = frozenset({"child", "young_person"})
CHANNELS = ("phone", "in_person", "email", "letter", "form", "website")
NEEDS_PARTY = frozenset({"contact", "obtain_documents", "share"})
NEEDS_BASIS = frozenset({CHILD, OTHER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One purpose, with the party and the document kind it is limited to, where it is.

    until: the last day on which it stands, in London, included; None until it is withdrawn. Two grants of the same
    purpose are equal, also with different days.
    """

    purpose: str
    party: str | None = None
    document_kind: str | None = None
    until: date | None = field(default=None, compare=False)

    def covers(self, asked: Grant) -> bool:
        """Whether agreeing to this is agreeing to what is asked.

        A grant without a document kind covers every kind; one that names a kind covers that kind alone.
        """
        if self.purpose != asked.purpose or self.party != asked.party:
            return False
        return self.document_kind is None or self.document_kind == asked.document_kind

    def until_at_most(self, day: date | None) -> Grant:
        """The same grant, ending on that day at the latest."""
        days = [one for one in (self.until, day) if one is not None]
        return replace(self, until=min(days, default=None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """One consent as it was given; never changed afterwards (P7).

    name, capacity, person_id: who gave it; person_id None where they weren't named as a person of the case.
    basis: on what basis they agree, or how a child's competence was judged. for_person_id: the person for whom they
    decide, who can't; with it represented_by, how_judged and judged_by. evidence: the id of a document of the case.
    until: what was said for the whole of it; each grant has its own last day already.
    """

    id: str
    case_id: str
    name: str
    capacity: str
    person_id: str | None = None
    basis: str | None = None
    for_person_id: str | None = None
    represented_by: str | None = None
    how_judged: str | None = None
    judged_by: str | None = None
    channel: str
    informed_at: datetime
    given_at: datetime
    statement_version: int
    statement_sha256: str
    grants: tuple[Grant, ...]
    evidence: str | None = None
    recorded_at: datetime
    recorded_by: str
    until: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """A last day to come of a consent, by which the clock finds it. A consent itself is never changed."""

    id: str
    case_id: str
    consent_id: str
    on: date
    version: int = 1


class Ended(StrEnum):
    """How a consent, or some of its purposes, came to its end."""

    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    #: The annual review was not answered (P22).
    SILENT = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """An end to a consent, or to some of its purposes (grants None: all); appended, never a change to the consent.

    channel and by: of a withdrawal. superseded_by: the newer consent.
    """

    id: str
    case_id: str
    consent_id: str
    kind: Ended = Ended.WITHDRAWN
    grants: tuple[Grant, ...] | None
    recorded_at: datetime
    channel: str | None = None
    by: str | None = None
    superseded_by: str | None = None

    def ends(self, grant: Grant) -> bool:
        return self.grants is None or grant in self.grants


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A grant that stands, the consent it comes from and the person who gave it (None: none was named)."""

    consent_id: str
    person_id: str | None
    grant: Grant
    capacity: str = OTHER
    for_person_id: str | None = None

    @property
    def until(self) -> datetime | None:
        """The last second of its last day in London."""
        return None if self.grant.until is None else end_of_day(self.grant.until)


def standing(consents: Iterable[Consent], endings: Iterable[Ending], *, today: date) -> tuple[Standing, ...]:
    """What still stands of these consents on that London day, oldest consent first."""
    ended: dict[str, list[Ending]] = {}
    for ending in endings:
        ended.setdefault(ending.consent_id, []).append(ending)
    return tuple(
        Standing(
            consent_id=consent.id,
            person_id=consent.person_id,
            grant=grant,
            capacity=consent.capacity,
            for_person_id=consent.for_person_id,
        )
        for consent in sorted(consents, key=lambda c: c.id)
        for grant in consent.grants
        if (grant.until is None or today <= grant.until)
        and not any(ending.ends(grant) for ending in ended.get(consent.id, ()))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether something may be done now, which consent says so, and the last second until which it does."""

    allowed: bool
    reason: str
    consent_id: str | None = None
    until: datetime | None = None


def decide(stands: Iterable[Standing], asked: Grant, *, person_id: str | None, first_adult: str | None) -> Decision:
    """Whether what is asked rests on a consent that stands.

    person_id: only that person's consent counts; one that names no person speaks for the adult added first.
    Everything but the file itself also needs the file: without `casework` nothing else is allowed (P4).
    """
    theirs = [s for s in stands if person_id is None or (s.person_id or first_adult) == person_id]
    file = _longest(s for s in theirs if s.grant.purpose == CASEWORK)
    if file is None:
        return Decision(allowed=False, reason="no-casework-consent")
    found = _longest(s for s in theirs if s.grant.covers(asked))
    if found is None:
        return Decision(allowed=False, reason="no-consent-for-this")
    ends = [one.until for one in (file, found) if one.until is not None]
    return Decision(
        allowed=True, reason="consent-stands", consent_id=found.consent_id, until=min(ends) if ends else None
    )


def _longest(stands: Iterable[Standing]) -> Standing | None:
    """The one that stands longest; of equals the oldest."""
    return max(stands, key=lambda s: date.max if s.grant.until is None else s.grant.until, default=None)


def faults(given: Consent, *, now: datetime) -> dict[str, list[str]]:
    """What is wrong with a consent before it is recorded, by field of its body; empty when nothing is (P6, P7).

    A clock a little ahead of ours is not a consent given in the future.
    """
    wrong: dict[str, list[str]] = {}
    if given.given_at > now + CLOCKS_DIFFER:
        wrong["given_at"] = ["A consent can't be given in the future."]
    elif given.given_at < given.informed_at:
        wrong["given_at"] = ["A consent can't be given before the person was informed."]
    if given.informed_at > now + CLOCKS_DIFFER:
        wrong["informed_at"] = ["The person can't have been informed in the future."]
    wrong |= _capacity_faults(given)
    if said := _purpose_faults(given.grants, today=london_day(now)):
        wrong["purposes"] = said
    return wrong


def _capacity_faults(given: Consent) -> dict[str, list[str]]:
    represents, for_person = given.represented_by is not None, given.for_person_id is not None
    wrong: dict[str, list[str]] = {}
    if given.capacity in NEEDS_BASIS and not given.basis and not represents:
        wrong["given_by.basis"] = ["Say on what basis, or how competence was judged."]
    if represents and (not for_person or given.capacity != OTHER):
        wrong["given_by.incapacity"] = [
            "A person who decides for someone who can't has the capacity `other`, and names them in `for_person_id`."
        ]
    if for_person and not represents:
        wrong["given_by.incapacity"] = [
            "Say who represents this person, how that they can't decide was judged, by whom."
        ]
    if for_person and given.for_person_id == given.person_id:
        wrong["given_by.for_person_id"] = ["A person can't represent themselves."]
    return wrong


def _purpose_faults(grants: Sequence[Grant], *, today: date) -> list[str]:
    said: set[str] = set()
    for grant in grants:
        if grant.purpose in NEEDS_PARTY and grant.party is None:
            said.add("Contact, obtaining documents and sharing each need the party they are about.")
        if grant.purpose not in NEEDS_PARTY and grant.party is not None:
            said.add("Casework and email name no party.")
        if grant.document_kind is not None and grant.purpose != "obtain_documents":
            said.add("Only obtaining documents can be limited to a kind.")
        if grant.until is not None and grant.until < today:
            said.add("The last day of a purpose (`until`) is over.")
    if len(set(grants)) != len(grants):
        said.add("The same purpose is named twice.")
    return sorted(said)
