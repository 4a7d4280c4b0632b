"""The consent service's stores, opened through the register."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pymongo.database import Database

from services.consent.model import consents as c
from services.consent.model import requests as r
from services.consent.model.rights import Young
from services.consent.store.fields import (
    ADULTS,
    CONSENT,
    ENDING,
    EXPIRY,
    HELPLINE_CALLS,
    HOLD,
    LEDGER,
    ORGANISATION_KINDS,
    PEOPLE,
    RECEIPT,
    REQUEST,
    RIGHTS,
    TASK,
)
from services.consent.store.helpline import HelplineCalls
from services.consent.store.records import (
    consent,
    consent_out,
    ending,
    ending_out,
    hold,
    receipt,
    request,
    request_out,
    young,
    young_out,
)
from services.consent.store.reviews import CLOCK_RUN, REVIEW, ClockRuns, Reviews
from services.consent.store.tasks import TaskRows
from shared.db import Collection, Disposal, KeptRows, Register
from shared.db.unit_of_work import Tx, UnitOfWork
from shared.db.vault import Vault
from shared.fields import one_of
from shared.ids import new_id
from shared.messaging.steps import Steps
from shared.uk.working_days import WorkingDays


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Every store of the service, opened through the register once."""

    unit_of_work: UnitOfWork
    vault: Vault
    steps: Steps
    calendar: WorkingDays
    organisations: Collection
    consents: Collection
    endings: Collection
    expiries: Collection
    intakes: Collection
    rights: Collection
    reviews: Reviews
    clock_runs: ClockRuns
    tasks: TaskRows
    helpline_calls: HelplineCalls
    requests: Collection
    receipts: KeptRows
    holds: Collection
    people: Collection
    ledger: KeptRows

    @classmethod
    def open(cls, register: Register, *, steps: Steps, calendar: WorkingDays, ledger_db: Database[Any]) -> Stores:
        erase, strip = Disposal.ERASE, Disposal.STRIP
        return cls(
            unit_of_work=register.unit_of_work,
            vault=register.vault,
            steps=steps,
            calendar=calendar,
            organisations=register.collection(
                "organisations",
                clear={"kind": one_of(*ORGANISATION_KINDS)},
                disposal=Disposal.KEEP,
            ),
            consents=register.collection("consents", clear=CONSENT, disposal=erase),
            endings=register.collection("endings", clear=ENDING, disposal=erase),
            expiries=register.collection("expiries", clear=EXPIRY, disposal=erase, indexes=(("on", "_id"),)),
            # Who came with an intake, sealed, until the case service has them.
            intakes=register.collection("intakes", clear={}, disposal=erase),
            rights=register.collection("rights", clear=RIGHTS, disposal=erase, indexes=(("next_on", "_id"),)),
            reviews=Reviews(
                register.collection(
                    "reviews",
                    clear=REVIEW,
                    disposal=erase,
                    unique=(("consent_id",),),
                    indexes=(("next_at", "_id"), ("due_on", "_id")),
                )
            ),
            clock_runs=ClockRuns(
                register.keep(
                    "clock_runs",
                    clear=CLOCK_RUN,
                    retention=None,
                    why="a run behind the last one, or far past it, stops; who confirmed one that didn't",
                )
            ),
            tasks=TaskRows(
                register.collection(
                    "tasks",
                    clear=TASK,
                    disposal=erase,
                    unique=(("case_id", "kind", "subject_id"),),
                    indexes=(("state", "due_on"),),
                )
            ),
            helpline_calls=HelplineCalls(
                register.keep(
                    "helpline_calls",
                    clear=HELPLINE_CALLS,
                    retention=None,
                    why="how many calls a month, where the office counts them: no caller, no day, no words",
                )
            ),
            requests=register.collection(
                "requests", clear=REQUEST, disposal=strip, indexes=(("status", "due_at"), ("case_id", "status"))
            ),
            receipts=register.keep(
                "receipts",
                clear=RECEIPT,
                retention=None,
                why="a certificate is proven by them",
                indexes=(("request", "at"),),
            ),
            holds=register.collection("holds", clear=HOLD, disposal=erase),
            people=register.collection("people", clear=PEOPLE, disposal=erase),
            ledger=register.keep(
                "ledger",
                clear=LEDGER,
                retention=None,
                why="what was ended, for ever, so that no restored backup brings it back",
                unique=(("kind", "about"),),
                database=ledger_db,
            ),
        )

    # Consents

    def consents_of(self, case_id: str, tx: Tx | None = None) -> list[c.Consent]:
        return [consent(record) for record in self.consents.of_case(case_id, tx=tx)]

    def endings_of(self, case_id: str, tx: Tx | None = None) -> list[c.Ending]:
        return [ending(record) for record in self.endings.of_case(case_id, tx=tx)]

    def standing(self, case_id: str, today: date, tx: Tx | None = None) -> tuple[c.Standing, ...]:
        """What was agreed to and stands on that London day, whoever may speak for the file then."""
        return c.standing(self.consents_of(case_id, tx), self.endings_of(case_id, tx), today=today)

    def add_consent(self, tx: Tx, given: c.Consent) -> None:
        clear, personal = consent_out(given)
        self.consents.insert(tx, id=given.id, case_id=given.case_id, clear=clear, personal=personal)
        for day in sorted({grant.until for grant in given.grants if grant.until is not None}):
            on = {"consent_id": given.id, "on": day.isoformat()}
            self.expiries.insert(tx, id=new_id(), case_id=given.case_id, clear=on)

    def add_ending(self, tx: Tx, end: c.Ending) -> None:
        clear, personal = ending_out(end)
        self.endings.insert(tx, id=end.id, case_id=end.case_id, clear=clear, personal=personal)

    # Young people, and when rights pass to them

    def young_of(self, case_id: str, tx: Tx | None = None) -> list[Young]:
        return [young(record) for record in self.rights.of_case(case_id, tx=tx)]

    def put_young(self, tx: Tx, case_id: str, people: Sequence[Young]) -> None:
        """These are all the young people of the case; a row that is the same already is left."""
        before = {record.id: record for record in self.rights.of_case(case_id, tx=tx)}
        wanted = {one.person_id: one for one in people}
        for id, record in before.items():
            if id not in wanted:
                self.rights.remove(tx, record)
            elif young(record) != wanted[id]:
                self.rights.change(tx, record, clear=young_out(wanted[id]))
        for id in wanted.keys() - before.keys():
            self.rights.insert(tx, id=id, case_id=case_id, clear=young_out(wanted[id]))

    # People, as the case service last told it: ids and roles, in the order they were added

    def people_of(self, case_id: str, tx: Tx | None = None) -> list[Mapping[str, Any]]:
        record = self.people.get(case_id, tx=tx)
        return [] if record is None else list(record.clear["people"])

    def first_adult(self, case_id: str, tx: Tx | None = None) -> str | None:
        return next((p["person"] for p in self.people_of(case_id, tx) if p["role"] in ADULTS), None)

    def put_people(self, tx: Tx, case_id: str, people: Sequence[Mapping[str, Any]]) -> None:
        clear = {"people": [{"person": p["person"], "role": p["role"]} for p in people]}
        record = self.people.get(case_id, tx=tx)
        if record is None:
            self.people.insert(tx, id=case_id, case_id=case_id, clear=clear)
        else:
            self.people.change(tx, record, clear=clear)

    # Requests

    def request(self, id: str, tx: Tx | None = None) -> r.Request | None:
        record = self.requests.get(id, tx=tx)
        return None if record is None else request(record)

    def requests_of(self, case_id: str, tx: Tx | None = None) -> list[r.Request]:
        return [request(record) for record in self.requests.of_case(case_id, tx=tx)]

    def add_request(self, tx: Tx, new: r.Request, *, key: str | None) -> None:
        """key: the name of the key it is sealed under, where that isn't the case's (an erased case has none)."""
        self.requests.insert(tx, id=new.id, case_id=new.case_id, clear=request_out(new), personal=new.personal, key=key)

    def change_request(self, tx: Tx, before: r.Request, after: r.Request) -> r.Request:
        """Write what changed in clear; the sealed part is left as it is, or absent once stripped."""
        clear = {name: value for name, value in request_out(after).items() if value != request_out(before)[name]}
        self.requests.change_clear(tx, id=before.id, version=before.version, clear=clear)
        return r.Request(
            **{**{name: getattr(after, name) for name in r.Request.__slots__}, "version": before.version + 1}
        )

    def receipts_of(self, request_id: str, tx: Tx | None = None) -> list[r.Receipt]:
        session = None if tx is None else tx.session
        rows = self.receipts.rows.find({"request": request_id}, session=session).sort([("at", 1), ("_id", 1)])
        return [receipt(row) for row in rows]

    # Holds

    def holds_of(self, case_id: str, tx: Tx | None = None) -> list[r.Hold]:
        return [hold(record) for record in self.holds.of_case(case_id, tx=tx)]

    def is_held(self, case_id: str, day: date, tx: Tx | None = None) -> bool:
        return any(hold.holds_on(day) for hold in self.holds_of(case_id, tx))
