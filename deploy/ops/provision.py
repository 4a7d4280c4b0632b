"""Prepare the servers of a deployment before its services start; runs in containers of `docker compose up`.

`definitions` renders the broker's definitions with the accounts' passwords; the broker loads them when it starts.
`provision` creates MongoDB's replica set and accounts, and the object store's buckets and accounts. Both can run again.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from minio.error import S3Error
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, PyMongoError
from urllib3.exceptions import HTTPError

from deploy.local.places import ADMINISTRATOR, write_private
from deploy.mongo.accounts import ensure_account, ensure_reader
from deploy.mongo.replica_set import NoPrimary, ensure_replica_set
from deploy.objects import minio
from deploy.objects.accounts import KeyPair, ObjectAdmin, StoreRefused
from deploy.rabbitmq.definitions import administrator, administrators_permission, render
from shared.erasure.readings import READER
from shared.events import SERVICES

_WITHIN_S = 60
_UNKNOWN_KEY = ("InvalidAccessKeyId", "SignatureDoesNotMatch")


def main(task: str) -> int:
    """Run one task; return the exit code: 0, or 1 after printing one sentence about the error."""
    secrets, prefix = Path(os.environ["FMN_SECRETS"]), os.environ.get("FMN_NAMES", "fmn")
    try:
        if task == "definitions":
            render_definitions(secrets, prefix, Path(os.environ["FMN_DEFINITIONS"]))
        else:
            _provision_mongo(secrets, prefix)
            _provision_objects(secrets, prefix)
    except (PyMongoError, NoPrimary, S3Error, StoreRefused, HTTPError) as error:
        _say(f"The set-up failed: {type(error).__name__}: {error}")
        return 1
    except OSError as error:
        _say(f"The set-up failed: {error.filename or 'a file'}: {error.strerror}. Did you run `make secrets`?")
        return 1
    return 0


def render_definitions(secrets: Path, prefix: str, target: Path) -> None:
    """Write the definitions of the administrator, the vhost and the services' accounts, with hashes of passwords."""
    passwords = {service: _read(secrets, f"{service}-password") for service in SERVICES}
    definitions: dict[str, Any] = render(prefix, passwords)
    definitions["users"] += administrator(ADMINISTRATOR, _read(secrets, "admin-password"))["users"]
    definitions["permissions"] += [administrators_permission(prefix, ADMINISTRATOR)]
    write_private(target, json.dumps(definitions, indent=1))
    _say(f"Rendered the definitions for {len(SERVICES)} services.")


def _provision_mongo(secrets: Path, prefix: str) -> None:
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
        _retry(lambda: client.admin.command("ping"), PyMongoError)
        ensure_replica_set(client, os.environ.get("FMN_REPLICA_SET", "fmn"), f"{host}:{port or 27017}")
        for service in SERVICES:
            password = _read(secrets, f"{service}-mongo-password")
            # On a busy machine a member that was just elected isn't writable yet.
            _retry(partial(ensure_account, client, prefix, service, password), AutoReconnect)
        password = _read(secrets, f"{READER}-mongo-password")
        _retry(partial(ensure_reader, client, prefix, password), AutoReconnect)
    _say(f"MongoDB: a replica set, {len(SERVICES)} accounts, and the independent reader's.")


def _provision_objects(secrets: Path, prefix: str) -> None:
    endpoint, secure = os.environ["FMN_S3_ENDPOINT"], os.environ.get("FMN_S3_SECURE") == "on"
    admin = ObjectAdmin(endpoint=endpoint, keys=_pair(secrets, "admin"), secure=secure)
    try:
        # A GET, because the refusal of a HEAD request has no body and so no error code.
        _retry(admin.s3.list_buckets, HTTPError)
    except S3Error as error:
        shared = secrets / "shared-s3-secret-key"
        if error.code not in _UNKNOWN_KEY or not shared.exists():
            raise
        _provision_without_accounts(
            ObjectAdmin(endpoint=endpoint, keys=_pair(secrets, "shared"), secure=secure), prefix
        )
        return
    for service in SERVICES:
        name = f"{prefix}-{service}"
        minio.ensure_account(admin, name, name, _pair(secrets, service))
    minio.ensure_reader(admin, f"{prefix}-{READER}", _pair(secrets, READER))
    _say(
        f"Objects: {len(SERVICES)} buckets, each with an account that has access to it only; and one that lists names."
    )


def _provision_without_accounts(admin: ObjectAdmin, prefix: str) -> None:
    """Provision a store with only one key pair, which the document service uses (deploy/objects/compose-start.sh)."""
    admin.ensure_bucket(f"{prefix}-document")
    _say(
        "Objects: one bucket. WARNING: this store has no accounts, so the document service has the store's only "
        "key. Only secrets made with DEMO=1 allow that."
    )


def _retry(call: Callable[[], object], unreachable: type[Exception]) -> None:
    """Call until it doesn't raise `unreachable`. Raises that exception after 60 seconds."""
    deadline = time.monotonic() + _WITHIN_S
    while True:
        try:
            call()
            return
        except unreachable:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def _pair(secrets: Path, whose: str) -> KeyPair:
    return KeyPair(access=_read(secrets, f"{whose}-s3-access-key"), secret=_read(secrets, f"{whose}-s3-secret-key"))


def _read(secrets: Path, name: str) -> str:
    return (secrets / name).read_text().strip()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - the container's log
