"""One consent after another: who gave it, what gives way to something newer, and what has happened to each."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from services.consent.model.consents import Consent, Ended, Ending, Grant, Standing
from shared.known_consents import CASEWORK
from shared.uk.working_days import end_of_day


def same_person(one: Consent, other: Consent, *, first_adult: str | None) -> bool:
    """Whether the same person gave both, for themselves or for the same young person.

    Where neither names a person the names decide; where one does, the other must be theirs by name and speak for the
    adult added first. In doubt they are two people: one person's consent doesn't end by another's.
    """
    if one.for_person_id != other.for_person_id:
        return False
    if one.person_id and other.person_id:
        return one.person_id == other.person_id
    named = one.person_id or other.person_id
    return (named is None or named == first_adult) and _folded(one) == _folded(other)


def _folded(consent: Consent) -> str:
    return " ".join(unicodedata.normalize("NFKC", consent.name).casefold().split())


def is_given_twice(new: Consent, before: Iterable[Consent], *, first_adult: str | None) -> bool:
    """Whether the same person's same words to the same purposes at the same moment are recorded already."""
    return any(
        one.given_at == new.given_at
        and one.statement_version == new.statement_version
        and set(one.grants) == set(new.grants)
        and same_person(one, new, first_adult=first_adult)
        for one in before
    )


def supersessions(
    new: Consent, before: Sequence[Consent], stands: Iterable[Standing], *, first_adult: str | None
) -> list[tuple[str, tuple[Grant, ...], str]]:
    """What ends because the same person has said something newer: (consent, its grants, the newer consent).

    Newer is by when it was given, so a consent that is recorded late can be the older one, and then ends at once,
    also where the newer has been withdrawn since.
    """
    theirs = [one for one in before if same_person(one, new, first_adult=first_adult)]
    left = {(s.consent_id, s.grant) for s in stands}
    ends = []
    for one in theirs:
        if one.given_at <= new.given_at:
            gone = tuple(g for g in one.grants if (one.id, g) in left and any(n.covers(g) for n in new.grants))
            if gone:
                ends.append((one.id, gone, new.id))
    late: list[Grant] = []
    for one in sorted(theirs, key=lambda c: c.given_at):
        if one.given_at > new.given_at:
            gone = tuple(g for g in new.grants if g not in late and any(n.covers(g) for n in one.grants))
            late += gone
            if gone:
                ends.append((new.id, gone, one.id))
    return ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One line of a consent's history. purposes None: all of them."""

    event: str
    at: datetime
    purposes: tuple[Grant, ...] | None = None
    superseded_by: str | None = None


def history(consent: Consent, endings: Iterable[Ending], *, today: date) -> list[Happening]:
    """Everything that has happened to a consent, oldest first; an expiry counts from its day, noticed or not."""
    theirs = [e for e in endings if e.consent_id == consent.id]
    ended = {g for e in theirs for g in consent.grants if e.ends(g)}
    told = [Happening(event="given", at=consent.given_at)]
    told += [
        Happening(event=e.kind, at=e.recorded_at, purposes=e.grants, superseded_by=e.superseded_by) for e in theirs
    ]
    over = [g for g in consent.grants if g.until is not None and g.until < today and g not in ended]
    for day in sorted({g.until for g in over if g.until is not None}):
        gone = tuple(g for g in over if g.until == day)
        told.append(Happening(event=Ended.EXPIRED, at=end_of_day(day), purposes=gone))
    return sorted(told, key=lambda one: one.at)


def last_to_leave(before: Iterable[Standing], after: Iterable[Standing]) -> bool:
    """Whether the file itself was agreed to before, and isn't any more."""
    return any(s.grant.purpose == CASEWORK for s in before) and not any(s.grant.purpose == CASEWORK for s in after)
