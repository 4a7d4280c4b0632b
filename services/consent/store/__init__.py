"""The consent service's stores, opened through the register."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pymongo.database import Database

from services.consent.model.clock import ClockRun
from services.consent.model.consents import Consent, Ending, Expiry
from services.consent.model.intakes import PendingIntake
from services.consent.model.organisations import Naming, Organisation, organisation_key
from services.consent.model.people import CasePeople
from services.consent.model.readings import Reading
from services.consent.model.requests import Hold, Receipt, Request, request_key
from services.consent.model.reviews import Review
from services.consent.model.rights import Young
from services.consent.model.tasks import Task
from services.consent.store import fields
from shared.db import Disposal, KeptRows, Register, Repository
from shared.db.changes import Feed
from shared.db.unit_of_work import UnitOfWork
from shared.erasure.grants import GrantSigner
from shared.erasure.named_keys import NamedKeys
from shared.ledger import FIELDS as LEDGER_FIELDS
from shared.messaging.steps import Steps
from shared.uk.working_days import WorkingDays

_ERASE = Disposal.ERASE


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Every store of the service, opened through the register once, and what actions write with.

    grants: signs what may be destroyed.
    """

    unit_of_work: UnitOfWork
    keys: NamedKeys
    steps: Steps
    calendar: WorkingDays
    grants: GrantSigner
    organisations: Repository[Organisation]
    namings: Repository[Naming]
    consents: Repository[Consent]
    endings: Repository[Ending]
    expiries: Repository[Expiry]
    intakes: Repository[PendingIntake]
    rights: Repository[Young]
    reviews: Repository[Review]
    clock_runs: Repository[ClockRun]
    tasks: Repository[Task]
    helpline_calls: KeptRows
    requests: Repository[Request]
    receipts: Repository[Receipt]
    readings: Repository[Reading]
    holds: Repository[Hold]
    people: Repository[CasePeople]
    archives: KeptRows
    ledger: KeptRows

    @classmethod
    def open(
        cls,
        register: Register,
        *,
        steps: Steps,
        keys: NamedKeys,
        calendar: WorkingDays,
        grants: GrantSigner,
        ledger_db: Database[Any],
    ) -> Stores:
        """Open them, in the order in which an erasure empties them. ledger_db: outside what is backed up."""
        return cls(
            unit_of_work=register.unit_of_work,
            keys=keys,
            steps=steps,
            calendar=calendar,
            grants=grants,
            organisations=register.repository(
                "organisations",
                Organisation,
                clear=fields.ORGANISATION,
                disposal=Disposal.KEEP,
                key_of=lambda organisation: organisation_key(organisation.id),
                why="organisations, which no case owns: each goes with its key once no case names it",
            ),
            # The records that name them are given to a family by the services that keep them.
            namings=register.repository(
                "namings",
                Naming,
                clear=fields.NAMING,
                disposal=_ERASE,
                unique=(("case_id", "organisation"),),
                indexes=(("organisation",),),
                exported=False,
            ),
            consents=register.repository(
                "consents",
                Consent,
                clear=fields.CONSENT,
                disposal=_ERASE,
                indexes=(("grants.party",),),
                feed=Feed(kind="consent"),
            ),
            endings=register.repository(
                "endings",
                Ending,
                clear=fields.ENDING,
                disposal=_ERASE,
                feed=Feed(kind="consent", id="consent_id", appended=True),
            ),
            # The clock's own list: the consents say the same days.
            expiries=register.repository(
                "expiries", Expiry, clear=fields.EXPIRY, disposal=_ERASE, indexes=(("on", "_id"),), exported=False
            ),
            intakes=register.repository("intakes", PendingIntake, clear={}, disposal=_ERASE, handed_on=True),
            rights=register.repository(
                "rights", Young, clear=fields.RIGHTS, disposal=_ERASE, indexes=(("next_on", "_id"),)
            ),
            reviews=register.repository(
                "reviews",
                Review,
                clear=fields.REVIEW,
                disposal=_ERASE,
                unique=(("consent_id",),),
                indexes=(("next_at", "_id"), ("due_on", "_id")),
                # A digest.
                not_exported=("ways",),
                feed=Feed(kind="review"),
            ),
            clock_runs=register.repository(
                "clock_runs",
                ClockRun,
                clear=fields.CLOCK_RUN,
                disposal=Disposal.KEEP,
                why="a run behind the last one, or far past it, stops; who confirmed one that didn't",
            ),
            tasks=register.repository(
                "tasks",
                Task,
                clear=fields.TASK,
                disposal=_ERASE,
                unique=(("case_id", "kind", "subject_id"),),
                indexes=(("state", "due_on"),),
                feed=Feed(kind="task"),
            ),
            helpline_calls=register.keep(
                "helpline_calls",
                clear=fields.HELPLINE_CALLS,
                retention=None,
                why="how many calls a month, where the office counts them: no caller, no day, no words",
            ),
            requests=register.repository(
                "requests",
                Request,
                clear=fields.REQUEST,
                disposal=Disposal.STRIP,
                indexes=(("status", "due_at"), ("case_id", "status")),
                key_of=lambda request: request_key(request.id) if request.own_key else None,
                not_exported=("attempts",),
                feed=Feed(kind="request"),
            ),
            receipts=register.repository(
                "receipts",
                Receipt,
                clear=fields.RECEIPT,
                disposal=Disposal.KEEP,
                indexes=(("request", "at"),),
                exported=False,
                why="a certificate is proven by them",
            ),
            readings=register.repository(
                "readings",
                Reading,
                clear=fields.READING,
                disposal=Disposal.KEEP,
                indexes=(("found", "next_at"), ("asked_at",)),
                exported=False,
                why="what the independent reader found, which a certificate carries",
            ),
            # Not exported: that there is one may say that a person is thought to be at risk (P15).
            holds=register.repository(
                "holds", Hold, clear=fields.HOLD, disposal=_ERASE, exported=False, feed=Feed(kind="hold")
            ),
            people=register.repository("people", CasePeople, clear=fields.PEOPLE, disposal=_ERASE),
            archives=register.keep(
                "archives",
                clear=fields.ARCHIVE,
                retention=timedelta(days=30),
                expires_on="gone_at",
                why="a certificate says when the last archive of keys is gone that was made before the erasure",
            ),
            ledger=register.keep(
                "ledger",
                clear=LEDGER_FIELDS,
                retention=None,
                why="what was ended, for ever, so that no restored backup brings it back",
                # Its unique index is made where its account is (deploy/mongo): the account may insert and read alone.
                database=ledger_db,
            ),
        )
