"""Consents: who agreed to what, after being told, and what of it stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

CAPACITIES = ("parental_responsibility", "young_person", "child", "other")
CHANNELS = ("phone", "in_person", "email", "letter", "form", "website")
NEEDS_PARTY = frozenset({"contact", "obtain_documents", "share"})
NEEDS_BASIS = frozenset({"child", "other"})
# A clock a little ahead of ours is not a consent given in the future.
CLOCK_LEEWAY = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One purpose, with the party and the document kind it is limited to, where it is."""

    purpose: str
    party: str | None = None
    document_kind: str | None = None

    def covers(self, asked: Grant) -> bool:
        """Whether agreeing to this is agreeing to what is asked.

        A grant without a document kind covers every kind; one that names a kind covers that kind alone.
        """
        if self.purpose != asked.purpose or self.party != asked.party:
            return False
        return self.document_kind is None or self.document_kind == asked.document_kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """One consent as it was given; never changed afterwards (P7).

    given_by: {name, capacity, person_id?, basis?}.
    """

    id: str
    case_id: str
    given_by: Mapping[str, Any]
    channel: str
    informed_at: datetime
    given_at: datetime
    statement_version: str
    grants: tuple[Grant, ...]
    evidence: str | None
    recorded_at: datetime
    recorded_by: str

    @property
    def person_id(self) -> str | None:
        return self.given_by.get("person_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """An end to a consent, or to some of its purposes; appended, never a change to the consent."""

    id: str
    case_id: str
    consent_id: str
    channel: str
    by: str
    grants: tuple[Grant, ...] | None
    at: datetime

    def ends(self, grant: Grant) -> bool:
        return self.grants is None or grant in self.grants


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A grant that stands, the consent it comes from and the person who gave it (None: nobody was named)."""

    consent_id: str
    person_id: str | None
    grant: Grant


def standing(consents: Iterable[Consent], withdrawals: Iterable[Withdrawal]) -> tuple[Standing, ...]:
    """What still stands of these consents, oldest consent first."""
    ended: dict[str, list[Withdrawal]] = {}
    for withdrawal in withdrawals:
        ended.setdefault(withdrawal.consent_id, []).append(withdrawal)
    return tuple(
        Standing(consent_id=consent.id, person_id=consent.person_id, grant=grant)
        for consent in sorted(consents, key=lambda c: c.id)
        for grant in consent.grants
        if not any(withdrawal.ends(grant) for withdrawal in ended.get(consent.id, ()))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether something may be done now, and which consent says so."""

    allowed: bool
    reason: str
    consent_id: str | None = None
    until: datetime | None = None


def decide(stands: Iterable[Standing], asked: Grant, *, person_id: str | None, first_adult: str | None) -> Decision:
    """Whether what is asked rests on a consent that stands.

    person_id: only that person's consent counts; one that names nobody speaks for the adult added first.
    Everything but the file itself also needs the file: without `casework` nothing else is allowed (P4).
    """
    theirs = [s for s in stands if person_id is None or (s.person_id or first_adult) == person_id]
    if not any(s.grant.purpose == "casework" for s in theirs):
        return Decision(allowed=False, reason="no-casework-consent")
    for stand in theirs:
        if stand.grant.covers(asked):
            return Decision(allowed=True, reason="consent-stands", consent_id=stand.consent_id)
    return Decision(allowed=False, reason="no-consent-for-this")


def faults(
    *,
    informed_at: datetime,
    given_at: datetime,
    grants: Iterable[Grant],
    given_by: Mapping[str, Any],
    now: datetime,
) -> dict[str, list[str]]:
    """What is wrong with a consent before it is recorded, by field; empty when nothing is (P6, P7)."""
    wrong: dict[str, list[str]] = {}
    if given_at > now + CLOCK_LEEWAY:
        wrong["given_at"] = ["A consent can't be given in the future."]
    elif given_at < informed_at:
        wrong["given_at"] = ["A consent can't be given before the person was informed."]
    if informed_at > now + CLOCK_LEEWAY:
        wrong["informed_at"] = ["The person can't have been informed in the future."]
    if given_by["capacity"] in NEEDS_BASIS and not given_by.get("basis"):
        wrong["given_by.basis"] = ["Say on what basis, or how competence was judged."]
    said: list[str] = []
    seen: set[Grant] = set()
    for grant in grants:
        if grant.purpose in NEEDS_PARTY and grant.party is None:
            said.append("Contact, obtaining documents and sharing each need the party they are about.")
        if grant.purpose not in NEEDS_PARTY and grant.party is not None:
            said.append("Casework and email name no party.")
        if grant.document_kind is not None and grant.purpose != "obtain_documents":
            said.append("Only obtaining documents can be limited to a kind.")
        if grant in seen:
            said.append("The same purpose is named twice.")
        seen.add(grant)
    if said:
        wrong["purposes"] = sorted(set(said))
    return wrong
