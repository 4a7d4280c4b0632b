"""The databases and the roots of one service, as nothing but MongoDB and the disk know them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pymongo import MongoClient

from deploy.local import mongo
from deploy.local.provision import Provision
from deploy.local.stack import Stack

Row = dict[str, Any]


def roots_of(name: str, provided: Provision) -> list[Path]:
    """The folders of the service's roots."""
    return [Path(place) for place in provided.env[name]["FMN_ROOTS"].split(",")]


def databases(name: str, provided: Provision, client: MongoClient[Row]) -> dict[str, Any]:
    """The service's databases by what is in them: `own`, `vault`, and of the consent service `ledger`."""
    names = {"own": f"_{name}", "vault": f"_{name}_vault"} | ({"ledger": "_ledger"} if name == "consent" else {})
    return {what: client[provided.prefix + end] for what, end in names.items()}


def connected(name: str, provided: Provision) -> MongoClient[Row]:
    return MongoClient((provided.secrets[name] / "mongo-url").read_text(), tz_aware=True)


def let_tests_rewrite_the_ledger(stack: Stack, provided: Provision) -> None:
    """Give the consent service's account, which may only insert there, what a test needs to put stored rows in it."""
    with mongo.admin_client(stack.places, stack.ports) as client:
        rights = [{"role": "readWrite", "db": f"{provided.prefix}_ledger"}]
        client.admin.command("grantRolesToUser", f"{provided.prefix}-consent", roles=rights)


def empty(name: str, provided: Provision) -> None:
    """Leave nothing of a service: no collection, and no root."""
    with connected(name, provided) as client:
        for database in databases(name, provided, client).values():
            for collection in database.list_collection_names():
                database.drop_collection(collection)
    for place in roots_of(name, provided):
        for file in place.iterdir():
            file.unlink()
