"""Connections that are reset, swallowed, half-open or slow, between the services and each of their servers.

Nothing that was accepted is lost or done twice, callers hear yes or `later`, and soon, and all is drained within five
seconds of the end.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.local.places import write_private
from deploy.local.provision import Provision
from deploy.local.stack import Stack
from shared.events import SERVICES
from tests.faults.errands import Story
from tests.faults.own_stack import OwnStack, own_stack, until
from tests.faults.proxy import Proxy

SERVERS = {"mongodb": "mongodb", "rabbitmq": "amqp", "objects": "s3", "mail": "smtp"}
FAULTS: dict[str, Callable[[Proxy], None]] = {
    "reset": Proxy.reset,
    "blackhole": Proxy.blackhole,
    "half-open": Proxy.half_open,
    "slow": lambda proxy: proxy.slow(bytes_per_s=400_000, latency_s=0.05),
}
# How long it lasts, and within how many seconds of its end everything must be drained.
LASTS_SECONDS = 4.0
DRAINED_SECONDS = {
    "rabbitmq": 5.0,
    "objects": 5.0,
    # What was on its way when it was swallowed arrives at the end: a transaction whose client has given up, which holds
    # its rows for transactionLifetimeLimitSeconds more, by design.
    "mongodb": 5.0 + 3.0,
    # A hand-over waits twenty seconds for the relay's answer, by design, since guessing would send an email twice; one
    # that failed is tried again after a back-off, of a few seconds after so short a fault.
    "mail": 5.0 + 20.0,
}
# An upload whose outcome nobody knows is purged when its row lapses, and again by the sweep of each minute.
PURGED_SECONDS = 75.0


@pytest.fixture(scope="module")
def behind_proxies() -> Iterator[tuple[OwnStack, dict[str, Proxy]]]:
    proxies: dict[str, Proxy] = {}
    with ExitStack() as opened:

        def rewire(stack: Stack, provided: Provision) -> Mapping[str, str]:
            for name, port in SERVERS.items():
                proxies[name] = opened.enter_context(Proxy(stack.ports[port]))
            # The reader's network isn't cut: it has no broker account, and reads what the services wrote.
            for service in SERVICES:
                folder = provided.secrets[service]
                for secret, server in (("mongo-url", "mongodb"), ("amqp-url", "rabbitmq")):
                    url = (folder / secret).read_text()
                    url = url.replace(f"127.0.0.1:{stack.ports[SERVERS[server]]}", proxies[server].address)
                    # The replica set would tell its own address, which leads past the proxy.
                    write_private(folder / secret, url.replace("replicaSet=fmn", "directConnection=true"))
            return {
                "FMN_S3_ENDPOINT": proxies["objects"].address,
                "FMN_SMTP_URL": f"smtp://{proxies['mail'].address}",
            }

        own = opened.enter_context(own_stack("net", rewire=rewire))
        yield own, proxies
        for proxy in proxies.values():
            proxy.heal()


@pytest.mark.skipif(os.geteuid() != 0, reason="a service's open connections are for root alone to see")
def test_every_connection_to_a_server_goes_through_its_proxy(
    behind_proxies: tuple[OwnStack, dict[str, Proxy]],
) -> None:
    own, proxies = behind_proxies
    story = Story(own)
    story.tell()
    story.ends()
    past = {own.stack.ports[port] for port in SERVERS.values()}
    through = {proxy.port for proxy in proxies.values()}
    seen: set[int] = set()
    for process in own.stack.services.values():
        if process.name.endswith("-reader"):
            continue
        remote = remote_ports(process.pid)
        assert not remote & past, f"{process.name} goes past the proxies: {remote & past}"
        seen |= remote & through
    assert {proxies[name].port for name in ("mongodb", "rabbitmq", "objects")} <= seen
    assert all(proxy.carried > 0 for proxy in proxies.values())


def remote_ports(pid: int) -> set[int]:
    """Remote ports of the TCP connections that this process has open now."""
    inodes = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(handle.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {int(row[2].partition(":")[2], 16) for row in rows if row[9] in inodes and row[3] != "0A"}


def chosen() -> list[tuple[str, str]]:
    """Every fault at every server; unless FAULTS=full each fault once, at a server that FAULTS_SEED chooses."""
    pairs = [(server, fault) for fault in FAULTS for server in SERVERS]
    if os.environ.get("FAULTS") == "full":
        return pairs
    seed = int(os.environ.get("FAULTS_SEED") or 0)
    return [(list(SERVERS)[(number + seed) % len(SERVERS)], fault) for number, fault in enumerate(FAULTS)]


@pytest.mark.parametrize(("server", "fault"), chosen())
def test_nothing_is_lost_or_done_twice(
    server: str, fault: str, behind_proxies: tuple[OwnStack, dict[str, Proxy]], record_property: Callable[..., None]
) -> None:
    own, proxies = behind_proxies
    story = Story(own)
    FAULTS[fault](proxies[server])
    try:
        over = time.monotonic() + LASTS_SECONDS
        while time.monotonic() < over:
            story.tell()
            time.sleep(0.2)
    finally:
        proxies[server].heal()
    healed = time.monotonic()
    during = {errand.name: (errand.statuses, round(errand.longest, 1)) for errand in story.errands}
    until(story.is_told_now, 20)
    taken = time.monotonic() - healed
    own.seconds_until_drained(within_seconds=60)
    drained = time.monotonic() - healed
    print(f"{server} {fault}: taken {taken:.1f} s, drained {drained:.1f} s after its end; {during}")
    record_property("drained_seconds", round(drained, 1))
    story.ends()
    assert drained < DRAINED_SECONDS[server]
    TOLD.append(story.kept)


TOLD: list[str] = []


def test_uploads_that_were_given_up_leave_nothing_behind(behind_proxies: tuple[OwnStack, dict[str, Proxy]]) -> None:
    own, _ = behind_proxies
    if not TOLD:
        pytest.skip("no demo ran to its end through the proxies before this test")

    def extra() -> list[str]:
        objects = [key for case_id in TOLD for key in own.inside.objects_of(case_id)]
        versions = [v for case_id in TOLD for v in own.inside.rows("document", "versions", case_id=case_id)]
        rows = [f"receiving {row['_id']}" for row in own.inside.rows("document", "receiving")]
        return rows + (objects if len(objects) != len(versions) else [])

    until(lambda: not extra(), PURGED_SECONDS, extra)
    until(lambda: not own.in_hand, 10, lambda: own.in_hand)
    assert own.restarts == {}
