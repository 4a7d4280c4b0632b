"""Servers and services that belong to the fault suite alone: it kills them."""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.local.places import from_environment, write_private
from deploy.local.processes import Program
from deploy.local.provision import Provision
from deploy.local.stack import Stack
from tests.conftest import _free_base
from tests.faults import annual
from tests.faults.running import Running
from tests.faults.test_named_steps import ALWAYS
from tests.races.inside import Inside, an_inside
from tests.system import System

_HOURS = timedelta(hours=6)
# What has more forms than eight minutes have room for: how many the seed draws of each. FAULTS=full runs all, and so
# are those of _ALWAYS, which between them come to every kind of named step.
_DRAWN = {
    "test_all_is_drained_within_5_s_of_a_fault": 3,
    "test_every_process_dies_at_a_named_step": 0,
    "test_a_disk_fills_up_and_has_room_again": 1,
}
_ALWAYS = tuple(f"test_every_process_dies_at_a_named_step[{moment}]" for moment in ALWAYS)


def pytest_report_header() -> str:
    return f"SEED={seed()} (`make faults SEED={seed()}` draws the same faults again), FAULTS={size()}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run as many forms of each test as are drawn; pytest says how many it left out."""
    if size() == "full" or any("::" in asked for asked in config.args):
        return
    drawn = random.Random(seed())
    left_out: set[str] = set()
    for name, many in _DRAWN.items():
        forms = [i.nodeid for i in items if i.name.partition("[")[0] == name and i.name not in _ALWAYS]
        left_out |= set(forms) - set(drawn.sample(forms, min(many, len(forms))))
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left_out])
    items[:] = [item for item in items if item.nodeid not in left_out]


def seed() -> int:
    """FAULTS_SEED, or one drawn once for this run."""
    if not os.environ.get("FAULTS_SEED"):
        os.environ["FAULTS_SEED"] = str(random.SystemRandom().randrange(1, 1_000_000))
    return int(os.environ["FAULTS_SEED"])


def size() -> str:
    return os.environ.get("FAULTS") or "ci"


@pytest.fixture(scope="session")
def faults_seed() -> int:
    return seed()


@pytest.fixture(scope="session")
def is_full() -> bool:
    return size() == "full"


class _Watched(Stack):
    """A stack whose broker tells at once what lies in its queues: by itself it does so each five seconds."""

    def _start(self, program: Program) -> None:
        if program.name == "rabbitmq":
            name = "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"
            often = "-rabbit collect_statistics_interval 200 -rabbit quorum_tick_interval 200"
            program = replace(program, env={**program.env, name: f"{program.env[name]} {often}"})
        super()._start(program)


class _LongSystem(System):
    """Its tokens are good for hours whatever the services' clocks say."""

    def token(self, *roles: str, sub: str = "someone", **claims: Any) -> str:
        now = datetime.now(UTC)
        return super().token(*roles, sub=sub, **{"iat": now - _HOURS, "exp": now + _HOURS, **claims})


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Servers of this suite's own, whose processes it holds."""
    folder = Path(tempfile.mkdtemp(prefix="fmn-faults-"))
    base = int(os.environ.get("FMN_PORT_BASE") or _free_base())
    own = _Watched(folder / "stack", base, packages=from_environment()[0] / "packages")
    try:
        own.start_servers()
        yield own
    finally:
        own.stop()
        if not os.environ.get("FAULTS_KEEP"):
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def provided(stack: Stack) -> Provision:
    """Names of its own. Its keys were installed long ago, so that a clock that jumps back doesn't come before them."""
    made = stack.provision("faults")
    keys = json.loads(made.public_keys.read_text())
    for key in keys["keys"]:
        key["nbf"] -= timedelta(days=30).total_seconds()
    write_private(made.public_keys, json.dumps(keys))
    return made


@pytest.fixture(scope="session")
def running(stack: Stack, provided: Provision) -> Iterator[Running]:
    """All four services, killable at named lines, and started again when they end."""
    whole = Running(stack, provided, stack.places.root / "inside", settings=annual.SETTINGS)
    try:
        whole.start()
        yield whole
    finally:
        whole.stop()


@pytest.fixture(scope="session")
def system(running: Running) -> System:
    return _LongSystem(running.stack, running.provided)


@pytest.fixture(scope="session")
def inside(system: System) -> Iterator[Inside]:
    with an_inside(system) as opened:
        yield opened
