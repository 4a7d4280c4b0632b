"""What tests of every kind share: to wait, to read a refusal, to kill and start processes, and to speak on the bus."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import requests

from deploy.local.processes import Process
from deploy.local.provision import Provision
from shared.clock import utc_now
from shared.db import Repository
from shared.db.keys.roots import Folders
from shared.db.unit_of_work import UnitOfWork
from shared.erasure.grants import GrantSigner
from shared.erasure.manifest import CASE_KEYS, MANIFEST
from shared.events import Event, EventType, case, consent, write
from shared.ids import new_id
from shared.messaging.bus import Publisher
from shared.security.signing import Signer

T = TypeVar("T")

# Nobody waits longer where all is well: it is as long as it is for a machine that others keep busy.
PATIENCE_SECONDS = 60.0
_GATES_AT_ONCE = 500
_PROBLEM = "urn:fmn:problem:"
_FIELDS = {"type", "title", "status", "detail", "errors"}
# High above any number that the services have given out themselves.
_SEQ = itertools.count(1_000_000)


def eventually(
    check: Callable[[], T], *, within_seconds: float = PATIENCE_SECONDS, look_every: float = 0.05, what: str = ""
) -> T:
    """What `check` returns once it is true; its last falsehood fails the test, which says `what` was waited for."""
    deadline = time.monotonic() + within_seconds
    while not (found := check()):
        if time.monotonic() > deadline:
            name = what or getattr(check, "__name__", str(check))
            raise AssertionError(f"not within {within_seconds} s: {name}; it was {found!r}")
        time.sleep(look_every)
    return found


def soon(check: Callable[[], T]) -> T:
    """As `eventually`, but looking every millisecond: for what doesn't last."""
    return eventually(check, look_every=0.001)


def problem(answer: requests.Response) -> tuple[int, str]:
    """Status and name of the problem that this answer is."""
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    said = answer.json()
    assert said["type"].startswith(_PROBLEM), answer.text
    assert said["status"] == answer.status_code, answer.text
    assert set(said) <= _FIELDS, answer.text
    return answer.status_code, said["type"].removeprefix(_PROBLEM)


def refused(answer: requests.Response, status: int, name: str, field: str | None = None) -> dict[str, Any]:
    """The problem, after checking that it is this one, says why, and names that field."""
    assert problem(answer) == (status, name), answer.text
    said: dict[str, Any] = answer.json()
    assert said["detail"], answer.text
    assert field is None or field in said["errors"], answer.text
    return said


_ENDINGS: list[Callable[[], object]] = []


def at_end_of_group(end: Callable[[], object]) -> None:
    """Have this done once the group of tests that runs just now (xdist_group) is over in this process."""
    _ENDINGS.append(end)


def end_group() -> None:
    while _ENDINGS:
        _ENDINGS.pop()()


def kill(processes: Iterable[Process]) -> None:
    """SIGKILL them all at once, and wait until they and their helpers are gone."""
    running = [process for process in processes if process.running]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for process in running:
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)
    for process in running:
        assert process.wait_ended(PATIENCE_SECONDS), f"{process.name} outlived SIGKILL"


def start(processes: Iterable[Process]) -> None:
    """Start those that don't run, side by side, and wait until they work."""
    begun = [process for process in processes if not process.running]
    for process in begun:
        process.start()
    for process in begun:
        process.wait_ready()


def restart_at_once(process: Process) -> None:
    """Without an orderly end: an api waits six seconds for those who keep a connection to it."""
    kill([process])
    start([process])


def roots_in(folder: Path) -> Folders:
    """Places for the roots of a key tree: two folders in this one."""
    places = [folder / "roots-1", folder / "roots-2"]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
    return Folders(places)


def make_gates(unit_of_work: UnitOfWork, case_ids: Sequence[str]) -> None:
    """Gates and keys of so many cases, as if the service had heard of each."""
    for start in range(0, len(case_ids), _GATES_AT_ONCE):
        some = case_ids[start : start + _GATES_AT_ONCE]
        unit_of_work.run(lambda tx, some=some: unit_of_work.gates.make(tx.session, some))  # type: ignore[misc]


def rewrite(repository: Repository[Any], where: Mapping[str, Any], **changes: Any) -> int:
    """Change these records behind the service's back, each in the version that it has; how many there were.

    Each is sealed anew, as the service itself would have: a row that is edited in the database doesn't open any more.
    """
    rows = list(repository.rows.find(where))
    for row in rows:
        item = repository.item_of(row)
        assert item is not None, f"a record of {repository.name} has lost its key"
        under = row["personal"][2 : 2 + row["personal"][1]].decode() if "personal" in row else ""
        after = repository.records.row_of(replace(item, **changes), under=lambda _case, key=under: key)  # type: ignore[misc]
        repository.rows.replace_one(row, after)
    return len(rows)


def stores_listed(service: str, *, found: int = 1, remaining: int = 0) -> list[dict[str, Any]]:
    """The stores of a whole receipt of this service. One of them, which isn't its keys, has these counts."""
    names = sorted(MANIFEST[service])
    counted = next(name for name in names if name != CASE_KEYS)
    nothing = {"found": 0, "deleted": 0, "remaining": 0}
    counts = {"found": found, "deleted": found - remaining, "remaining": remaining}
    return [{"store": name, **(counts if name == counted else nothing)} for name in names]


def grant_for(provided: Provision, event_type: EventType, case_id: str, data: Mapping[str, Any]) -> dict[str, str]:
    """What the consent service signs for an event that destroys; nothing for another."""
    if event_type not in (consent.STARTED, case.ENDED):
        return {}
    signer = GrantSigner(Signer(json.loads((provided.secrets["consent"] / "grant.jwk").read_text())))
    if event_type is case.ENDED:
        return {"grant": signer.ending(case_id=case_id)}
    return {"grant": signer.erasure(request=data["request"], case_id=case_id, attempt=data["attempt"])}


class Speaker:
    """Publishes events as a service's account does."""

    def __init__(self, provided: Provision, service: str = "consent") -> None:
        self._service = service
        self._provided = provided
        self._publisher = Publisher((provided.secrets[service] / "amqp-url").read_text().strip(), "a test")

    def say(self, event_type: EventType, case_id: str, **data: Any) -> Event:
        """What this service says of a case, under a new id; with the grant that it needs to destroy, unless given."""
        data = {**grant_for(self._provided, event_type, case_id, data), **data}
        event = Event(
            id=new_id(),
            type=event_type,
            source=self._service,
            time=utc_now(),
            seq=next(_SEQ),
            data={"case": case_id, **data},
        )
        self.publish(event.id, event.routing_key, write(event))
        return event

    def publish(self, id: str, key: str, body: bytes) -> None:
        """Hand these bytes to the broker, which must confirm them."""
        outcomes = self._publisher.publish([{"_id": id, "key": key, "body": body}], PATIENCE_SECONDS)
        assert outcomes == {id: "ok"}

    def stop(self) -> None:
        self._publisher.stop()
