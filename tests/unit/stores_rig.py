"""One service's databases in a test's own process, with a store of each disposal."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from deploy.local import mongo
from deploy.local.stack import Stack
from deploy.mongo.accounts import drop_account, ensure_account
from shared.clock import utc_now
from shared.db import Disposal, Register, Repository
from shared.db.keys.vault import Vault
from shared.db.unit_of_work import Tx, UnitOfWork, connect
from shared.fields import Count, Id, Optional, Time, one_of
from shared.ids import new_id
from tests.helpers import roots_in

CLEAR = {"kind": one_of("wish", "note"), "of": Optional(Id()), "count": Count(), "at": Time()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """A record with every part that a store knows. own: the name of a key of its own."""

    id: str
    case_id: str
    version: int = 0
    kind: str = "wish"
    of: str | None = None
    count: int = 1
    at: datetime = field(default_factory=utc_now)
    text: str = "Zoë"
    born: date | None = None
    tags: tuple[str, ...] = ()
    own: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A record that says itself what is sealed of it."""

    id: str
    case_id: str
    version: int = 0
    kind: str = "wish"
    of: str | None = None
    count: int = 1
    at: datetime = field(default_factory=utc_now)
    personal: Mapping[str, Any] | None = None
    own_key: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A record about a case itself, with nothing sealed."""

    case_id: str
    version: int = 0
    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """One service's databases in this process, with a store of each disposal."""

    unit_of_work: UnitOfWork
    register: Register
    things: Repository[Thing]
    asked: Repository[Asked]
    late: Repository[Thing]
    known: Repository[Known]

    @property
    def vault(self) -> Vault:
        return self.unit_of_work.vault

    def a_case(self) -> str:
        case_id = new_id()
        self.unit_of_work.gates.make_if_unknown(case_id)
        return case_id

    def loses_key(self, name: str) -> None:
        self.unit_of_work.run(lambda tx: self.vault.doom(name, tx.session))

    def a_thing(self, case_id: str, **more: Any) -> Thing:
        def act(tx: Tx) -> Thing:
            tx.enter(case_id)
            return self.things.add(Thing(id=new_id(), case_id=case_id, **more), tx=tx)

        return self.unit_of_work.run(act)

    def an_asked(self, case_id: str, **more: Any) -> Asked:
        new = Asked(id=new_id(), case_id=case_id, personal={"text": "Zoë"}, **more)
        return self.unit_of_work.run(lambda tx: self.asked.add(new, tx=tx))


def opened(unit_of_work: UnitOfWork) -> Room:
    register = Register(unit_of_work)
    stores: dict[str, Any] = {
        "things": register.repository(
            "unit_things",
            Thing,
            clear=CLEAR,
            disposal=Disposal.ERASE,
            unique=(("of",),),
            absent_if_none=("of",),
            not_exported=("own",),
            key_of=lambda thing: thing.own,
        ),
        "asked": register.repository(
            "unit_asked",
            Asked,
            clear=CLEAR,
            disposal=Disposal.STRIP,
            key_of=lambda asked: f"request:{asked.id}" if asked.own_key else None,
        ),
        "late": register.repository("unit_late", Thing, clear=CLEAR, disposal=Disposal.LATE),
        "known": register.repository("unit_known", Known, clear={"count": Count()}, disposal=Disposal.ERASE),
    }
    return Room(unit_of_work=unit_of_work, register=register, **stores)


@contextmanager
def a_room(stack: Stack, names: str, folder: Path) -> Iterator[Room]:
    """Databases and an account of their own under these names; dropped afterwards."""
    password = secrets.token_urlsafe(12)
    with mongo.admin_client(stack.places, stack.ports) as admin:
        account = ensure_account(admin, names, "case", password)
        address = f"127.0.0.1:{stack.ports['mongodb']}/?authSource=admin&directConnection=true"
        client = connect(f"mongodb://{account}:{password}@{address}")
        roots = roots_in(folder)
        unit_of_work = UnitOfWork(client, names=names, service="case", roots=roots)
        unit_of_work.vault.start()
        made = opened(unit_of_work)
        made.register.prepare()
        yield made
        client.close()
        drop_account(admin, names, "case")


def in_another_process(room: Room) -> Room:
    """The same stores as another process would open them: this one keeps opened keys for five seconds."""
    here = room.unit_of_work
    names = here.db.name.removesuffix("_case")
    there = UnitOfWork(here.client, names=names, service="case", roots=room.vault.roots)
    there.vault.start()
    return opened(there)
