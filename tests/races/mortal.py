"""A system whose processes die where they are told to, and are started again without the waits that a death costs.

A process that died has steps, messages and keys on lease: the next life takes them up once the lease is over, after
5 to 15 seconds each. That it does is shown elsewhere (test_messaging, test_http_kernel, the fault suite). Here dozens
of processes die one after another, so what a dead one held is given back before its next life begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from deploy.local.stack import Stack
from shared.clock import LONG_AGO
from tests.faults.running import Running
from tests.races.inside import Inside, an_inside
from tests.system import System


@dataclass(frozen=True, slots=True, kw_only=True)
class Mortal:
    """The system, what starts its processes again, and a look into its servers."""

    running: Running
    system: System
    inside: Inside


@contextmanager
def a_mortal_system(stack: Stack, names: str, **settings: str) -> Iterator[Mortal]:
    provided = stack.provision(names)
    system = System(stack, provided)
    with an_inside(system) as inside:

        def give_back(process: str) -> None:
            service, _, role = process.partition("-")
            give_back_leases(inside, service, role)

        folder = stack.places.root / f"inside-{provided.prefix}"
        running = Running(stack, provided, folder, settings=settings, on_death=give_back, quick=True)
        try:
            running.start()
            yield Mortal(running=running, system=system, inside=inside)
        finally:
            running.stop(at_once=True)


def give_back_leases(inside: Inside, service: str, role: str) -> None:
    """End the leases of a process that has died; a service has one process of each role."""
    database = inside.mongo[f"{inside.names}_{service}"]
    if role == "worker":
        database["steps"].update_many({"lease": {"$ne": None}}, {"$set": {"lease_until": LONG_AGO}})
        database["outbox"].update_many({"claim": {"$exists": True}}, {"$set": {"due": LONG_AGO}})
    else:
        database["idempotency"].update_many({"state": "in_use"}, {"$set": {"until": LONG_AGO}})
