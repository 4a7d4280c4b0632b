"""What the servers of a deployment need before the services start, done by a container that ends: `docker compose up`.

`definitions` renders the broker's definitions from the accounts' passwords, for the broker to load when it starts.
`provision` makes MongoDB's replica set and accounts, and the object store's buckets and accounts. Both may run again.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minio.error import S3Error
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from urllib3.exceptions import HTTPError

from deploy.local.places import write_private
from deploy.mongo.accounts import ensure_account
from deploy.mongo.replica_set import NoPrimary, ensure_replica_set
from deploy.objects import minio
from deploy.objects.accounts import KeyPair, ObjectAdmin, StoreRefused
from deploy.rabbitmq.definitions import administrator, administrators_permission, render
from shared.events import SERVICES

ADMINISTRATOR = "fmn-admin"
_WITHIN_S = 60
_UNKNOWN_KEY = ("InvalidAccessKeyId", "SignatureDoesNotMatch")


def main(task: str) -> int:
    """Do one task; 0, or 1 and one sentence about what is wrong."""
    secrets, names = Path(os.environ["FMN_SECRETS"]), os.environ.get("FMN_NAMES", "fmn")
    try:
        if task == "definitions":
            render_definitions(secrets, names, Path(os.environ["FMN_DEFINITIONS"]))
        else:
            _provision_mongo(secrets, names)
            _provision_objects(secrets, names)
    except (PyMongoError, NoPrimary, S3Error, StoreRefused, HTTPError) as error:
        _say(f"The set-up stopped: {type(error).__name__}: {error}")
        return 1
    except OSError as error:
        _say(f"The set-up stopped: {error.filename or 'a file'}: {error.strerror}. Were the secrets made for it?")
        return 1
    return 0


def render_definitions(secrets: Path, names: str, target: Path) -> None:
    """The administrator, the vhost, and each service's account; only hashes of passwords are in it."""
    passwords = {service: _read(secrets, f"{service}-password") for service in SERVICES}
    definitions: dict[str, Any] = render(names, passwords)
    definitions["users"] += administrator(ADMINISTRATOR, _read(secrets, "admin-password"))["users"]
    definitions["permissions"] += [administrators_permission(names, ADMINISTRATOR)]
    write_private(target, json.dumps(definitions, indent=1))
    _say(f"Definitions for {len(SERVICES)} services are rendered.")


def _provision_mongo(secrets: Path, names: str) -> None:
    host, _, port = os.environ.get("FMN_MONGO", "mongo:27017").partition(":")
    client: MongoClient[dict[str, Any]] = MongoClient(
        host,
        int(port or 27017),
        directConnection=True,
        username=ADMINISTRATOR,
        password=_read(secrets, "mongo-password"),
        serverSelectionTimeoutMS=2000,
    )
    with client:
        _answered(lambda: client.admin.command("ping"), PyMongoError)
        ensure_replica_set(client, os.environ.get("FMN_REPLICA_SET", "fmn"), f"{host}:{port or 27017}")
        for service in SERVICES:
            ensure_account(client, names, service, _read(secrets, f"{service}-mongo-password"))
    _say(f"MongoDB: a replica set, and {len(SERVICES)} accounts.")


def _provision_objects(secrets: Path, names: str) -> None:
    endpoint, secure = os.environ["FMN_S3_ENDPOINT"], os.environ.get("FMN_S3_SECURE") == "on"
    admin = ObjectAdmin(endpoint=endpoint, keys=_pair(secrets, "admin"), secure=secure)
    try:
        # A question whose refusal has a body: that of a HEAD doesn't say why.
        _answered(admin.s3.list_buckets, HTTPError)
    except S3Error as error:
        shared = secrets / "shared-s3-secret-key"
        if error.code not in _UNKNOWN_KEY or not shared.exists():
            raise
        _provision_without_accounts(ObjectAdmin(endpoint=endpoint, keys=_pair(secrets, "shared"), secure=secure), names)
        return
    for service in SERVICES:
        name = f"{names}-{service}"
        minio.ensure_account(admin, name, name, _pair(secrets, service))
    _say(f"Objects: {len(SERVICES)} buckets, and an account for each that opens no other.")


def _provision_without_accounts(admin: ObjectAdmin, names: str) -> None:
    """A store that knows one key pair only, which is then the document service's (deploy/objects/compose-start.sh)."""
    admin.ensure_bucket(f"{names}-document")
    _say(
        "Objects: one bucket. WARNING: this store has no accounts, so the document service holds the store's only "
        "key. Secrets made with DEMO=1 allow that; others don't."
    )


def _answered(ask: Callable[[], object], away: type[Exception]) -> None:
    """Ask until there is an answer, whatever it is. Raises what the last try raised."""
    deadline = time.monotonic() + _WITHIN_S
    while True:
        try:
            ask()
            return
        except away:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def _pair(secrets: Path, whose: str) -> KeyPair:
    return KeyPair(access=_read(secrets, f"{whose}-s3-access-key"), secret=_read(secrets, f"{whose}-s3-secret-key"))


def _read(secrets: Path, name: str) -> str:
    return (secrets / name).read_text().strip()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - the container's log
