"""A transaction that can't commit: it ends in time, whatever the driver says may help."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import ExecutionTimeout

from deploy.local.stack import Stack
from shared.db import transactions
from shared.db.transactions import TryAgain, transact
from shared.ids import new_id

_SECONDS = 0.5
_ENDS_SECONDS = 30.0

Gates = Collection[dict[str, Any]]


@pytest.fixture
def gates(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gates]:
    """A collection of a client that keeps no idle connection, as after a server's end: each call opens one."""
    monkeypatch.setattr(transactions, "_TIMEOUT_SECONDS", _SECONDS)
    names = f"tx{new_id()[-8:]}".replace("-", "")
    provided = stack.provision(names)
    client = MongoClient[dict[str, Any]]((provided.secrets["case"] / "mongo-url").read_text(), maxIdleTimeMS=1)
    rows = client[f"{names}_case"]["gates"]
    rows.insert_one({"_id": "a"})
    yield rows
    client.close()
    stack.deprovision(names)


def test_a_transaction_without_time_to_connect_ends(gates: Gates) -> None:
    # Given a transaction that conflicts once, and has no time left when it may go on
    tries = 0

    def act(session: ClientSession) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise TryAgain
        time.sleep(_SECONDS * 1.2)
        gates.update_one({"_id": "a"}, {"$inc": {"writes": 1}}, session=session)

    # When it runs
    ended = _ended(gates.database.client, act)
    # Then it isn't tried for ever, and others of this process aren't kept waiting
    assert isinstance(ended, ExecutionTimeout)
    assert tries == 2
    assert transactions._REPEATS.acquire(timeout=_ENDS_SECONDS)
    transactions._REPEATS.release()


def test_a_transaction_that_always_conflicts_ends(gates: Gates) -> None:
    def act(session: ClientSession) -> None:
        raise TryAgain

    assert isinstance(_ended(gates.database.client, act), ExecutionTimeout)


def _ended(client: MongoClient[dict[str, Any]], act: Callable[[ClientSession], None]) -> BaseException | None:
    """How the transaction ended. It runs on a thread of its own, so that one that never ends fails the test."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            transact(client, act)
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_ENDS_SECONDS)
    assert not thread.is_alive(), "the transaction never ends"
    return raised[0] if raised else None
