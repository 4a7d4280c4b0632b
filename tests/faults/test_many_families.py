"""Many families at once while something is killed, stopped or wrong all the time: then the servers are judged."""

from __future__ import annotations

from collections import Counter

from tests.faults.driver import CI, FULL, Driver, drained
from tests.faults.judge import Judge, messages_consumed
from tests.faults.judge_once import Once, there_already
from tests.faults.judge_outside import Outside
from tests.faults.judge_reviews import Reviews
from tests.faults.running import Running
from tests.races.inside import Inside
from tests.system import System

_DRAINED_SECONDS = 5


def test_whatever_dies_every_accepted_request_has_its_effects_once(
    system: System, running: Running, inside: Inside, faults_seed: int, is_full: bool
) -> None:
    before, made_before = messages_consumed(inside), there_already(inside)
    told = Driver(system, running, inside, faults_seed, FULL if is_full else CI).tell()
    running.wait_well()
    quiet = drained(inside, 60)
    consumed = messages_consumed(inside) - before
    forgotten = sum(case.certificate is not None for case in told.cases)
    reviews = Counter(case.review for case in told.cases if case.review is not None)
    print(
        f"\n{len(told.cases)} families, {forgotten} forgotten; {consumed} messages; {len(told.faults)} faults; "
        f"caught up {told.caught_up:.1f} s after the last, drained {quiet:.1f} s after the last story; "
        f"restarts: {running.restarts}; annual reviews: {dict(reviews)}"
    )
    complaints = [
        *Judge(inside, told).complaints(),
        *Once(inside, told, made_before).complaints(),
        *Outside(inside, told).complaints(),
        *Reviews(inside, told).complaints(),
    ]
    assert complaints == [], told.shortest(complaints)
    assert consumed >= (100_000 if is_full else 10_000), consumed
    assert told.caught_up <= _DRAINED_SECONDS, told.shortest([(None, f"caught up after {told.caught_up:.1f} s")])
