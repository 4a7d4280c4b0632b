"""Every process dies once at a named line, and what it was about still happens, once."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.driver import Told, drained
from tests.faults.judge import Judge
from tests.faults.judge_outside import Outside
from tests.faults.running import Running
from tests.faults.story import Narrator, Plan, Words
from tests.helpers import eventually
from tests.races.inside import Inside
from tests.system import System

# One story each; in every column a process that dies there, once. The first two have all the kinds of step between
# them (around a transaction, publish, confirm, ack, hand-over, read-back, receipt) and are in every run.
MOMENTS: Mapping[str, Mapping[str, str]] = {
    "before it, unsaid": {
        "case-api": "before-transaction",
        "consent-api": "before-confirm",
        "document-api": "stored-not-recorded",
        "case-worker": "deleted-not-read-back",
        "document-worker": "before-publish",
        "consent-worker": "before-ack",
        "notifier-worker": "sending-not-mailed",
    },
    "after it, untold": {
        "case-api": "before-publish",
        "consent-api": "after-transaction",
        "document-api": "before-audit",
        "case-worker": "before-ack",
        "document-worker": "key-gone-no-receipt",
        "consent-worker": "before-confirm",
        "notifier-worker": "handed-over-not-said",
    },
    "in it": {
        "case-api": "in-transaction",
        "consent-api": "before-audit",
        "document-api": "before-transaction",
        "case-worker": "key-gone-no-receipt",
        "document-worker": "deleted-not-read-back",
        "consent-worker": "signed-not-in-ledger",
        "notifier-worker": "sending-not-handed-over",
    },
    "in it, at the end": {
        "case-api": "before-confirm",
        "consent-api": "in-transaction",
        "document-api": "stored-not-recorded",
        "case-worker": "in-inbox-transaction",
        "document-worker": "counted-not-deleted",
        "consent-worker": "in-ledger-not-completed",
        "notifier-worker": "mailed-not-said",
    },
    "as it begins": {"consent-worker": "in-ledger-not-copied", "notifier-worker": "mailed-not-said"},
    "once the ledger has it": {"consent-worker": "in-ledger-not-begun", "notifier-worker": "mailed-not-said"},
    "while keys are destroyed": {
        "case-worker": "root-made-not-named",
        "document-worker": "root-not-destroyed",
        "consent-worker": "fenced-not-rotated",
        "notifier-worker": "root-destroyed-not-said",
    },
}
ALWAYS = tuple(MOMENTS)[:2]
_BY_EMAIL = {"sending-not-mailed", "mailed-not-said"}


@pytest.mark.parametrize("moment", MOMENTS)
def test_every_process_dies_at_a_named_step(
    system: System, running: Running, inside: Inside, faults_seed: int, moment: str
) -> None:
    steps = MOMENTS[moment]
    told = Told(seed=faults_seed, begun=time.monotonic(), words=Words(random.Random(moment)))
    plan = Plan(
        number=list(MOMENTS).index(moment),
        ending="forgotten",
        by_email=steps["notifier-worker"] in _BY_EMAIL,
        children=1,
        entries=2,
        scans=("small",),
        paper=True,
        on_purpose=False,
    )
    hits = {process: running.arm(process, step) for process, step in steps.items()}
    Narrator(system, told.words).tell(plan, told.cases)
    missed = [f"{process} at {steps[process]}" for process, hit in hits.items() if not hit.exists()]
    for process, step in steps.items():
        running.disarm(process, step)
    running.wait_well()
    drained(inside, 30)
    complaints = [*Judge(inside, told).of_cases(), *Outside(inside, told).of_letters()]
    assert complaints == [], told.shortest(complaints)
    assert missed == []


@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
def test_the_clocks_jump_an_hour_and_back(
    system: System, running: Running, inside: Inside, faults_seed: int, seconds: float
) -> None:
    told = Told(seed=faults_seed, begun=time.monotonic(), words=Words(random.Random(seconds)))
    plan = Plan(
        number=10 + (seconds > 0),
        ending="forgotten",
        by_email=False,
        children=0,
        entries=1,
        scans=("small",),
        paper=False,
        on_purpose=False,
    )
    before = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    with running.wrong_clock(seconds):
        Narrator(system, told.words).tell(plan, told.cases)
        # What is said now can't go before the clock is put right again, and its process is another by then.
        kept = system.a_shell()
        with running.frozen(running.server("rabbitmq")):
            system.a_consent(kept, informed_at=before, given_at=before)
            running.kill(running.service("consent-api"))
            running.wrong_clock_ends()
    running.wait_well()
    eventually(lambda: system.caseworker.read(f"/cases/{kept}")["state"] == "open", within_seconds=10)
    drained(inside, 10)
    complaints = [*Judge(inside, told).of_cases(), *Outside(inside, told).of_letters()]
    assert complaints == [], told.shortest(complaints)
