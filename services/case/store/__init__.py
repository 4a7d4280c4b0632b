"""The case service's stores. An erasure empties all of them but those of safeguarding (P15)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.case.model.cases import CHANNELS, Case, PendingIntake
from services.case.model.contacts import Contact
from services.case.model.disclosures import Disclosure
from services.case.model.entries import KINDS, Entry
from services.case.model.people import Person
from services.case.model.safe_contact import Stop
from services.case.model.safeguarding import STATES, Concern, key_of
from services.case.model.search import Criterion, SearchHashes
from shared import known_consents
from shared.db import Disposal, Register, Repository
from shared.db.changes import CASE, Feed
from shared.db.unit_of_work import UnitOfWork
from shared.erasure.named_keys import AddsSteps, NamedKeys
from shared.events.case import STATES as CASE_STATES
from shared.fields import Count, Day, Digest, Field, Id, Optional, Reference, Subject, Time, one_of
from shared.known_consents import KnownConsents

_CASE: Final[dict[str, Field]] = {
    "reference": Reference(),
    "state": one_of(*CASE_STATES),
    "channel": one_of(*CHANNELS),
    "created_at": Time(),
    "expires_at": Optional(Time()),
    "level": Optional(Count()),
}
_ENTRY: Final[dict[str, Field]] = {
    "kind": one_of(*KINDS),
    "happened_at": Time(),
    "recorded_at": Time(),
    "recorded_by": Subject(),
    "corrects": Optional(Id()),
    "level": Optional(Count()),
}
_CONTACT: Final[dict[str, Field]] = {
    "organisation_id": Id(),
    "consent_id": Id(),
    "recorded_at": Time(),
    "recorded_by": Subject(),
}
# On which ground something is told, to whom, and whether the family knows, is sealed: so is who recorded it, since one
# of the grounds is for managers alone.
_DISCLOSURE: Final[dict[str, Field]] = {"recorded_at": Time()}
# What the retention, the alert and the list of those to review go by; nothing of whom it is about.
_CONCERN: Final[dict[str, Field]] = {
    # Not `case_id`: what goes by the case must not come upon it.
    "about_hash": Optional(Digest()),
    "recorded_at": Time(),
    "state": one_of(*STATES),
    "hold_until": Optional(Day()),
    "alerted_at": Optional(Time()),
}
_WHY_APART: Final = (
    "Safeguarding is a recorded departure from the promise to erase: said in the statement, with its own retention."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """What the case service keeps; the way to write it, its keys, and the steps that its transactions leave.

    A concern is written through no case's gate, which may be closed.
    """

    unit_of_work: UnitOfWork
    keys: NamedKeys
    steps: AddsSteps
    cases: Repository[Case]
    people: Repository[Person]
    stops: Repository[Stop]
    entries: Repository[Entry]
    contacts: Repository[Contact]
    disclosures: Repository[Disclosure]
    concerns: Repository[Concern]
    known_consents: Repository[KnownConsents]
    intakes: Repository[PendingIntake]
    search_hashes: Repository[SearchHashes]

    @classmethod
    def open(cls, register: Register, *, steps: AddsSteps, keys: NamedKeys) -> Stores:
        """Open every store through the register."""
        erase, open_ = Disposal.ERASE, register.repository
        return cls(
            unit_of_work=register.unit_of_work,
            keys=keys,
            steps=steps,
            cases=open_(
                "cases",
                Case,
                clear=_CASE,
                disposal=erase,
                unique=(("reference",),),
                feed=Feed(kind=CASE),
                # The sweep finds the shells whose time is over by the first; lists are filtered by the second.
                indexes=(("state", "expires_at"), ("state", "_id")),
            ),
            people=open_("people", Person, clear={}, disposal=erase, feed=Feed(kind="person")),
            stops=open_(
                "stops", Stop, clear={"by": Subject(), "at": Time()}, disposal=erase, feed=Feed(kind="stop_all")
            ),
            entries=open_(
                "entries",
                Entry,
                clear=_ENTRY,
                disposal=erase,
                indexes=(("case_id", "kind"), ("case_id", "corrects")),
                feed=Feed(kind="entry"),
            ),
            contacts=open_("contacts", Contact, clear=_CONTACT, disposal=erase, feed=Feed(kind="contact")),
            # Not in the feed: some are for managers alone, which its row doesn't say.
            disclosures=open_("disclosures", Disclosure, clear=_DISCLOSURE, disposal=erase),
            concerns=open_(
                "safeguarding",
                Concern,
                clear=_CONCERN,
                disposal=Disposal.APART,
                indexes=(("about_hash", "_id"), ("state", "_id"), ("recorded_at",)),
                key_of=lambda concern: key_of(concern.id),
                # The version stays, so that a reader's copy isn't out of date for them. A rotation renews the hash.
                unbound=("alerted_at", "about_hash"),
                why=_WHY_APART,
            ),
            known_consents=open_("projections", KnownConsents, clear=known_consents.CLEAR, disposal=erase),
            intakes=open_("intakes", PendingIntake, clear={}, disposal=erase, exported=False),
            # Short of entropy, so their key goes with the case's, and no one is given them.
            search_hashes=open_(
                "search_hashes",
                SearchHashes,
                clear={criterion.value: Optional(Digest()) for criterion in Criterion},
                unbound=tuple(Criterion),
                disposal=erase,
                indexes=tuple((criterion.value,) for criterion in Criterion),
                in_vault=True,
                exported=False,
            ),
        )
