"""Very many cases in the case and consent services' own collections, a hundred of them due; no service runs on them.

The due ones are made by the services' own actions. All others are copies of such rows as they lie in the database, with
ids, references and times of their own.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pymongo import WriteConcern
from pymongo.collection import Collection

from deploy.local.provision import Provision
from services.case.actions.cases import start_case
from services.case.model.cases import SWEEP_GRACE
from services.case.model.references import ALPHABET
from services.case.store.queries import expired_shells
from services.consent.actions import consents
from services.consent.actions import requests as consent
from services.consent.actions.clock import run_clock
from services.consent.actions.rights import reckon
from services.consent.actions.saga import ASK_AGAIN_STEP, ask_again
from services.consent.model.consents import PARENTAL, Consent, Grant
from services.consent.model.requests import Hold
from services.consent.model.reviews import Windows
from shared.db.unit_of_work import Tx
from shared.ids import new_id
from shared.messaging.steps import StepRow
from tests.system import open_with

_BATCH = 5_000
# Of how many cases one has an erasure that waits on a hold; and of how many one is a shell that isn't due yet.
_ERASURE_IN, _SHELL_IN = 10, 20
# Of how many one has agreed to something until a day.
_LAST_DAY_IN = 10
_LATER, _A_YEAR = timedelta(days=30), timedelta(days=366)
_Row = dict[str, Any]


class Crowd:
    """So many cases on one set of names. `close` it."""

    def __init__(self, provided: Provision, *, cases: int, due: int) -> None:
        self.due = due
        self._opened = {service: open_with(provided, service, "bench") for service in ("case", "consent")}
        self._cases = self._opened["case"].context.stores
        self._context = self._opened["consent"].context
        self._consent = self._context.stores
        self._looked_at = threading.Semaphore(0)
        self._steps = self._opened["consent"].runtime.steps
        self._steps.serve({ASK_AGAIN_STEP: self._look})
        now = datetime.now(UTC)
        for _ in range(due):
            self._make_due(now)
        self._fill(cases - due, now)
        # Indexes last, as they are made faster so; they are the very ones that the worker makes when it starts.
        for opened in self._opened.values():
            opened.runtime.register.prepare()
        self._steps.start()

    def close(self) -> None:
        self._steps.request_stop()
        self._steps.join(5)
        for opened in self._opened.values():
            opened.runtime.unit_of_work.client.close()

    # What the clock does

    def find_shells(self) -> int:
        """As the case service's sweep finds those whose time is over."""
        return len(expired_shells(self._cases.cases, datetime.now(UTC) - SWEEP_GRACE, limit=500))

    def find_requests(self) -> int:
        """As `GET /requests?status=&due_before=` finds those near their due time."""
        week = datetime.now(UTC) + timedelta(days=7)
        return len(self._consent.requests.find({"status": "received", "due_at": {"$lte": week}}, limit=self.due + 1))

    def find_reviews(self) -> int:
        """As a run of the daily clock finds what is due in the consent service: reviews, last days, young people."""
        ran = run_clock(self._consent, Windows(), now=datetime.now(UTC), most=self.due, dry_run=True)
        assert (ran.counts.expiries, ran.counts.rights) == (0, 0), ran.counts
        return ran.counts.letters

    def look_at_holds(self) -> float:
        """Seconds until the consent worker has looked at every request that waits behind a hold and is due."""
        steps = self._opened["consent"].runtime.unit_of_work.db["steps"]
        due = [row["_id"] for row in steps.find({}, {"_id": 1}).sort("due", 1).limit(self.due)]
        steps.update_many({"_id": {"$in": due}}, {"$set": {"due": datetime.now(UTC) - timedelta(seconds=1)}})
        started = time.perf_counter()
        self._steps.wake()
        for _ in range(self.due):
            assert self._looked_at.acquire(timeout=60), "a due request wasn't looked at"
        return time.perf_counter() - started

    def _look(self, step: StepRow) -> datetime | None:
        again = ask_again(self._consent, step.key)
        self._looked_at.release()
        # Still the first hundred of all, and not due again while this bench runs.
        return None if again is None else datetime.now(UTC) + timedelta(hours=12)

    # What there is

    def _make_due(self, now: datetime) -> None:
        """A shell whose time is over, a family that agreed to its file a year ago, and another's erasure that was
        confirmed and waits behind a hold.
        """
        start_case(self._cases, channel="phone", life=-timedelta(days=1), now=now)
        self._agreed_a_year_ago(now)
        case_id, request_id = new_id(), new_id()
        self._consent.unit_of_work.gates.make_if_unknown(case_id)
        hold = Hold(
            id=new_id(),
            case_id=case_id,
            ground="legal_claim",
            until=(now + _LATER).date(),
            reason="a claim is being heard",
            placed_by="manager-one",
            placed_at=now,
        )
        consent.place_hold(self._consent, hold)
        consent.log_erasure(
            self._context,
            id=request_id,
            case_id=case_id,
            received_at=now,
            channel="phone",
            personal={"made_by": {"name": "Ada Example", "authority": "self"}},
            identity_settled=True,
            logged_by="worker-one",
            now=now,
        )
        checked = ["family", "authority", "safeguarding"]
        consent.confirm(self._consent, request_id=request_id, checked=checked, sub="worker-two")
        self._opened["consent"].runtime.unit_of_work.db["steps"].update_one(
            {"_id": f"{ASK_AGAIN_STEP}:{request_id}"}, {"$set": {"due": now + timedelta(hours=12)}}
        )

    def _agreed_a_year_ago(self, now: datetime) -> None:
        """Parents who are to be asked whether the file may go on; their young person's day is years away."""
        stores, case_id, given_at = self._consent, new_id(), now - _A_YEAR
        stores.unit_of_work.gates.make_if_unknown(case_id)
        given = Consent(
            id=new_id(),
            case_id=case_id,
            name="Ada Example",
            capacity=PARENTAL,
            channel="phone",
            informed_at=given_at,
            given_at=given_at,
            statement_version=1,
            statement_sha256="0" * 64,
            grants=(Grant(purpose="casework"), Grant(purpose="email", until=(now + _LATER).date())),
            evidence=None,
            recorded_at=now,
            recorded_by="worker-one",
        )

        def act(tx: Tx) -> None:
            tx.enter(case_id)
            consents.enter_consent(stores, tx, given, [], [])

        stores.unit_of_work.run(act)
        born = (now - timedelta(days=8 * 365)).date().isoformat()
        reckon(stores, case_id=case_id, people=[{"id": new_id(), "role": "child", "date_of_birth": born}], now=now)

    def _fill(self, count: int, now: datetime) -> None:
        later = now + _LATER
        references = _references()
        case_db, db = self._opened["case"].runtime.unit_of_work.db, self._opened["consent"].runtime.unit_of_work.db

        def a_case(row: _Row, number: int) -> _Row:
            id = new_id()
            shell = {"state": "shell", "expires_at": later}
            agreed = {"state": "open", "expires_at": None}
            state = agreed if number % _SHELL_IN else shell
            return {**row, "_id": id, "case_id": id, "reference": next(references), **state}

        def a_step(row: _Row, number: int) -> _Row:
            key = new_id()
            return {**row, "_id": f"{ASK_AGAIN_STEP}:{key}", "key": key, "case_id": new_id(), "due": later}

        def a_hold(row: _Row, number: int) -> _Row:
            return {**row, "_id": new_id(), "case_id": new_id(), "until": date(2099, 1, 1).isoformat()}

        def a_request(row: _Row, number: int) -> _Row:
            return {**row, "_id": new_id(), "case_id": new_id(), "due_at": later, "due_on": later.date().isoformat()}

        def a_review(row: _Row, number: int) -> _Row:
            # Of any day of the coming year, as consents are given on any day.
            due = later + timedelta(days=number % 330)
            ids = {"_id": new_id(), "case_id": new_id(), "consent_id": new_id()}
            return {**row, **ids, "due_on": due.date().isoformat(), "next_at": due}

        def a_last_day(row: _Row, number: int) -> _Row:
            day = (later + timedelta(days=number % 330)).date()
            return {**row, "_id": new_id(), "case_id": new_id(), "consent_id": new_id(), "on": day.isoformat()}

        def a_young_person(row: _Row, number: int) -> _Row:
            day = (later + timedelta(days=number % 3_000)).date()
            return {**row, "_id": new_id(), "case_id": new_id(), "next_on": day.isoformat()}

        _copies(case_db["cases"], count, a_case)
        _copies(db["reviews"], count, a_review)
        _copies(db["rights"], count, a_young_person)
        _copies(db["expiries"], count // _LAST_DAY_IN, a_last_day)
        for name, made in (("holds", a_hold), ("requests", a_request), ("steps", a_step)):
            _copies(db[name], count // _ERASURE_IN, made)


def _copies(rows: Collection[_Row], count: int, made: Callable[[_Row, int], _Row]) -> None:
    """Write so many copies of the collection's first row, each changed; quickly, since losing them costs nothing."""
    first = rows.find_one()
    assert first is not None, f"{rows.name} has no row to copy"
    quick = rows.with_options(write_concern=WriteConcern(1, j=False))
    numbers = iter(range(count))
    while batch := [made(first, number) for number in itertools.islice(numbers, _BATCH)]:
        quick.insert_many(batch, ordered=False)


def _references() -> Iterator[str]:
    """References that no case has drawn: those that begin with the same letter twice."""
    for letters in itertools.product(ALPHABET, repeat=6):
        text = "AA" + "".join(letters)
        yield f"{text[:4]}-{text[4:]}"
