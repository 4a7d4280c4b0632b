"""Accounts on MongoDB: one per service, with read and write access to that service's databases only."""

from __future__ import annotations

from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure

_USER_NOT_FOUND = 11
# A service that witnesses another's audit does so in its own databases, so no account needs another service's.
_EXTRA = {"consent": ("ledger",)}


def databases(prefix: str, service: str) -> list[str]:
    """Return the names of a service's databases: its data, its vault, and for consent the ledger."""
    own = [f"{prefix}_{service}", f"{prefix}_{service}_vault"]
    return own + [f"{prefix}_{name}" for name in _EXTRA.get(service, ())]


def ensure_account(client: MongoClient[dict[str, Any]], prefix: str, service: str, password: str) -> str:
    """Create the service's account, or set its password and rights again; return its name."""
    name = f"{prefix}-{service}"
    roles = [{"role": "readWrite", "db": database} for database in databases(prefix, service)]
    try:
        client.admin.command("updateUser", name, pwd=password, roles=roles)
    except OperationFailure as error:
        if error.code != _USER_NOT_FOUND:
            raise
        client.admin.command("createUser", name, pwd=password, roles=roles)
    return name


def drop_account(client: MongoClient[dict[str, Any]], prefix: str, service: str) -> None:
    """Delete the service's databases and its account."""
    for database in databases(prefix, service):
        client.drop_database(database)
    try:
        client.admin.command("dropUser", f"{prefix}-{service}")
    except OperationFailure as error:
        if error.code != _USER_NOT_FOUND:
            raise
