"""The saga against a model of it (P24, P29): whatever comes, in whatever order, it closes only with everything gone.

Hypothesis tells stories to the real coordinator (saga_model_system.py) and to a plain reading of DESIGN.md
(saga_model_oracle.py), and after every sentence the two must agree. `FAULTS=full` tells many more and longer ones,
SAGA_EXAMPLES=n so many from each beginning, SAGA_SEED=n the same ones again.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule, run_state_machine_as_test

from deploy.local.stack import Stack
from services.consent.model.requests import SETTLEMENTS
from shared.clock import utc_now
from shared.erasure.participant import ERASE_STEP, SECOND_STEP
from shared.erasure.walk import Walk
from shared.events import consent
from shared.ids import new_id
from shared.messaging.steps import StepRow
from tests.races.saga_model_agreement import Agreement
from tests.races.saga_model_oracle import ENDINGS, SERVICES
from tests.races.saga_model_services import FORGERIES, Forger, claims_of, read_receipt
from tests.races.saga_model_story import Story
from tests.races.saga_model_system import ELSEWHERE, Coordinator, Envelope, a_coordinator, an_event

FULL = os.environ.get("FAULTS") == "full"
EXAMPLES, STEPS = (80, 50) if FULL else (3, 20)
# Most find nothing left, so that most stories come far; how a receipt travels.
LEFT = st.sampled_from([0, 0, 0, 0, 1, 2, 3])
ARRIVES = st.sampled_from(["at once", "at once", "twice", "redelivered", "late"])
# One coordinator for all of them.
pytestmark = pytest.mark.xdist_group("saga")
OTHERS = [service for service in SERVICES if service != "consent"]


class Died(Exception):
    """A process's end, as seen by nobody."""


@pytest.fixture(scope="module")
def forger(stack: Stack, worker_id: str) -> Iterator[Forger]:
    """The coordinator, and beside it the erasure of another family, which waits for every service."""
    with a_coordinator(stack, f"saga{worker_id}") as coordinator:
        yield Story.of_another_family(coordinator)


class Stories(Story):
    """Anything may happen at every moment. The rules are the story's sentences."""

    how_far: ClassVar[str]

    @initialize(
        paper=st.booleans(),
        at_once=st.booleans(),
        clocks_differ=st.booleans(),
    )
    def a_family_asks(self, paper: bool, at_once: bool, clocks_differ: bool) -> None:
        self.begins(how_far=self.how_far, paper=paper, at_once=at_once, clocks_differ=clocks_differ)

    @rule(who=st.sampled_from(["Ola", "Priya"]), identity=st.booleans())
    @precondition(lambda self: not self.r.decided)
    def asks(self, who: str, identity: bool) -> None:
        self.logs(who, identity)

    @rule()
    @precondition(lambda self: not self.r.stands)
    def asks_again_and_is_confirmed(self) -> None:
        self.logs("Ola", True)
        self.confirms("Priya", True)

    @rule(who=st.sampled_from(["Ola", "Priya"]), all_checked=st.sampled_from([True, True, True, False]))
    @precondition(lambda self: not self.r.decided)
    def is_confirmed(self, who: str, all_checked: bool) -> None:
        self.confirms(who, all_checked)

    @rule(settled=st.booleans())
    @precondition(lambda self: not self.r.decided)
    def identity(self, settled: bool) -> None:
        self.settles_identity(settled)

    @rule(how=st.sampled_from(sorted(ENDINGS)))
    @precondition(lambda self: not self.r.decided)
    def ends_early(self, how: str) -> None:
        self.ends(how)

    @rule()
    @precondition(lambda self: not self.r.decided)
    def is_held(self) -> None:
        self.places_hold()

    @rule(what=st.sampled_from(["asked", "confirmed", "doubted", "held", *sorted(ENDINGS)]))
    @precondition(lambda self: self.r.decided)
    def something_comes_too_late(self, what: str) -> None:
        self.comes_too_late(what)

    @rule()
    @precondition(lambda self: self.saga.holds)
    def hold_is_lifted(self) -> None:
        self.lifts_hold()

    @rule()
    @precondition(lambda self: self.saga.held and self.saga.gate != "closed")
    def hold_runs_out(self) -> None:
        self.hold_ends_with_its_day()

    @rule(outcome=st.sampled_from(["sealed", "nobody_to_write_to"]), about_another=st.booleans())
    @precondition(lambda self: self.was_asked_for_a_letter())
    def letter_is_sealed(self, outcome: str, about_another: bool) -> None:
        self.notifier_seals(outcome, about_another)

    @rule(outcome=st.sampled_from(SETTLEMENTS))
    def letter_is_settled(self, outcome: str) -> None:
        self.manager_settles(outcome)

    @rule(service=st.sampled_from(SERVICES), left=LEFT, arrives=ARRIVES)
    @precondition(lambda self: self.some_are_asked())
    def answers(self, service: str, left: int, arrives: str) -> None:
        self.service_answers(service, left, arrives)

    @rule()
    @precondition(lambda self: self.some_are_asked())
    def all_do_answer(self) -> None:
        self.all_answer()

    @rule(method=st.sampled_from(["shredded", "returned", "not_found"]), left=LEFT, arrives=ARRIVES)
    @precondition(lambda self: self.paper == "lies there")
    def paper_is_certified(self, method: str, left: int, arrives: str) -> None:
        self.certifies_paper(method, left, arrives)

    @rule(outcome=st.sampled_from(["sent", "unknown", "undeliverable", "nobody"]), left=LEFT, arrives=ARRIVES)
    @precondition(lambda self: self.letter_may_go())
    def letter_goes(self, outcome: str, left: int, arrives: str) -> None:
        self.notifier_follows_up(outcome, left, arrives)

    @rule(place=st.sampled_from(ELSEWHERE))
    @precondition(lambda self: self.r.begun)
    def elsewhere_is_certified(self, place: str) -> None:
        self.certifies_elsewhere(place)

    @rule(which=st.integers(0, 7), anew=st.booleans())
    @precondition(lambda self: self.drawer)
    def old_post_arrives(self, which: int, anew: bool) -> None:
        self.old_post(which, anew)

    @rule(backwards=st.booleans())
    @precondition(lambda self: self.drawer)
    def all_post_arrives_together(self, backwards: bool) -> None:
        self.all_post(backwards)

    @rule(kind=st.sampled_from(sorted(FORGERIES)), service=st.sampled_from(SERVICES))
    def a_receipt_is_forged(self, kind: str, service: str) -> None:
        self.is_forged(kind, service)

    @rule(service=st.sampled_from(OTHERS))
    @precondition(lambda self: self.is_under_way())
    def a_service_joins(self, service: str) -> None:
        self.joins(service)

    @rule()
    def minutes_pass(self) -> None:
        self.waits_a_while()

    @rule()
    def coordinator_works(self) -> None:
        self.works()

    @invariant()
    def the_coordinator_is_as_the_model_says(self) -> None:
        self.agrees()

    def teardown(self) -> None:
        try:
            if self.sound and self.r.stands:
                self.ends_well()
        finally:
            self.put_away()


def tell(forger: Forger, *, how_far: str, number: int, examples: int, steps: int) -> None:
    """Tell so many stories. On failure Hypothesis prints the shortest, a blob that repeats it, and we the seed."""

    @seed(number)
    class OfThisRun(Stories):
        pass

    OfThisRun.forger, OfThisRun.how_far = forger, how_far
    how = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=False,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(OfThisRun, settings=how)
    except BaseException as error:
        error.add_note(f"SAGA_SEED={number} tells the same stories again.")
        raise


@pytest.mark.parametrize("how_far", Story.beginnings)
def test_p24_whatever_comes_it_closes_only_with_everything_gone(forger: Forger, how_far: str) -> None:
    Agreement.completed = 0
    number = int(os.environ.get("SAGA_SEED") or random.SystemRandom().randrange(2**32))
    tell(forger, how_far=how_far, number=number, examples=int(os.environ.get("SAGA_EXAMPLES") or EXAMPLES), steps=STEPS)
    assert Agreement.completed > 0, "no story came to its end"


# Stories told by hand: what the model found, one by one


@pytest.fixture
def story(forger: Forger) -> Iterator[Story]:
    Stories.forger = forger
    told = Stories()
    yield told
    told.put_away()


def test_p24_a_service_that_joins_after_it_began_is_asked_and_waited_for(story: Story) -> None:
    story.begins(how_far="verified", paper=False, at_once=True, clocks_differ=False)
    story.joins("case")
    story.agrees()
    assert story.saga.waits(story.r) == ["case"]
    story.waits_a_while()
    story.agrees()
    story.service_answers("case", 0, "at once")
    story.notifier_follows_up("sent", 0, "at once")
    story.agrees()
    assert story.r.status == "completed"


def test_p24_a_certificate_holds_though_the_clock_of_a_service_is_ahead(story: Story) -> None:
    story.begins(how_far="verified", paper=False, at_once=True, clocks_differ=True)
    story.agrees()
    story.notifier_follows_up("sent", 0, "at once")
    story.agrees()
    assert story.r.status == "completed"


def test_p24_a_receipt_dated_before_its_key_is_parked_since_no_certificate_could_hold_with_it(story: Story) -> None:
    story.begins(how_far="begun", paper=False, at_once=True, clocks_differ=False)
    story.agrees()
    story.is_forged("dated before its key", "case")
    story.agrees()
    assert story.saga.waits(story.r) == list(SERVICES)


def test_p24_what_a_hold_kept_from_beginning_is_said_once_when_its_day_is_over(story: Story) -> None:
    story.begins(how_far="confirmed", paper=False, at_once=True, clocks_differ=False)
    story.places_hold()
    story.notifier_seals("sealed", False)
    story.hold_ends_with_its_day()
    story.agrees()
    story.waits_a_while()
    story.agrees()
    assert story.r.phase == "begun"


def an_erasure_that_has_started(forger: Forger) -> StepRow:
    """The consent service's part of it, as its worker would take it up."""
    coordinator, request, now = forger.coordinator, new_id(), utc_now()
    case_id, participant = coordinator.a_family(), coordinator.runtime.erasure
    grant = coordinator.opened.context.stores.grants.erasure(request=request, case_id=case_id, attempt=1)
    asked = {"request": request, "attempt": 1, "due_at": now.isoformat(), "participants": ["consent"], "grant": grant}
    started = an_event("consent", consent.STARTED, case_id, **asked)
    coordinator.runtime.unit_of_work.run(lambda tx: participant.on_started(tx, started))
    return StepRow(kind=ERASE_STEP, key=request, case_id=case_id, due=now, attempts=1, now=now)


def its_key_is_destroyed(coordinator: Coordinator, step: StepRow) -> None:
    """The rotation that the walk has asked for, after which the walk's step comes again."""
    while coordinator.runtime.keys.rotate(step):
        pass


def test_a_second_receipt_is_dated_after_the_first_though_the_clock_was_put_back(story: Story) -> None:
    story.begins(how_far="answered", paper=False, at_once=True, clocks_differ=False)
    story.agrees()
    participant, case_id = story.coordinator.runtime.erasure, story.case_id
    ahead = utc_now() + timedelta(hours=1)
    participant.rows.update_one({"_id": story.r.id}, {"$set": {"done_at": ahead}})
    participant.send_second(
        StepRow(kind=SECOND_STEP, key=story.r.id, case_id=case_id, due=ahead, attempts=1, now=utc_now())
    )
    (said,) = story.coordinator.said()
    assert read_receipt(Envelope(event=said, account="consent")).receipt.signed_at > ahead


def test_a_second_receipt_is_dated_after_a_first_that_was_signed_before_the_clock_was_put_back(
    forger: Forger, monkeypatch: pytest.MonkeyPatch
) -> None:
    coordinator, step = forger.coordinator, an_erasure_that_has_started(forger)
    participant = coordinator.runtime.erasure
    # Given a first receipt that was signed by a clock an hour ahead, and stored by one that is right
    with monkeypatch.context() as clock:
        clock.setattr("shared.erasure.participant.utc_now", lambda: utc_now() + timedelta(hours=1))
        participant.erase(step)
        assert coordinator.said() == []
        its_key_is_destroyed(coordinator, step)
        participant.erase(step)
    # When the second is signed by the clock that is right
    participant.send_second(replace(step, kind=SECOND_STEP))
    # Then it is the last, and what it says counts
    first, second = (
        datetime.fromisoformat(claims_of(str(said.data["receipt"]))["signed_at"]) for said in coordinator.said()
    )
    assert second > first > utc_now()
    coordinator.put_away(str(step.case_id))


def test_p24_an_attempt_that_comes_late_says_what_was_found_and_not_that_nothing_was(
    forger: Forger, monkeypatch: pytest.MonkeyPatch
) -> None:
    coordinator, step = forger.coordinator, an_erasure_that_has_started(forger)
    participant = coordinator.runtime.erasure
    recorded: list[dict[str, int]] = []

    def found() -> dict[str, int]:
        return dict((participant.rows.find_one({"_id": step.key}) or {})["found"])

    def dies(walk: Walk, case_id: str) -> dict[str, int]:
        raise Died

    def meanwhile(case_id: str) -> None:
        """Another attempt deletes everything, the key is destroyed, and it dies before it can say so."""
        if not recorded:
            recorded.append({})
            participant.erase(step)
            its_key_is_destroyed(coordinator, step)
            with monkeypatch.context() as other:
                other.setattr(Walk, "remaining", dies)
                with pytest.raises(Died):
                    participant.erase(step)
            recorded[0] |= found()

    # Given two attempts at once, of which the later has read nothing but that it is to walk
    with monkeypatch.context() as walking:
        walking.setattr(participant, "before_walk", [meanwhile])
        participant.erase(step)
    # Then it says what the other found, and so does whatever is said after it
    (said,) = coordinator.said()
    receipt = claims_of(str(said.data["receipt"]))
    assert sum(recorded[0].values()) >= 2
    assert {one["store"]: one["found"] for one in receipt["stores"]} == recorded[0] == found()
    assert receipt["outcome"] == "erased"
    coordinator.put_away(str(step.case_id))


def test_p24_what_comes_between_the_decision_and_the_certificate_is_looked_at_again(story: Story) -> None:
    story.begins(how_far="verified", paper=False, at_once=False, clocks_differ=False)
    story.notifier_follows_up("sent", 0, "at once")
    story.agrees()
    assert story.saga.waits(story.r) == []
    story.joins("case")
    story.works()
    story.agrees()
    assert story.saga.waits(story.r) == ["case"]
