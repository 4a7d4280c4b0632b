"""Accounts on MongoDB: one per service, with read and write access to that service's databases only.

The consent service's account may also insert into the ledger and read it, and no more: not change an entry, remove one,
or make an index, since one with a time to live would remove entries. The independent reader's may read all databases
and write to none.
"""

from __future__ import annotations

from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure

from shared.erasure.readings import READER

LEDGER = "ledger"
_USER_NOT_FOUND = 11
_ROLE_NOT_FOUND = 31
# A service that witnesses another's audit does so in its own databases, so no account needs another service's.
_INSERTS_ONLY = {"consent": (LEDGER,)}

Client = MongoClient[dict[str, Any]]


def databases(prefix: str, service: str) -> list[str]:
    """Return the names of a service's databases: its data, its vault, and for consent the ledger."""
    return [*_own(prefix, service), *(f"{prefix}_{name}" for name in _INSERTS_ONLY.get(service, ()))]


def ensure_account(client: Client, prefix: str, service: str, password: str) -> str:
    """Create the service's account, or set its password and rights again; return its name."""
    name = f"{prefix}-{service}"
    roles: list[Any] = [{"role": "readWrite", "db": database} for database in _own(prefix, service)]
    roles += [ensure_ledger(client, prefix, name) for name in _INSERTS_ONLY.get(service, ())]
    _create_or_update(client, "User", name, _USER_NOT_FOUND, pwd=password, roles=roles)
    return name


def ensure_reader(client: Client, prefix: str, password: str) -> str:
    """Create the independent reader's account, or set its password and rights again; return its name.

    It lists and reads every database but MongoDB's own `local` and `config`, so that a database or a collection that
    nothing knows of is read too.
    """
    name = f"{prefix}-{READER}"
    roles = [{"role": "readAnyDatabase", "db": "admin"}]
    _create_or_update(client, "User", name, _USER_NOT_FOUND, pwd=password, roles=roles)
    return name


def ensure_ledger(client: Client, prefix: str, name: str) -> str:
    """Create a collection of its own database, with its index, and the role that may insert and read; return that."""
    database, role = f"{prefix}_{name}", f"{prefix}-{name}-inserts"
    client[database][name].create_index([("kind", 1), ("about", 1)], unique=True)
    privileges = [{"resource": {"db": database, "collection": name}, "actions": ["find", "insert"]}]
    _create_or_update(client, "Role", role, _ROLE_NOT_FOUND, privileges=privileges, roles=[])
    return role


def drop_account(client: Client, prefix: str, service: str) -> None:
    """Delete the service's databases, its account and its roles."""
    for database in databases(prefix, service):
        client.drop_database(database)
    drop_user(client, f"{prefix}-{service}")
    for name in _INSERTS_ONLY.get(service, ()):
        _drop(client, "Role", f"{prefix}-{name}-inserts", _ROLE_NOT_FOUND)


def drop_user(client: Client, name: str) -> None:
    """Delete the account, if it exists."""
    _drop(client, "User", name, _USER_NOT_FOUND)


def _own(prefix: str, service: str) -> list[str]:
    return [f"{prefix}_{service}", f"{prefix}_{service}_vault"]


def _create_or_update(client: Client, kind: str, name: str, not_found: int, **more: Any) -> None:
    try:
        client.admin.command(f"update{kind}", name, **more)
    except OperationFailure as error:
        if error.code != not_found:
            raise
        client.admin.command(f"create{kind}", name, **more)


def _drop(client: Client, kind: str, name: str, not_found: int) -> None:
    try:
        client.admin.command(f"drop{kind}", name)
    except OperationFailure as error:
        if error.code != not_found:
            raise
