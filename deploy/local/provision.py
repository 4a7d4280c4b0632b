"""What the services of one prefix (`FMN_NAMES`) need: accounts, vhost, buckets, secrets and settings.

All names on the servers begin with the prefix, so that several installations share one stack.
"""

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
from deploy.mongo.accounts import drop_account, drop_user, ensure_account, ensure_reader
from deploy.objects.kinds import drop_account as drop_object_account
from deploy.objects.kinds import drop_identity
from deploy.objects.kinds import ensure_account as ensure_object_account
from deploy.objects.kinds import ensure_reader as ensure_object_reader
from deploy.rabbitmq.definitions import account, render
from shared.erasure.readings import READER
from shared.events import SERVICES

# Settings that are taken from the caller's environment; the stack sets all others.
_OPERATOR_SETTINGS = (
    "FMN_OIDC_ISSUER", "FMN_OIDC_JWKS_URL", "FMN_OIDC_AUDIENCE", "FMN_ELSEWHERE", "FMN_OFFICE_CLOSURES",
    "FMN_OFFICE_NAME", "FMN_OFFICE_PHONE", "FMN_OFFICE_EMAIL", "FMN_OFFICE_ADDRESS", "FMN_CONTROLLER",
    "FMN_DPO_CONTACT", "FMN_HELPLINE", "FMN_SHELL_DAYS", "FMN_UPLOAD_LIMIT_BYTES", "FMN_TIME_TRAVEL", "FMN_PRINTER",
    "FMN_SMTP_URL", "FMN_SMTP_PLAIN", "FMN_LEDGER_COPY", "FMN_LEDGER_HEAD", "FMN_DISK_FLOOR", "FMN_SAFEGUARDING_EMAIL",
    "FMN_SAFEGUARDING_DAYS", "FMN_REVIEW_WINDOW_DAYS", "FMN_REVIEW_REMINDER_DAYS", "FMN_CLOCK_MAX",
    "FMN_PRINTER_HOURS", "FMN_BACKUP_KEY", "FMN_SMTP_UTF8", "FMN_CLAMD", "FMN_LEDGER_HEAD_MAIL",
)  # fmt: skip
# Services that store files; only they get a bucket and an account on the object store. SeaweedFS rewrites every account
# whenever one changes: with four accounts a prefix, test runs waited for minutes.
_WITH_BUCKET = ("document",)
# Folders of the stack beside which a prefix's folders are created.
_RESERVED = ("secrets", "tmp", "rabbitmq", "seaweedfs", "spool", "pids", "ready", "mail", "post", "demo", "backup")
# Below Linux's ephemeral ports.
_PORT_RANGE = range(10_000, 20_000)
# Ofcom's numbers for drama and RFC 2606's domains, which reach no real person.
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
    """One prefix on a running stack: environment, secrets folder and port by service, and of the independent reader.

    run: the folder with the prefix's secrets and public keys. world: the folder for what leaves the system
    (`world/post`; all prefixes share the stack's mail folder).
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
        """The base URL of each service's API, without `/v1`."""
        return {service: f"http://127.0.0.1:{self.ports[service]}" for service in SERVICES}

    @property
    def post(self) -> Path:
        return self.world / "post"

    @property
    def public_keys(self) -> Path:
        return self.run / "public-keys.json"

    @property
    def issuer_key(self) -> Path:
        return issuer_key(self.run)


def issuer_key(run: Path) -> Path:
    """Return the path of the local issuer's private JWK, with which `forgetmenot token` signs."""
    return run / "secrets" / "issuer" / "issuer.jwk"


def backup_identity(run: Path) -> Path:
    """Return the path of the private key that opens the key archives of `forgetmenot backup`."""
    return run / "backup" / "identity.json"


def prefix_from_environment() -> str:
    """Return the prefix that a command is about (`FMN_NAMES`)."""
    return os.environ.get("FMN_NAMES") or DEFAULT_PREFIX


def service_ports_of(places: Places, ports: Ports, prefix: str) -> dict[str, int]:
    """Return the services' ports as last provisioned; before that, the stack's default ports."""
    file = places.run_of(prefix) / "ports.json"
    # A file of an older version lacks the reader's.
    return {**ports.services, **(json.loads(file.read_text()) if file.exists() else {})}


def allocate_ports(places: Places, prefix: str) -> dict[str, int]:
    """Choose and record free ports for the services of `prefix`.

    No other prefix on this stack has them, whether its services run or not, and none is an ephemeral port.
    """
    file = private_folder(places.run_of(prefix)) / "ports.json"
    lock = os.open(places.run / "ports.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        taken = {port for path in places.run.glob("*/ports.json") if path != file for port in _ports_in(path)}
        untaken = (port for port in random.sample(_PORT_RANGE, len(_PORT_RANGE)) if port not in taken)
        allocated = dict(zip((*SERVICES, READER), filter(is_free, untaken), strict=False))
        write_private(file, json.dumps(allocated))
    finally:
        os.close(lock)
    return allocated


def _ports_in(path: Path) -> list[int]:
    """Return the ports in a ports.json; none if its prefix has been deprovisioned."""
    with suppress(FileNotFoundError):
        return [int(port) for port in json.loads(path.read_text()).values()]
    return []


def provision(places: Places, ports: Ports, prefix: str, service_ports: Mapping[str, int] | None = None) -> Provision:
    """Create everything that `prefix` lacks; running it again changes nothing that exists. Raises StackError.

    service_ports: by default the stack's ports for the default prefix, and free ports for others.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]{2,19}", prefix) or prefix in _RESERVED:
        raise StackError(f"{prefix!r} can't name databases and buckets: use 3 to 20 lower-case letters and digits.")
    run, world = private_folder(places.run_of(prefix)), private_folder(places.world_of(prefix))
    ensure_keys(run)
    _ensure_backup_keys(run)
    folders = {service: run / "secrets" / service for service in (*SERVICES, READER)}
    _accounts_on_mongo(places, ports, prefix, folders)
    _accounts_on_rabbit(places, ports, prefix, folders)
    _accounts_on_objects(places, ports, prefix, folders)
    if service_ports is None:
        service_ports = ports.services if prefix == DEFAULT_PREFIX else allocate_ports(places, prefix)
    write_private(run / "ports.json", json.dumps(dict(service_ports)))
    return Provision(
        prefix=prefix,
        run=run,
        world=world,
        mail=places.mail,
        env=environment(places, ports, prefix, service_ports),
        secrets=folders,
        ports=dict(service_ports),
    )


def environment(
    places: Places, ports: Ports, prefix: str, service_ports: Mapping[str, int]
) -> dict[str, dict[str, str]]:
    """Return the settings of each service of `prefix`, as environment variables; asks no server."""
    run = places.run_of(prefix)
    post = private_folder(places.world_of(prefix) / "post")
    ledger_copy = private_folder(_ledger_copy_of(places, prefix))
    common = {
        **{f"FMN_{service.upper()}_URL": f"http://127.0.0.1:{port}" for service, port in service_ports.items()},
        **SAMPLE_OFFICE,
        "FMN_NAMES": prefix,
        "FMN_PUBLIC_KEYS": str(run / "public-keys.json"),
        "FMN_OIDC_AUDIENCE": "forgetmenot",
        "FMN_S3_ENDPOINT": f"127.0.0.1:{ports['s3']}",
        "FMN_S3_SECURE": "off",
        "FMN_S3_REGION": "us-east-1",
        "FMN_SMTP_URL": f"smtp://127.0.0.1:{ports['smtp']}",
        "FMN_SMTP_PLAIN": "on",
        "FMN_SMTP_UTF8": "on",
        "FMN_PRINTER": f"file://{quote(str(post))}",
        # What is in `world/` has left the system.
        "FMN_PRINTER_HOURS": "0",
        "FMN_LEDGER_COPY": str(ledger_copy),
        "FMN_BACKUP_KEY": f"{backup_identity(run)}.pub",
        # The servers' disks are this machine's. A developer's machine has other uses, and a nearly full disk there is
        # no reason to refuse new data.
        "FMN_DISK_FLOOR": "1",
        "FMN_DISKS": f"rabbitmq={_disk_url(places, 'rabbitmq')},objects={_disk_url(places, 'seaweedfs')}",
        **{name: os.environ[name] for name in _OPERATOR_SETTINGS if name in os.environ},
    }
    reader = {
        **common,
        "FMN_SECRETS": str(run / "secrets" / READER),
        "FMN_BIND": f"127.0.0.1:{service_ports[READER]}",
        # On a stack that several share, the others' databases aren't this prefix's to read.
        "FMN_ONLY_OWN": "off" if prefix == DEFAULT_PREFIX else "on",
    }
    return {READER: reader} | {
        service: common
        | {
            "FMN_SERVICE": service,
            "FMN_SECRETS": str(run / "secrets" / service),
            "FMN_SPOOL": str(private_folder(run / "spool" / service)),
            "FMN_ROOTS": ",".join(str(private_folder(run / place / service)) for place in ("roots-1", "roots-2")),
        }
        for service in SERVICES
    }


def _ledger_copy_of(places: Places, prefix: str) -> Path:
    return places.root / "ledger-copy" / ("" if prefix == DEFAULT_PREFIX else prefix)


def _disk_url(places: Places, server: str) -> str:
    return f"file://{quote(str(places.servers / server))}"


def deprovision(places: Places, ports: Ports, prefix: str) -> None:
    """Delete the databases, vhost, buckets, accounts and secrets of `prefix`; its world folder stays."""
    if prefix == DEFAULT_PREFIX:
        raise StackError("The default prefix can't be deleted; remove FMN_LOCAL instead.")
    Management.of(places, ports).drop(prefix, [account(prefix, service) for service in SERVICES])
    with mongo.admin_client(places, ports) as client:
        for service in SERVICES:
            drop_account(client, prefix, service)
        drop_user(client, f"{prefix}-{READER}")
    kind, store = objects.kind(places), objects.admin(places, ports)
    for service in _WITH_BUCKET:
        pair = objects.read_keys(places.run_of(prefix) / "secrets" / service)
        drop_object_account(kind, store, f"{prefix}-{service}", pair)
    drop_identity(kind, store, f"{prefix}-{READER}", objects.read_keys(places.run_of(prefix) / "secrets" / READER))
    # With the ledger's rows its copy goes: a ledger of the same name would lack what the copy has.
    for folder in (places.run_of(prefix), _ledger_copy_of(places, prefix)):
        shutil.rmtree(folder, ignore_errors=True)


def _ensure_backup_keys(run: Path) -> None:
    identity = backup_identity(run)
    if not identity.with_name(f"{identity.name}.pub").exists():
        # It loads Tink, which takes a while.
        from deploy.backup.envelope import make_key_pair

        private_folder(identity.parent)
        # Of a run that ended before it had written the public half.
        identity.unlink(missing_ok=True)
        make_key_pair(identity)


def _accounts_on_mongo(places: Places, ports: Ports, prefix: str, folders: Mapping[str, Path]) -> None:
    with mongo.admin_client(places, ports) as client:
        for service, folder in folders.items():
            password = ensure_text(folder / "mongo-password")
            if service == READER:
                name = ensure_reader(client, prefix, password)
            else:
                name = ensure_account(client, prefix, service, password)
            write_private(
                folder / "mongo-url",
                f"mongodb://{name}:{password}@127.0.0.1:{ports['mongodb']}/"
                f"?authSource=admin&replicaSet={mongo.REPLICA_SET}",
            )


def _accounts_on_rabbit(places: Places, ports: Ports, prefix: str, folders: Mapping[str, Path]) -> None:
    passwords = {service: ensure_text(folders[service] / "amqp-password") for service in SERVICES}
    Management.of(places, ports).apply(render(prefix, passwords))
    for service, password in passwords.items():
        address = f"127.0.0.1:{ports['amqp']}/{quote(prefix, safe='')}"
        write_private(folders[service] / "amqp-url", f"amqp://{account(prefix, service)}:{password}@{address}")


def _accounts_on_objects(places: Places, ports: Ports, prefix: str, folders: Mapping[str, Path]) -> None:
    store, kind = objects.admin(places, ports), objects.kind(places)
    for service in _WITH_BUCKET:
        known = objects.read_keys(folders[service])
        pair = ensure_object_account(kind, store, f"{prefix}-{service}", known)
        if pair != known:
            objects.write_keys(folders[service], pair)
    known = objects.read_keys(folders[READER])
    pair = ensure_object_reader(kind, store, f"{prefix}-{READER}", known)
    if pair != known:
        objects.write_keys(folders[READER], pair)
