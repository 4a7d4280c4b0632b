"""A disk that fills up under each of the three servers: below the floor, then to the last byte; then it has room again.

Below the floor nothing new is taken in, an alarm goes out, and a family is still forgotten. Full, servers may refuse
or end; nothing is half written. With room again everything recovers without a hand but what starts a server again.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from deploy.local.places import PROJECT
from shared.events import SERVICES
from tests.faults.disks import IN_A_NAMESPACE, Disk, small_disks, why_not
from tests.faults.errands import INWARD, Story
from tests.faults.own_stack import OwnStack, own_stack, until

WHY_NOT = why_not()
IS_ROOT = os.geteuid() == 0
needs_disks = pytest.mark.skipif(WHY_NOT is not None or not IS_ROOT, reason=WHY_NOT or "done in a namespace instead")

SAFEGUARDING = {
    "recipient": "the duty social worker",
    "what": "what was seen at the door",
    "basis": "safeguarding",
    "reason": "a child may be at risk",
    "told_family": False,
}
# Server as the services call it: folder of its data, and MB. RabbitMQ's own limit is 50 MB, well below its floor.
DISKS = {"mongodb": ("mongodb", 900), "rabbitmq": ("rabbitmq", 900), "objects": ("seaweedfs", 400)}
BELOW_THE_FLOOR = 0.08
FULL_SECONDS = 8.0
# A server that ended is started again and finds its feet; nobody does anything else.
RECOVERED_SECONDS = 60.0
# By then whatever wasn't confirmed has been sent once more.
OUTBOXES_RETRY_SECONDS = 20.0


@pytest.fixture(scope="module")
def on_small_disks() -> Iterator[tuple[OwnStack, dict[str, Disk]]]:
    root = Path(tempfile.mkdtemp(prefix="fmn-full-"))
    folders = {server: root / "servers" / name for server, (name, _) in DISKS.items()}
    try:
        with (
            small_disks({folders[server]: size for server, (_, size) in DISKS.items()}) as mounted,
            own_stack("full", folder=root, settings={"FMN_DISK_FLOOR": "10"}) as own,
        ):
            yield own, {server: mounted[folder] for server, folder in folders.items()}
    finally:
        shutil.rmtree(root, ignore_errors=True)


@needs_disks
@pytest.mark.parametrize("server", DISKS)
def test_a_disk_fills_up_and_has_room_again(server: str, on_small_disks: tuple[OwnStack, dict[str, Disk]]) -> None:
    own, disks = on_small_disks
    disk = disks[server]
    story, full, forgotten = Story(own), Story(own), own.inside.a_family()
    try:
        # Given less than a tenth free, and everybody knows
        disk.fill(BELOW_THE_FLOOR)
        until(lambda: all(state_of(own, service, server) == "low" for service in SERVICES), 10)
        assert all(alarm(own, service, server) for service in SERVICES)
        # Then what is inward is refused, and what goes on goes on, to the certificate
        story.tell()
        for errand in story.errands:
            assert errand.taken == (errand.name not in INWARD), (errand.name, errand.statuses)
        assert own.system.caseworker.get(f"/cases/{story.kept}").status_code == 200
        told = own.system.caseworker.post(f"/cases/{story.kept}/disclosures", SAFEGUARDING)
        assert told.status_code == 201, told.text
        request = own.system.an_erasure(forgotten)["id"]
        own.system.confirm(request)
        own.inside.completes(request)
        assert own.inside.left_of(forgotten) == []

        # When there isn't a byte left, and callers go on asking
        disk.fill(0)
        over = time.monotonic() + FULL_SECONDS
        while time.monotonic() < over:
            full.tell()
            disk.fill(0)
            time.sleep(0.3)
    finally:
        disk.empty()
    emptied = time.monotonic()
    # Then it all comes back, is taken in, and ends
    until(lambda: all(state_of(own, service, server) == "ok" for service in SERVICES), RECOVERED_SECONDS)
    until(story.is_told_now, RECOVERED_SECONDS)
    until(full.is_told_now, RECOVERED_SECONDS)
    taken = time.monotonic() - emptied
    if server == "rabbitmq" and not _drains(own, OUTBOXES_RETRY_SECONDS):
        # Its Raft log ends for good when a write meets a disk without a free byte; docs/runbook.md has an operator
        # start it again. Whether that happens is a race with its own alarm, which stops all writes 50 MB before.
        own.stack.servers["rabbitmq"].kill(signal.SIGTERM)
    own.seconds_until_drained(within_seconds=RECOVERED_SECONDS)
    drained = time.monotonic() - emptied
    print(f"{server}: taken {taken:.1f} s, drained {drained:.1f} s after it had room; started again: {own.restarts}")
    story.ends()
    full.ends()
    assert set(own.restarts) <= {"mongodb", "rabbitmq", "seaweedfs"}, own.restarts


def _drains(own: OwnStack, within_seconds: float) -> bool:
    try:
        own.seconds_until_drained(within_seconds=within_seconds)
    except AssertionError:
        return False
    return True


def state_of(own: OwnStack, service: str, server: str) -> str:
    """What the service's readiness says of that server's disk; it stays ready while a disk is low."""
    answer = requests.get(f"{own.provided.urls[service]}/readyz", timeout=10)
    return str(answer.json()["disks"][server]["state"])


def alarm(own: OwnStack, service: str, server: str) -> bool:
    """Whether the service has logged the alarm, and its metrics show it."""
    log = (own.stack.places.logs / f"{own.provided.prefix}-{service}-api.log").read_text()
    lines = [json.loads(line) for line in log.splitlines() if '"disk-low"' in line]
    said = [line for line in lines if (line["event"], line["server"], line["level"]) == ("disk-low", server, "error")]
    metrics = requests.get(f"{own.provided.urls[service]}/metrics", timeout=10).text
    return bool(said) and f'fmn_disk_low{{server="{server}"}} 1.0' in metrics


@pytest.mark.skipif(IS_ROOT, reason="root needs no namespace")
@pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
def test_the_same_by_somebody_who_is_not_root() -> None:
    command = [*IN_A_NAMESPACE, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
