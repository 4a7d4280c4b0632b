"""One process of one service: its settings, databases, vault, register, steps, and ways to the other services."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Final

from pymongo.database import Database

from shared.db.changes import CASE, Feed
from shared.db.gates import CLOSED, ERASED_SENTENCE, FROZEN, OPEN
from shared.db.keys.errors import NoTreeYet, RootsElsewhere
from shared.db.keys.roots import Folders
from shared.db.keys.rotation import Rotation
from shared.db.register import Register
from shared.db.unit_of_work import UnitOfWork, connect
from shared.erasure.case_keys import CaseKeys
from shared.erasure.grants import Grants
from shared.erasure.named_keys import NamedKeys
from shared.erasure.participant import ErasureParticipant
from shared.errors import Erased
from shared.fields import Count, Optional, Sealed, Table, one_of
from shared.http import KernelStores, open_kernel_stores
from shared.http.calls import Calls
from shared.messaging.steps import Steps
from shared.ops.logs import configure
from shared.ops.memory import keep_memory_private
from shared.ops.settings import Settings, SettingsError, load
from shared.security.signing import PublicKeys, Signer
from shared.service.restores import WAITING_NAME, RestoreGoesOn, Restores, register_restores

# An API that starts with its worker waits for the key tree that the worker makes. gunicorn ends a process that hasn't
# started within thirty seconds; it is then started again.
_TREE_SECONDS: Final = 25.0
#: What `forgetmenot migrate` calls its process, and where it keeps the keys of an older version while it works.
MIGRATION: Final = "migrate"
#: What `forgetmenot restore` calls its process.
RESTORE: Final = "restore"
API, WORKER = "api", "worker"
KEYS_BEFORE: Final = "keys_before"
_OLDER_SENTENCE: Final = (
    "The {service} service's databases were written by an older version. Nothing was changed. Stop every service and "
    "run `forgetmenot migrate`; the runbook says how, under Upgrade."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What every service has, before its own stores are opened."""

    settings: Settings
    unit_of_work: UnitOfWork
    register: Register
    kernel_stores: KernelStores
    steps: Steps
    calls: Calls
    public_keys: PublicKeys
    grants: Grants
    keys: NamedKeys
    case_keys: CaseKeys
    erasure: ErasureParticipant
    restores: Restores

    def require_known(self, case_id: str) -> None:
        """Make sure that this case is known here; where it isn't yet, ask the case service.

        Raises NotFound when the case service doesn't know it either, Erased, or Unavailable when it is away.
        """
        state = self.unit_of_work.gates.state(case_id)
        if state == CLOSED:
            raise Erased(ERASED_SENTENCE)
        if state is None:
            self.calls.get("case", f"/cases/{case_id}")
            self.unit_of_work.gates.make_if_unknown(case_id)


def open_runtime(service: str, process: str) -> Runtime:
    """Connect, and open what every service has, for its `api` or `worker` process, or for MIGRATION or RESTORE.

    A worker waits here for the end of a restore; for an API it raises RestoreGoesOn. Raises SettingsError with one
    sentence for what is wrong.
    """
    keep_memory_private()
    if process == RESTORE:
        # One process that works for all services in turn, and says to its operator what it does.
        configure(service=RESTORE, process=process, least=logging.WARNING)
    else:
        configure(service=service, process=process)
    settings = load()
    if settings.service != service:
        raise SettingsError(f"FMN_SERVICE says {settings.service}, but this is the {service} service.")
    unit_of_work = UnitOfWork(
        connect(settings.mongo_url), names=settings.names, service=service, roots=Folders(settings.roots)
    )
    if process in (API, WORKER):
        _require_no_restore(settings, process)
    if process != MIGRATION and _is_older(unit_of_work.vault_db):
        raise SettingsError(_OLDER_SENTENCE.format(service=service))
    try:
        unit_of_work.vault.start(wait_seconds=_TREE_SECONDS)
    except (RootsElsewhere, NoTreeYet) as error:
        raise SettingsError(str(error)) from error
    register = Register(unit_of_work)
    register.keep(
        "gates",
        clear={
            "state": one_of(OPEN, FROZEN, CLOSED),
            "mac": Sealed(),
            "writes": Optional(Count()),
            "seq": Count(),
            # Which of its keys is the case's; the first without this.
            "key": Optional(Count()),
            "applied": Optional(Table(Count())),
        },
        retention=None,
        why="a closed gate is the tombstone: a late message must not bring anyone back",
        feed=Feed(kind=CASE),
    )
    register_restores(register)
    steps = Steps(register)
    signer = Signer(settings.receipt_jwk)
    public_keys = PublicKeys.load(settings.public_keys)
    grants = Grants(public_keys)
    keys = NamedKeys(unit_of_work, Rotation(unit_of_work.vault), steps)
    kernel_stores, case_keys = open_kernel_stores(register, settings), CaseKeys(register, keys, steps)
    erasure = ErasureParticipant(
        unit_of_work=unit_of_work, register=register, steps=steps, keys=keys, grants=grants, signer=signer
    )
    for hooks in (case_keys.before_doom, erasure.before_walk):
        hooks.append(kernel_stores.idempotency.forget_digests)
    return Runtime(
        settings=settings,
        unit_of_work=unit_of_work,
        register=register,
        kernel_stores=kernel_stores,
        steps=steps,
        calls=Calls(settings, Signer(settings.token_jwk)),
        public_keys=public_keys,
        grants=grants,
        keys=keys,
        case_keys=case_keys,
        erasure=erasure,
        restores=Restores(unit_of_work.db),
    )


def _require_no_restore(settings: Settings, process: str) -> None:
    """A worker waits until none goes on. Raises RestoreGoesOn for an API."""
    # Under another name: the restore waits until no other process of the service is there.
    client = connect(settings.mongo_url, name=WAITING_NAME)
    restores = Restores(client[f"{settings.names}_{settings.service}"])
    if process == API and restores.goes_on():
        raise RestoreGoesOn(restores)
    if process == WORKER:
        restores.wait()
    client.close()


def _is_older(vault_db: Database[dict[str, Any]]) -> bool:
    """Whether the vault has keys of an older version, whose ids are binary, or they are being replaced."""
    of_before = {"_id": {"$type": "binData"}}
    return any(vault_db[name].find_one(of_before, {"_id": 1}) is not None for name in ("keys", KEYS_BEFORE))
