"""Families whose consent is a year old, while everything dies: the clock writes to them, and they answer or don't.

Their reviews' windows are days (`SETTINGS`), so that the clock needs to be moved by less than a shell lives.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from pymongo.errors import PyMongoError

from shared.security.authentication import service_token
from shared.security.signing import Signer
from tests.faults.chaos import Fault
from tests.faults.client import Client, until
from tests.faults.running import Running
from tests.faults.story import Case, Narrator, Plan, Words
from tests.races.inside import Inside
from tests.system import System

SETTINGS = {"FMN_TIME_TRAVEL": "on", "FMN_REVIEW_WINDOW_DAYS": "2", "FMN_REVIEW_REMINDER_DAYS": "1"}
#: Above the number of any other case of a run.
FIRST_NUMBER = 90_000
# What each family does, in turns.
_ENDINGS = ("silent", "renewed", "silent", "forgotten", "silent")
_A_DAY_ON = timedelta(days=1, minutes=1)
# Where whoever is about to work at a review dies: one of each process's is drawn.
_WRITING = {
    "consent-api": ("clock-not-begun", "clock-not-committed", "clock-not-answered"),
    "consent-worker": ("look-not-begun", "asked-not-committed", "looked-not-settled", "heard-not-committed"),
    "notifier-worker": ("letter-not-committed", "handed-over-not-said", "told-not-committed", "mailed-not-said"),
}
_ANSWERING = {"consent-api": ("answer-not-committed", "answer-not-said")}
_ENDING = {
    "consent-worker": ("silent-not-frozen", "frozen-not-committed", "looked-not-settled"),
    "notifier-worker": ("in-inbox-transaction",),
}


class Annual:
    """So many such families, told by one thread; `wait` until each review has ended. failed: what ended it early."""

    def __init__(
        self, system: System, running: Running, inside: Inside, words: Words, seed: int, families: int
    ) -> None:
        self._system = system
        self._inside = inside
        self._running = running
        self._narrator = Narrator(system, words)
        self._office = Client(system, "caseworker", sub="worker-three")
        self._rng = random.Random(f"{seed}:annual")
        self._families = families
        self._moved = timedelta()
        self.cases: list[Case] = []
        self.faults: list[Fault] = []
        self.failed: BaseException | None = None
        self._into: list[Case] = []
        self._thread = threading.Thread(target=self._run, name="annual", daemon=True)

    def start(self, into: list[Case]) -> None:
        """`into`: where each case is written down, for the judge."""
        self._into = into
        self._thread.start()

    def wait(self, within_seconds: float) -> None:
        self._thread.join(within_seconds)
        assert not self._thread.is_alive(), f"annual reviews aren't over: {[case.review for case in self.cases]}"
        if self.failed is not None:
            raise self.failed

    def _run(self) -> None:
        try:
            self._tell()
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            self.failed = error

    def _tell(self) -> None:
        for number in range(self._families):
            self._open(number)
        # Who looks before it has heard of anybody to write to looks again a day later, by whatever clock it is.
        self._each(lambda case: until(lambda: self._known(case), f"people of case {case.number} heard of"), *_ENDINGS)
        # Where the clock came before there was anybody to write to, it looks again a day later.
        self._moved += _A_DAY_ON
        with self._dying(_WRITING):
            self._until_heard("review", "handed_at")
        with self._dying(_ANSWERING):
            self._each(self._answer, "renewed", "forgotten")
        self._moved += _A_DAY_ON
        with self._dying(_WRITING):
            self._until_heard("review_reminder", "reminder_handed_at")
        self._moved += _A_DAY_ON
        with self._dying(_ENDING):
            self._each(self._until_asked_for, "silent")
        self._each(lambda case: self._narrator.confirmed(case, str(case.request)), "silent", "forgotten")

    def _known(self, case: Case) -> bool:
        """Whether the consent service has heard of the people of this case."""
        try:
            return self._inside.row("consent", "people", case_id=case.id) is not None
        except PyMongoError:
            return False  # MongoDB is away just now

    def _each(self, tell: Callable[[Case], object], *endings: str) -> None:
        """Tell it of each that is to end like that, and that nothing has gone wrong with."""
        for case in self.cases:
            if case.review in endings and case.failure is None:
                self._told(case, tell)

    @staticmethod
    def _told(case: Case, tell: Callable[[Case], object]) -> None:
        """What goes wrong stands in the case; the others go on."""
        try:
            tell(case)
        except AssertionError as error:
            case.failure = str(error)

    def _open(self, number: int) -> None:
        ending = _ENDINGS[number % len(_ENDINGS)]
        # No entries: who has been worked with lately is asked by phone first.
        plan = Plan(
            number=FIRST_NUMBER + number,
            ending="kept" if ending == "renewed" else "forgotten",
            by_email=self._rng.random() < 0.4,
            children=0,
            entries=0,
            scans=(),
            paper=False,
            on_purpose=False,
            agreed=timedelta(days=366),
        )
        case = Case(number=plan.number, ending=plan.ending, review=ending)
        self._into.append(case)
        self.cases.append(case)
        self._told(case, lambda case: self._narrator.opened(case, plan))

    # The clock

    @contextmanager
    def _dying(self, steps: dict[str, Sequence[str]]) -> Iterator[None]:
        """Whoever comes to one step of each process's meanwhile dies there; not every process comes to it."""
        begun = time.monotonic()
        drawn = [(process, self._rng.choice(names)) for process, names in steps.items()]
        for process, step in drawn:
            self._running.arm(process, step)
        yield
        for process, step in drawn:
            if self._running.disarm(process, step):
                self.faults.append(
                    Fault(what=f"{process} killed at {step}", begun=begun, ended=time.monotonic()),
                )

    def _run_clock(self) -> bool:
        """Run it at its time; whether somebody answered that it ran."""
        provided = self._system.provided
        signer = Signer(json.loads((provided.secrets["consent"] / "token.jwk").read_text()))
        token = service_token(signer, caller="consent", called="consent", now=datetime.now(UTC))
        body = {"now": (datetime.now(UTC) + self._moved).isoformat(), "confirm": "manager-1"}
        try:
            with requests.Session() as session:
                session.trust_env = False
                url, headers = f"{provided.urls['consent']}/v1/clock", {"Authorization": f"Bearer {token}"}
                return session.post(url, json=body, headers=headers, timeout=15).status_code == 200
        except requests.RequestException:
            return False

    def _review(self, case: Case) -> dict[str, Any]:
        """The first review of the case, as the API shows it; {} while nobody has heard of it."""
        found = self._office.get(case.calls, "/reviews", case_id=case.id)["items"]
        return dict(found[0]) if found else {}

    def _until_heard(self, letter: str, handed: str) -> None:
        """Until each who is to have it has, or is known not to be reached; the clock runs meanwhile."""

        def tell(case: Case) -> None:
            try:
                until(lambda: self._is_heard(case, letter, handed), f"{letter} of case {case.number} heard of")
            except AssertionError as error:
                facts = self._review(case), self._tasks(case), self._letters(case)
                raise AssertionError(f"{error}: {facts}") from error

        self._each(tell, *(_ENDINGS if letter == "review" else ("silent",)))

    def _is_heard(self, case: Case, letter: str, handed: str) -> bool:
        self._run_clock()
        review = self._review(case)
        if review.get(handed):
            case.went.add(letter)
            return True
        if review.get("state") == "asked" and any(task["kind"] == "call" for task in self._tasks(case)):
            # Nobody knows whether it went: somebody is to call, and the file goes on.
            case.review, case.ending = "unreached", "kept"
            return True
        return False

    def _tasks(self, case: Case) -> list[dict[str, Any]]:
        return list(self._office.get(case.calls, "/tasks", case_id=case.id, state="open")["items"])

    def _letters(self, case: Case) -> list[dict[str, Any]]:
        return list(self._office.get(case.calls, "/notifications", case_id=case.id)["items"])

    def _until_asked_for(self, case: Case) -> None:
        until(lambda: self._asked_for(case), f"erasure of case {case.number} asked for")

    def _asked_for(self, case: Case) -> bool:
        self._run_clock()
        case.request = self._review(case).get("request_id")
        return case.request is not None

    def _answer(self, case: Case) -> None:
        decision = "renew" if case.review == "renewed" else "forget"
        body = {"decision": decision, "channel": "phone", "by": "a member of the family"}
        path = f"/reviews/{self._review(case)['id']}/answer"
        case.request = self._office.call(case.calls, "POST", path, json=body).json()["request_id"]
        if decision == "renew":
            given = self._office.get(case.calls, "/consents", case_id=case.id)["items"]
            case.consents = [one["id"] for one in given]
