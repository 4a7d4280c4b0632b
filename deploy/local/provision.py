"""What the services of one set of names (`FMN_NAMES`) need: accounts, vhost, buckets, secrets and settings."""

from __future__ import annotations

import fcntl
import json
import os
import random
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from deploy.local import mongo, objects
from deploy.local.broker import Management
from deploy.local.errors import StackError
from deploy.local.keys import ensure_keys, ensure_text
from deploy.local.machine import is_free
from deploy.local.places import DEFAULT_PREFIX, Places, Ports, private_folder, write_private
from deploy.mongo.accounts import drop_account, ensure_account
from deploy.objects.accounts import KeyPair
from deploy.objects.kinds import drop_account as drop_object_account
from deploy.objects.kinds import ensure_account as ensure_object_account
from deploy.rabbitmq.definitions import account, render
from shared.events import SERVICES

# What an operator may set from outside; everything else is the stack's own to say.
OPERATORS_SETTINGS = (
    "FMN_OIDC_ISSUER", "FMN_OIDC_JWKS_URL", "FMN_OIDC_AUDIENCE", "FMN_ELSEWHERE", "FMN_OFFICE_CLOSURES",
    "FMN_OFFICE_NAME", "FMN_OFFICE_PHONE", "FMN_OFFICE_EMAIL", "FMN_OFFICE_ADDRESS", "FMN_CONTROLLER",
    "FMN_DPO_CONTACT", "FMN_HELPLINE", "FMN_SHELL_DAYS", "FMN_UPLOAD_LIMIT_BYTES", "FMN_TIME_TRAVEL", "FMN_PRINTER",
    "FMN_SMTP_URL", "FMN_SMTP_PLAIN", "FMN_LEDGER_COPY", "FMN_DISK_FLOOR", "FMN_SAFEGUARDING_EMAIL",
    "FMN_SAFEGUARDING_DAYS", "FMN_REVIEW_WINDOW_DAYS", "FMN_REVIEW_REMINDER_DAYS", "FMN_CLOCK_MAX",
)  # fmt: skip
# Whoever keeps files has a bucket and an account on the object store, and nobody else has. SeaweedFS writes down every
# account again whenever one is made or changed, so that four a set of names made a run of tests wait by the minute.
_KEEP_FILES = ("document",)
# Folders beside which those of other names are made.
_TAKEN = ("secrets", "tmp", "rabbitmq", "seaweedfs", "spool", "pids", "ready", "mail", "post", "demo")
# Below what Linux takes for connections and for whoever asks for any port.
_DRAWN_FROM = range(10_000, 20_000)
# Ofcom's numbers for drama and RFC 2606's domains: nobody is telephoned or written to.
SAMPLE_OFFICE = {
    "FMN_OFFICE_NAME": "Marlow Vale SENDIAS",
    "FMN_OFFICE_PHONE": "01632 960 123",
    "FMN_OFFICE_EMAIL": "office@sendias.example",
    "FMN_OFFICE_ADDRESS": "1 Example Street|Exampleton|EX4 4PL",
    "FMN_CONTROLLER": "Marlow Vale Council",
    "FMN_DPO_CONTACT": "dpo@council.example",
    "FMN_SAFEGUARDING_EMAIL": "safeguarding@sendias.example",
    "FMN_HELPLINE": "Contact's helpline for families, 0808 808 3555",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Provision:
    """One set of names on a running stack: `env` by service, secrets folder by service, port by service.

    `run` holds the set's secrets and public keys, `world` what leaves the system (`world/post`; mail is the stack's).
    """

    prefix: str
    run: Path
    world: Path
    mail: Path
    env: Mapping[str, Mapping[str, str]]
    secrets: Mapping[str, Path]
    ports: Mapping[str, int]

    @property
    def urls(self) -> dict[str, str]:
        """Base address of each service's API, without `/v1`."""
        return {service: f"http://127.0.0.1:{port}" for service, port in self.ports.items()}

    @property
    def post(self) -> Path:
        return self.world / "post"

    @property
    def public_keys(self) -> Path:
        return self.run / "public-keys.json"

    @property
    def issuer_key(self) -> Path:
        return self.run / "secrets" / "issuer" / "issuer.jwk"


def issuer_key(places: Places, prefix: str) -> Path:
    """The local issuer's private JWK, with which `forgetmenot token` signs."""
    return places.run_of(prefix) / "secrets" / "issuer" / "issuer.jwk"


def names_from_environment() -> str:
    """`FMN_NAMES`: which set of names a command is about."""
    return os.environ.get("FMN_NAMES") or DEFAULT_PREFIX


def run_ports(places: Places, ports: Ports, prefix: str) -> dict[str, int]:
    """The services' ports as they were last provisioned; the stack's own before that."""
    recorded = places.run_of(prefix) / "ports.json"
    return dict(json.loads(recorded.read_text())) if recorded.exists() else ports.services


def draw_ports(places: Places, prefix: str) -> dict[str, int]:
    """Ports for the services of `prefix`, recorded as theirs: nothing listens on them, and no other names on this stack
    have them, whether their services run or not. None of those that the system gives to whoever asks for any.
    """
    recorded = private_folder(places.run_of(prefix)) / "ports.json"
    lock = os.open(places.run / "ports.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        taken = {port for path in places.run.glob("*/ports.json") if path != recorded for port in _ports_in(path)}
        untaken = (port for port in random.sample(_DRAWN_FROM, len(_DRAWN_FROM)) if port not in taken)
        drawn = dict(zip(SERVICES, filter(is_free, untaken), strict=False))
        write_private(recorded, json.dumps(drawn))
    finally:
        os.close(lock)
    return drawn


def _ports_in(path: Path) -> list[int]:
    """What a file of `draw_ports` says; nothing if its names were dropped meanwhile."""
    with suppress(FileNotFoundError):
        return [int(port) for port in json.loads(path.read_text()).values()]
    return []


def provision(places: Places, ports: Ports, prefix: str, service_ports: Mapping[str, int] | None = None) -> Provision:
    """Make or complete everything for `prefix`; doing it again changes nothing that exists.

    Services of the default prefix listen on the stack's own ports, those of others on free ones unless told.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]{2,19}", prefix) or prefix in _TAKEN:
        raise StackError(f"{prefix!r} can't name databases and buckets: 3 to 20 lower-case letters and digits do.")
    run, world = private_folder(places.run_of(prefix)), private_folder(places.world_of(prefix))
    public_keys = ensure_keys(run)
    folders = {service: run / "secrets" / service for service in SERVICES}
    _accounts_on_mongo(places, ports, prefix, folders)
    _accounts_on_rabbit(places, ports, prefix, folders)
    _accounts_on_objects(places, ports, prefix, folders)
    if service_ports is None:
        service_ports = ports.services if prefix == DEFAULT_PREFIX else draw_ports(places, prefix)
    write_private(run / "ports.json", json.dumps(dict(service_ports)))
    post = private_folder(world / "post")
    ledger_copy = private_folder(places.root / "ledger-copy" / ("" if prefix == DEFAULT_PREFIX else prefix))
    common = {
        **{f"FMN_{service.upper()}_URL": f"http://127.0.0.1:{port}" for service, port in service_ports.items()},
        **SAMPLE_OFFICE,
        "FMN_NAMES": prefix,
        "FMN_PUBLIC_KEYS": str(public_keys),
        "FMN_OIDC_AUDIENCE": "forgetmenot",
        "FMN_S3_ENDPOINT": f"127.0.0.1:{ports['s3']}",
        "FMN_S3_SECURE": "off",
        "FMN_S3_REGION": "us-east-1",
        "FMN_SMTP_URL": f"smtp://127.0.0.1:{ports['smtp']}",
        "FMN_SMTP_PLAIN": "on",
        "FMN_PRINTER": f"file://{quote(str(post))}",
        "FMN_LEDGER_COPY": str(ledger_copy),
        # They lie on this machine, so their disks can be asked without them. It may be used for more than this, and a
        # developer's disk that is nearly full is no reason to stop taking in.
        "FMN_DISK_FLOOR": "1",
        "FMN_DISKS": f"rabbitmq={_asked_at(places, 'rabbitmq')},objects={_asked_at(places, 'seaweedfs')}",
        **{name: os.environ[name] for name in OPERATORS_SETTINGS if name in os.environ},
    }
    env = {
        service: common
        | {
            "FMN_SERVICE": service,
            "FMN_SECRETS": str(folders[service]),
            "FMN_SPOOL": str(private_folder(run / "spool" / service)),
        }
        for service in SERVICES
    }
    return Provision(
        prefix=prefix,
        run=run,
        world=world,
        mail=places.mail,
        env=env,
        secrets=folders,
        ports=dict(service_ports),
    )


def _asked_at(places: Places, server: str) -> str:
    return f"file://{quote(str(places.servers / server))}"


def deprovision(places: Places, ports: Ports, prefix: str) -> None:
    """Drop the databases, vhost, buckets, accounts and secrets of `prefix`; its world stays."""
    if prefix == DEFAULT_PREFIX:
        raise StackError("The stack's own names aren't dropped; remove FMN_LOCAL instead.")
    Management.of(places, ports).drop(prefix, [account(prefix, service) for service in SERVICES])
    with mongo.admin_client(places, ports) as client:
        for service in SERVICES:
            drop_account(client, prefix, service)
    for service in _KEEP_FILES:
        pair = _known_pair(places.run_of(prefix) / "secrets" / service)
        drop_object_account(objects.kind(places), objects.admin(places, ports), f"{prefix}-{service}", pair)
    shutil.rmtree(places.run_of(prefix), ignore_errors=True)


def _accounts_on_mongo(places: Places, ports: Ports, prefix: str, folders: Mapping[str, Path]) -> None:
    with mongo.admin_client(places, ports) as client:
        for service, folder in folders.items():
            password = ensure_text(folder / "mongo-password")
            name = ensure_account(client, prefix, service, password)
            write_private(
                folder / "mongo-url",
                f"mongodb://{name}:{password}@127.0.0.1:{ports['mongodb']}/"
                f"?authSource=admin&replicaSet={mongo.REPLICA_SET}",
            )


def _accounts_on_rabbit(places: Places, ports: Ports, prefix: str, folders: Mapping[str, Path]) -> None:
    passwords = {service: ensure_text(folder / "amqp-password") for service, folder in folders.items()}
    Management.of(places, ports).apply(render(prefix, passwords))
    for service, folder in folders.items():
        address = f"127.0.0.1:{ports['amqp']}/{quote(prefix, safe='')}"
        write_private(folder / "amqp-url", f"amqp://{account(prefix, service)}:{passwords[service]}@{address}")


def _accounts_on_objects(places: Places, ports: Ports, prefix: str, folders: Mapping[str, Path]) -> None:
    store, kind = objects.admin(places, ports), objects.kind(places)
    for service in _KEEP_FILES:
        folder = folders[service]
        known = _known_pair(folder)
        pair = ensure_object_account(kind, store, f"{prefix}-{service}", known)
        if pair != known:
            write_private(folder / "s3-access-key", pair.access)
            write_private(folder / "s3-secret-key", pair.secret)


def _known_pair(folder: Path) -> KeyPair | None:
    access, secret = folder / "s3-access-key", folder / "s3-secret-key"
    return KeyPair(access=access.read_text(), secret=secret.read_text()) if secret.exists() else None
