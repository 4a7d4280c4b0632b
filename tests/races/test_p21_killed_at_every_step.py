"""P21, P22: whoever works at an annual review dies once at every step of it, and it ends as if nobody had.

From the clock's run to the frozen file, and where somebody answers: one letter or email of each, one erasure asked for.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes
from typing import Any

import pytest

from deploy.local.stack import Stack
from shared.events import SERVICES
from tests.faults.client import Call, Client
from tests.helpers import eventually
from tests.journeys.clock_rig import Clock
from tests.races.mortal import Mortal, a_mortal_system

Deaths = Mapping[str, Sequence[str]]

# Where each process dies, once at each, named as in tests/faults/inside_process/sitecustomize.py. A process that comes
# back dies at the next one that it comes to.
_THE_CLOCK_RUNS = ("clock-not-begun", "clock-not-committed", "clock-not-answered")
_A_LETTER: Deaths = {
    "consent-api": _THE_CLOCK_RUNS,
    "consent-worker": (
        "look-not-begun", "asked-not-committed", "looked-not-settled", "after-transaction", "before-publish",
        "before-confirm", "heard-not-committed", "before-ack",
    ),
    "notifier-worker": (
        "letter-not-committed", "before-ack", "handed-over-not-said", "told-not-committed", "before-publish",
        "before-confirm",
    ),
}  # fmt: skip
# Where a life ends while an email is being handed over, a person is asked to find out (see below): here none does. What
# comes before the hand-over is the same as for a letter, and told there.
_AN_EMAIL: Deaths = {
    "consent-worker": ("asked-not-committed", "heard-not-committed"),
    "notifier-worker": ("letter-not-committed", "after-transaction", "before-publish", "before-confirm"),
}
_THE_END: Deaths = {
    "consent-api": _THE_CLOCK_RUNS,
    "consent-worker": (
        "look-not-begun", "silent-not-frozen", "frozen-not-committed", "looked-not-settled", "before-publish",
        "before-confirm",
    ),
    **{f"{service}-worker": ("in-inbox-transaction", "before-ack") for service in ("case", "document", "notifier")},
}  # fmt: skip
# One system takes as long for the letter as another for everything else.
_BY_POST, _OTHERS = pytest.mark.xdist_group("killed-review"), pytest.mark.xdist_group("killed-reviews")
_SYSTEMS = itertools.count()
# Each life takes some seconds to begin, and more on a busy machine.
_ALL_HAVE_DIED_SECONDS = 150.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Office(Mortal):
    """A system whose clock can be moved, and whose processes die where they are told to."""

    clock: Clock
    calls: list[Call] = field(default_factory=list)

    @contextmanager
    def dying(self, deaths: Deaths) -> Iterator[None]:
        """What happens meanwhile happens although each of these processes dies at each of its steps."""
        hits = {(process, step): self.running.arm(process, step) for process, steps in deaths.items() for step in steps}
        yield

        def alive() -> list[tuple[str, str]]:
            return [named for named, hit in hits.items() if not hit.exists()]

        try:
            eventually(lambda: not alive(), within_seconds=_ALL_HAVE_DIED_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"never died: {alive()}") from error
        finally:
            for named in alive():
                self.running.disarm(*named)
        self.running.wait_well()

    def ahead(self, **by: float) -> None:
        """Move the clock on and run it, again and again until somebody answers that it ran."""
        self.clock.now += timedelta(**by)
        now = self.clock.now.isoformat()
        eventually(lambda: self.clock.run("--now", now, "--confirm", "manager-1").exit_code == 0)

    def a_family(self, *, by_email: bool = False) -> str:
        system = self.system
        case_id = system.an_open_case({"purpose": "casework"}, *([{"purpose": "email"}] if by_email else []))
        system.a_person(case_id, **({"preferred_channel": "email"} if by_email else {"email": None}))
        eventually(lambda: self.sent(case_id)["opening"] == 1)
        return case_id

    def review(self, case_id: str) -> dict[str, Any]:
        (first, *_) = self.inside.rows("consent", "reviews", case_id=case_id)
        return first

    def eventually_in_review(self, case_id: str, name: str) -> None:
        try:
            eventually(lambda: self.review(case_id)[name] is not None, within_seconds=_ALL_HAVE_DIED_SECONDS)
        except AssertionError as error:
            facts = self.review(case_id), self.made(case_id), self.put_aside(), self.running.restarts
            raise AssertionError(f"no {name}: {facts}") from error

    def sent(self, case_id: str) -> Counter[str]:
        """How often each template has reached this family's door or mailbox, counted there."""
        provided, rows = self.system.provided, self.inside.rows("notifier", "notifications", case_id=case_id)
        printed = Counter(path.stem for path in provided.post.glob("*.pdf"))
        texts = [message_from_bytes(path.read_bytes()).as_string() for path in provided.mail.glob("*.eml")]
        gone: Counter[str] = Counter()
        for row in rows:
            gone[row["template"]] += printed[row["_id"]] + sum(row["_id"] in text for text in texts)
        return gone

    def made(self, case_id: str) -> Counter[tuple[str, str]]:
        rows = self.inside.rows("notifier", "notifications", case_id=case_id)
        return Counter((row["template"], row["status"]) for row in rows)

    def tasks(self, case_id: str) -> list[str]:
        return [row["kind"] for row in self.inside.rows("consent", "tasks", case_id=case_id, state="open")]

    def put_aside(self) -> list[str]:
        return [f"{s}: {row['type']}, {row['reason']}" for s in SERVICES for row in self.inside.rows(s, "parked")]


@pytest.fixture(scope="module")
def office(stack: Stack, worker_id: str) -> Iterator[Office]:
    # Both groups may come to one process, and the second must not find the first one's clock.
    names = f"mort{worker_id}{next(_SYSTEMS)}"
    with a_mortal_system(stack, names, FMN_TIME_TRAVEL="on", FMN_CLOCK_MAX="100") as mortal:
        system = mortal.system
        yield Office(running=mortal.running, system=system, inside=mortal.inside, clock=Clock(system=system))


@pytest.mark.parametrize("channel", [pytest.param("letter", marks=_BY_POST), pytest.param("email", marks=_OTHERS)])
def test_p22_a_review_that_nobody_answers_ends_alike_whoever_dies_on_the_way(office: Office, channel: str) -> None:
    deaths = _A_LETTER if channel == "letter" else _AN_EMAIL
    case_id = office.a_family(by_email=channel == "email")
    # Given that every process dies at every step of writing to them
    with office.dying(deaths):
        office.ahead(days=366)
        office.eventually_in_review(case_id, "handed_at")
    assert office.sent(case_id) == {"opening": 1, "review": 1}
    # And of reminding them
    with office.dying(deaths):
        office.ahead(days=14)
        office.eventually_in_review(case_id, "reminder_handed_at")
    assert office.sent(case_id) == {"opening": 1, "review": 1, "review_reminder": 1}
    # And when their time is over
    with office.dying(_THE_END if channel == "letter" else {"consent-worker": ("frozen-not-committed",)}):
        office.ahead(days=15)
        office.eventually_in_review(case_id, "request_id")
    # Then it is as it would have been
    eventually(lambda: {office.inside.gate(service, case_id) for service in SERVICES} == {"frozen"})
    (request,) = office.inside.rows("consent", "requests", case_id=case_id)
    review = office.review(case_id)
    assert (review["state"], review["round"], review["request_id"]) == ("silent", 1, request["_id"])
    assert office.system.waits_on(request["_id"]) == ["confirmation"]
    assert office.sent(case_id) == {"opening": 1, "review": 1, "review_reminder": 1}
    assert office.made(case_id) == {(name, "delivered"): 1 for name in ("opening", "review", "review_reminder")}
    assert (office.tasks(case_id), office.put_aside()) == ([], [])


@_OTHERS
@pytest.mark.parametrize(
    ("channel", "step", "gone"), [("letter", "sending-not-handed-over", 0), ("email", "mailed-not-said", 1)]
)
def test_p21_where_nobody_can_say_whether_it_went_a_person_calls_and_it_isn_t_sent_again(
    office: Office, channel: str, step: str, gone: int
) -> None:
    case_id = office.a_family(by_email=channel == "email")
    # Given that whoever hands it over dies just before, or just after
    with office.dying({"notifier-worker": (step,)}):
        office.ahead(days=366)
    eventually(lambda: office.tasks(case_id) == ["call"])
    # Then it is not sent again by guess, and silence doesn't count however long it is
    office.ahead(days=60)
    assert office.sent(case_id)["review"] == gone
    assert office.made(case_id)[("review", "needs_attention")] == 1
    assert office.review(case_id)["state"] == "asked"
    assert {office.inside.gate(service, case_id) for service in SERVICES} == {"open"}


@_OTHERS
@pytest.mark.parametrize("decision", ["forget", "renew"])
def test_p22_an_answer_counts_once_whoever_dies_on_the_way(office: Office, decision: str) -> None:
    case_id = office.a_family()
    office.ahead(days=366)
    office.eventually_in_review(case_id, "handed_at")
    review = office.review(case_id)
    caseworker = Client(office.system, "caseworker", sub="worker-one")
    deaths: Deaths = {
        "consent-api": (
            "before-transaction", "in-transaction", "answer-not-committed", "after-transaction", "before-audit",
        ),
        "consent-worker": ("before-publish", "before-confirm"),
        **{f"{service}-worker": ("in-inbox-transaction", "before-ack") for service in ("case", "document", "notifier")},
    }  # fmt: skip
    # When who takes the answer dies at every step of it, and it is said again until it is heard
    with office.dying(deaths):
        body = {"decision": decision, "channel": "phone", "by": "Żaneta Okonkwo-Łukasik"}
        said = caseworker.call(office.calls, "POST", f"/reviews/{review['_id']}/answer", json=body).json()
    # Then it was given once
    assert (said["state"], said["decision"]) == ("answered", decision)
    consents = office.inside.rows("consent", "consents", case_id=case_id)
    reviews = office.inside.rows("consent", "reviews", case_id=case_id)
    requests = office.inside.rows("consent", "requests", case_id=case_id)
    if decision == "renew":
        assert [row["state"] for row in reviews] == ["answered", "scheduled"]
        assert (len(consents), requests) == (2, [])
        assert reviews[1]["consent_id"] == max(row["_id"] for row in consents)
        assert {office.inside.gate(service, case_id) for service in SERVICES} == {"open"}
    else:
        assert [row["state"] for row in reviews] == ["answered"]
        assert [row["_id"] for row in requests] == [said["request_id"]]
        eventually(lambda: {office.inside.gate(service, case_id) for service in SERVICES} == {"frozen"})
    # And nobody is reminded of anything
    office.ahead(days=29)
    assert office.sent(case_id) == {"opening": 1, "review": 1}
    assert (office.tasks(case_id), office.put_aside()) == ([], [])
