"""Accounts on MongoDB: one per service, which may read and write that service's own databases and nothing else."""

from __future__ import annotations

from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure

_USER_NOT_FOUND = 11
# The audit of one service is witnessed by another in its own databases, so no account needs a second service's.
_EXTRA = {"consent": ("ledger",)}


def databases(prefix: str, service: str) -> list[str]:
    """The databases of one service: its data, its vault, and for consent the ledger."""
    own = [f"{prefix}_{service}", f"{prefix}_{service}_vault"]
    return own + [f"{prefix}_{name}" for name in _EXTRA.get(service, ())]


def ensure_account(client: MongoClient[dict[str, Any]], prefix: str, service: str, password: str) -> str:
    """Make the service's account, or give it this password and these rights again; answers its name."""
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
    """Drop the service's databases and its account."""
    for database in databases(prefix, service):
        client.drop_database(database)
    try:
        client.admin.command("dropUser", f"{prefix}-{service}")
    except OperationFailure as error:
        if error.code != _USER_NOT_FOUND:
            raise
