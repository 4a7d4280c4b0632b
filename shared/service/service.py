"""What every service is put together from, once: settings, databases, vault, register, steps, calls, erasing.

A service's main.py opens its own stores on a `Kit` and adds its routes, handlers and steps: nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from flask import Flask

from shared.db import Register
from shared.db.gates import CLOSED, ERASED_SENTENCE, FROZEN, OPEN
from shared.db.lost_keys import sweep_keys
from shared.db.unit_of_work import Tx, UnitOfWork, connect
from shared.db.vault import OFFICE_KEY, Vault, master_keys
from shared.erasure.participant import ErasureParticipant
from shared.errors import Erased
from shared.events import Event, consent
from shared.fields import Count, Optional, Table, one_of
from shared.http import Blueprint, KernelStores, make_app, open_kernel_stores
from shared.http.calls import Calls
from shared.messaging.bus import Publisher
from shared.messaging.inbox import Handler
from shared.messaging.outbox import Outbox
from shared.messaging.steps import Every, Run, Steps
from shared.ops.disks import Disks, ask_at, ask_mongodb
from shared.ops.logs import configure
from shared.ops.settings import Settings, SettingsError, load
from shared.security.signing import PublicKeys, Signer
from shared.service.worker import run_worker

_DAY_SECONDS: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """One process of one service, before its own stores are opened."""

    settings: Settings
    unit_of_work: UnitOfWork
    vault: Vault
    register: Register
    kernel_stores: KernelStores
    steps: Steps
    calls: Calls
    public_keys: PublicKeys
    erasure_participant: ErasureParticipant

    def known(self, case_id: str) -> None:
        """Make sure that this case is one we know of, asking the case service where we haven't heard of it yet.

        Raises NotFound when it doesn't know it either, Erased, or Unavailable when it is away.
        """
        state = self.unit_of_work.gates.state(case_id)
        if state == CLOSED:
            raise Erased(ERASED_SENTENCE)
        if state is None:
            self.calls.get("case", f"/cases/{case_id}")
            self.unit_of_work.gates.prepare(self.vault, [case_id])


def build(service: str, process: str) -> Kit:
    """Connect and open what every service has, for its `api` or `worker`.

    Raises SettingsError with one sentence for what is wrong.
    """
    configure(service=service, process=process)
    settings = load()
    if settings.service != service:
        raise SettingsError(f"FMN_SERVICE says {settings.service}, but this is the {service} service.")
    client = connect(settings.mongo_url)
    unit_of_work = UnitOfWork(client, names=settings.names, service=service)
    vault = Vault(client, unit_of_work.vault_db.name, master_keys(settings.master_keys))
    vault.prepare()
    vault.create_key(OFFICE_KEY)
    register = Register(unit_of_work, vault)
    register.keep(
        "gates",
        clear={
            "state": one_of(OPEN, FROZEN, CLOSED),
            "writes": Optional(Count()),
            "seq": Count(),
            "applied": Optional(Table(Count())),
        },
        retention=None,
        why="a closed gate is the tombstone: a late message must not bring anyone back",
    )
    steps = Steps(register)
    return Kit(
        settings=settings,
        unit_of_work=unit_of_work,
        vault=vault,
        register=register,
        kernel_stores=open_kernel_stores(register, settings),
        steps=steps,
        calls=Calls(settings, Signer(settings.token_jwk)),
        public_keys=PublicKeys.load(settings.public_keys),
        erasure_participant=ErasureParticipant(
            unit_of_work=unit_of_work, register=register, steps=steps, signer=Signer(settings.receipt_jwk)
        ),
    )


def api(
    kit: Kit,
    blueprints: Sequence[Blueprint],
    *,
    checks: Mapping[str, Callable[[], object]] | None = None,
    away: tuple[type[Exception], ...] = (),
) -> Flask:
    """The app of the api process. checks: servers besides MongoDB that must answer for it to be ready; away: the errors
    that say that one of them doesn't.
    """
    settings = kit.settings
    Outbox(kit.register, Publisher(settings.amqp_url, f"{settings.names}-{settings.service} api"))
    asks = {server: ask_at(url) for server, url in settings.disks.items()}
    disks = Disks(settings.disk_floor, {"mongodb": ask_mongodb(kit.unit_of_work.vault_db), **asks})
    disks.start()
    return make_app(
        settings=settings,
        register=kit.register,
        stores=kit.kernel_stores,
        blueprints=blueprints,
        checks={"mongodb": lambda: kit.unit_of_work.client.admin.command("ping"), **(checks or {})},
        away=away,
        disks=disks,
    )


def worker(
    kit: Kit,
    handlers: Mapping[str, Handler],
    kinds: Mapping[str, Run],
    periodic: Sequence[Every] = (),
) -> int:
    """Run the worker process until it is told to stop; its exit code."""
    kit.steps.serve({**kinds, **kit.erasure_participant.step_kinds()})
    return run_worker(
        kit.settings,
        kit.register,
        merged(kit.erasure_participant.handlers(), handlers),
        kit.steps,
        [
            Every(
                seconds=_DAY_SECONDS, run=lambda now: sweep_keys(kit.unit_of_work, kit.vault, now=now), name="lost-keys"
            ),
            *periodic,
        ],
        # A service that never heard of the case makes no key for it, only to count it as found.
        without_gate=frozenset({consent.STARTED.type}),
    )


def merged(*several: Mapping[str, Handler]) -> dict[str, Handler]:
    """One handler a type: where two want the same event, both are run, in this order."""
    together: dict[str, Handler] = {}
    for handlers in several:
        for name, handler in handlers.items():
            together[name] = handler if name not in together else _both(together[name], handler)
    return together


def _both(first: Handler, second: Handler) -> Handler:
    def run(tx: Tx, event: Event) -> None:
        first(tx, event)
        second(tx, event)

    return run
