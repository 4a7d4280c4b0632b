"""One service's databases in a test's own process, with stores that the change feed tells of, and a reader of it."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.read_concern import ReadConcern

from deploy.local import mongo
from deploy.local.stack import Stack
from deploy.mongo.accounts import drop_account, ensure_account
from shared.clock import utc_now
from shared.db import Disposal, Register, Repository
from shared.db.change_feed import Change, ChangeFeed, Place
from shared.db.changes import CASE, Feed, What
from shared.db.unit_of_work import Tx, UnitOfWork, connect
from shared.fields import Count, Time
from shared.ids import new_id
from tests.helpers import roots_in

KINDS = frozenset({CASE, "note", "task"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A record with a sealed part."""

    id: str
    case_id: str
    version: int = 0
    at: datetime = field(default_factory=utc_now)
    words: str = "Zoë"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A record without one, which may be put in another's place."""

    id: str
    case_id: str
    version: int = 1
    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """One process's view of the databases."""

    unit_of_work: UnitOfWork
    register: Register
    notes: Repository[Note]
    tasks: Repository[Task]
    url: str
    names: str
    folder: Path

    def place(self) -> Place:
        """Just now: nothing that was written so far comes after it. No transaction may be open."""
        with self.unit_of_work.client.start_session() as session:
            self.notes.rows.with_options(read_concern=ReadConcern("local")).find_one({}, session=session)
            assert session.operation_time is not None
            return Place(generation=0, at=session.operation_time, again=session.operation_time)

    def feed(self, restored: datetime | None = None) -> ChangeFeed:
        """A new process's feed."""
        rows = self.unit_of_work.db["restores"]

        def last(session: Any) -> datetime | None:
            rows.find_one({}, session=session)
            return restored

        return ChangeFeed(self.register, last_restore=last)

    def a_case(self) -> str:
        case_id = new_id()
        self.unit_of_work.gates.make_if_unknown(case_id)
        return case_id

    def a_note(self, case_id: str) -> Note:
        def act(tx: Tx) -> Note:
            tx.enter(case_id)
            return self.notes.add(Note(id=new_id(), case_id=case_id), tx=tx)

        return self.unit_of_work.run(act)

    def changed(self, note: Note) -> Note:
        def act(tx: Tx) -> Note:
            tx.enter(note.case_id)
            return self.notes.save(replace(note, words="Zoë, again"), tx=tx)

        return self.unit_of_work.run(act)

    def removed(self, note: Note) -> None:
        def act(tx: Tx) -> None:
            tx.enter(note.case_id)
            self.notes.remove(note, tx=tx)

        self.unit_of_work.run(act)


def opened(client: MongoClient[dict[str, Any]], *, url: str, names: str, folder: Path) -> Room:
    """As a process of its own opens them. folder: where the roots are."""
    unit_of_work = UnitOfWork(client, names=names, service="case", roots=roots_in(folder))
    unit_of_work.vault.start()
    register = Register(unit_of_work)
    register.keep("gates", clear={}, retention=None, why="a test's", feed=Feed(kind=CASE))
    notes = register.repository("notes", Note, clear={"at": Time()}, disposal=Disposal.ERASE, feed=Feed(kind="note"))
    tasks = register.repository(
        "tasks", Task, clear={"count": Count()}, disposal=Disposal.ERASE, feed=Feed(kind="task")
    )
    return Room(
        unit_of_work=unit_of_work, register=register, notes=notes, tasks=tasks, url=url, names=names, folder=folder
    )


@contextmanager
def a_room(stack: Stack, names: str, folder: Path) -> Iterator[Room]:
    """Databases and an account of their own under these names; dropped afterwards."""
    password = secrets.token_urlsafe(12)
    with mongo.admin_client(stack.places, stack.ports) as admin:
        account = ensure_account(admin, names, "case", password)
        address = f"127.0.0.1:{stack.ports['mongodb']}/?authSource=admin&directConnection=true"
        url = f"mongodb://{account}:{password}@{address}"
        client = connect(url)
        made = opened(client, url=url, names=names, folder=folder)
        made.register.prepare()
        yield made
        client.close()
        drop_account(admin, names, "case")


class Follower:
    """An app that follows a feed, on a thread of its own, and keeps all that it was told."""

    def __init__(self, feed: ChangeFeed, *, limit: int = 50, place: Place | None = None) -> None:
        self.told: list[Change] = []
        self.place = place
        self._feed = feed
        self._limit = limit
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def ask(self) -> list[Change]:
        """One request."""
        changes, self.place = self._feed.read(self.place, KINDS, limit=self._limit)
        self.told += changes
        return changes

    def ids(self, *whats: What) -> set[str]:
        return {change.id for change in list(self.told) if not whats or change.what in whats}

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._stop.wait(0.02):
            self.ask()
