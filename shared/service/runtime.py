"""One process of one service: its settings, databases, vault, register, steps, and ways to the other services."""

from __future__ import annotations

from dataclasses import dataclass

from shared.db.gates import CLOSED, ERASED_SENTENCE, FROZEN, OPEN
from shared.db.register import Register
from shared.db.unit_of_work import UnitOfWork, connect
from shared.db.vault import OFFICE_KEY, Vault, master_keys
from shared.erasure.participant import ErasureParticipant
from shared.errors import Erased
from shared.fields import Count, Optional, Table, one_of
from shared.http import KernelStores, open_kernel_stores
from shared.http.calls import Calls
from shared.messaging.steps import Steps
from shared.ops.logs import configure
from shared.ops.settings import Settings, SettingsError, load
from shared.security.signing import PublicKeys, Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What every service has, before its own stores are opened."""

    settings: Settings
    unit_of_work: UnitOfWork
    vault: Vault
    register: Register
    kernel_stores: KernelStores
    steps: Steps
    calls: Calls
    public_keys: PublicKeys
    erasure: ErasureParticipant

    def require_known(self, case_id: str) -> None:
        """Make sure that this case is known here; where it isn't yet, ask the case service.

        Raises NotFound when the case service doesn't know it either, Erased, or Unavailable when it is away.
        """
        state = self.unit_of_work.gates.state(case_id)
        if state == CLOSED:
            raise Erased(ERASED_SENTENCE)
        if state is None:
            self.calls.get("case", f"/cases/{case_id}")
            self.unit_of_work.gates.prepare(self.vault, [case_id])


def open_runtime(service: str, process: str) -> Runtime:
    """Connect, and open what every service has, for its `api` or `worker` process.

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
    signer = Signer(settings.receipt_jwk)
    return Runtime(
        settings=settings,
        unit_of_work=unit_of_work,
        vault=vault,
        register=register,
        kernel_stores=open_kernel_stores(register, settings),
        steps=steps,
        calls=Calls(settings, Signer(settings.token_jwk)),
        public_keys=PublicKeys.load(settings.public_keys),
        erasure=ErasureParticipant(unit_of_work=unit_of_work, register=register, steps=steps, signer=signer),
    )
