"""A writer, an upload and a late message held open across an erasure: each loses, and nothing survives (P24)."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from shared.clock import utc_now
from shared.db import Disposal, Repository
from shared.db.gates import CLOSED, FROZEN
from shared.db.unit_of_work import Tx
from shared.errors import Erased
from shared.events import SERVICES, case, consent, read
from shared.ids import new_id
from shared.service.runtime import Runtime
from tests import samples
from tests.helpers import PATIENCE_SECONDS, eventually
from tests.races.inside import CHECKED, Inside, an_inside
from tests.service.document_rig import answer_on, chunk, form
from tests.system import System


@pytest.fixture(scope="module")
def inside(system: System) -> Iterator[Inside]:
    with an_inside(system) as opened:
        yield opened


def _first_store(runtime: Runtime) -> Repository[Any]:
    """A store of the service's own that an erasure empties."""
    stores = [s for s in runtime.register.erased_by_a_case() if isinstance(s, Repository)]
    return next(s for s in stores if s.disposal is Disposal.ERASE and s.name != "idempotency")


def _write(runtime: Runtime, tx: Tx, case_id: str) -> None:
    store = _first_store(runtime)
    # Its key is gone, so that whoever reads the case passes it over; an erasure counts and deletes it all the same.
    key = new_id().encode()
    row = {"_id": new_id(), "case_id": case_id, "version": 1, "personal": bytes((1, len(key))) + key + bytes(40)}
    store.rows.insert_one(row, session=tx.session)


def test_p24_writers_held_open_in_every_service_lose(
    system: System, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a frozen case, and the services' own units of work in this process
    case_id = inside.a_family()
    request = system.an_erasure(case_id)
    for service in SERVICES:
        eventually(lambda service=service: inside.gate(service, case_id) == FROZEN)
    runtimes = {service: inside.opened(service, monkeypatch).runtime for service in SERVICES}
    waiting = threading.Barrier(2 * len(SERVICES) + 1)
    tries: dict[str, int] = dict.fromkeys(SERVICES, 0)

    def early(service: str) -> None:
        """Goes through the gate before it closes, and commits after the erasure was confirmed."""
        runtime, first = runtimes[service], True

        def act(tx: Tx) -> None:
            nonlocal first
            tx.enter(case_id, frozen_too=True)
            _write(runtime, tx, case_id)
            if first:
                first = False
                waiting.wait()
                time.sleep(1.0)

        # Whichever of the two the database lets through first: in time, or not at all.
        with suppress(Erased):
            runtime.unit_of_work.run(act)

    def late(service: str) -> None:
        """Its transaction has seen the open gate; it writes once that is closed."""
        runtime = runtimes[service]

        def act(tx: Tx) -> None:
            tries[service] += 1
            if tries[service] == 1:
                assert tx.gates.state(case_id, tx.session) == FROZEN
                waiting.wait()
                eventually(lambda: inside.gate(service, case_id) == CLOSED)
            tx.enter(case_id, frozen_too=True)
            _write(runtime, tx, case_id)

        with pytest.raises(Erased):
            runtime.unit_of_work.run(act)

    # When each holds its transaction open across the closing of the gate
    with ThreadPoolExecutor(2 * len(SERVICES)) as pool:
        writers = [pool.submit(writer, service) for service in SERVICES for writer in (early, late)]
        waiting.wait()
        system.confirm(request["id"])
        for writer in writers:
            writer.result(timeout=PATIENCE_SECONDS)
    # Then the late ones were made to look again, and nothing of any is left
    inside.completes(request["id"])
    assert all(count >= 2 for count in tries.values()), tries
    assert inside.left_of(case_id) == []


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    opened: list[socket.socket] = []
    yield opened
    for one in opened:
        one.close()


def _half_an_upload(system: System, case_id: str, half: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", system.provided.ports["document"]), timeout=30)
    head = (
        f"POST /v1/cases/{case_id}/documents HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {system.token('caseworker')}\r\n"
        "Content-Type: multipart/form-data; boundary=a-boundary-of-tests\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    connection.sendall(head.encode() + chunk(half))
    return connection


def test_p24_uploads_held_half_sent_lose(system: System, inside: Inside, sockets: list[socket.socket]) -> None:
    case_id = inside.a_family()
    fields = [("kind", "ehc_plan"), ("source", "family")]
    # The larger one is more than one part of a multipart upload to the object store.
    bodies = [form(*fields, ("file", file)) for file in (samples.pdf_scan(2), samples.png(2000, 2000))]
    for body in bodies:
        sockets.append(_half_an_upload(system, case_id, body[: len(body) * 9 // 10]))
    eventually(lambda: len(inside.rows("document", "receiving", case_id=case_id)) == len(bodies))
    eventually(lambda: any("unfinished" in key for key in inside.objects_of(case_id)))
    request = system.an_erasure(case_id)
    system.confirm(request["id"])
    eventually(lambda: inside.gate("document", case_id) == CLOSED)
    # Finished afterwards, by a caller who didn't notice
    for connection, body in zip(sockets, bodies, strict=True):
        with suppress(OSError):
            connection.sendall(chunk(body[len(body) * 9 // 10 :]) + b"0\r\n\r\n")
        assert answer_on(connection)[0] in (410, 423)
    inside.completes(request["id"])
    assert inside.left_of(case_id) == []
    assert inside.rows("document", "receiving", case_id=case_id) == []


def test_p24_whatever_is_said_again_or_too_late_brings_nobody_back(system: System, inside: Inside) -> None:
    # Given an erased case, and everything that was said of it
    with inside.listening() as heard:
        case_id = inside.a_family()
        request = system.an_erasure(case_id)
        system.confirm(request["id"])
        inside.completes(request["id"])
        said = eventually(lambda: [m for m in heard() if any("erasure.completed" in k for k, _ in heard())])
    assert inside.left_of(case_id) == []
    # When it comes again as it was, under ids that the inboxes know and under ids that they have forgotten
    ours = [(key, event) for key, body in said if (event := read(body)).case == case_id]
    assert {key for key, _ in ours} >= {"case.created.v1", "case.people.v1", "consent.given.v1", "case.frozen.v1"}
    again = [event for _, event in ours if not event.type.type.startswith(("erasure.", "last_letter.", "paper."))]
    for key, body in said:
        if (event := read(body)).case == case_id:
            inside.publish(event.source, event.id, key, body)
    standing = [{"consent": new_id(), "purpose": "casework", "person": None}]
    in_a_week = (utc_now() + timedelta(days=7)).isoformat()
    late = [inside.say(event.source, event.type, case_id, **_without_case(event.data)) for event in again]
    late += [
        inside.say("case", case.CREATED, case_id, state="shell", expires_at=in_a_week),
        inside.say("case", case.STATE, case_id, state="open"),
        inside.say("case", case.PEOPLE, case_id, people=[_a_person()]),
        inside.say("consent", consent.GIVEN, case_id, consent=new_id(), standing=standing),
        inside.say("consent", consent.WITHDRAWN, case_id, consent=new_id(), standing=[]),
        inside.say("consent", consent.FROZEN, case_id),
        inside.say("consent", consent.RELEASED, case_id),
    ]
    # Then it is passed by; and so is the saga itself, said again under new ids
    certificate = system.auditor.get(f"/requests/{request['id']}/certificate").text
    due_at = (utc_now() + timedelta(days=2)).isoformat()
    of_it = {"request": request["id"]}
    started = {**of_it, "due_at": due_at, "participants": list(SERVICES)}
    saga = [
        inside.say("consent", consent.STARTED, case_id, **started, attempt=1),
        inside.say("consent", consent.PREPARING, case_id, **of_it, received_at=request["received_at"]),
        inside.say("consent", consent.VERIFIED, case_id, **of_it, due_at=due_at),
        inside.say("consent", consent.SETTLED, case_id, **of_it, outcome="unknown"),
        inside.say("consent", consent.CANCELLED, case_id, **of_it),
        inside.say("consent", consent.STARTED, case_id, **started, attempt=2),
    ]
    for service in SERVICES:
        for event in (saga[0], saga[-1]):
            eventually(lambda service=service, event=event: inside.has_settled(service, event.id))
    for event in saga[1:-1]:
        eventually(lambda event=event: inside.has_settled("notifier", event.id))
    for service in SERVICES:
        eventually(lambda s=service: inside.row(s, "erasures", _id=request["id"], attempt=2, done_at={"$ne": None}))
    hearers = {"case": SERVICES[1:], "consent": SERVICES, "document": (), "notifier": ()}
    for event in late:
        for service in hearers.get(event.source, ()):
            handled = inside.row(service, "inbox", type=event.type.type)
            if handled is not None:
                eventually(lambda s=service, e=event: inside.has_settled(s, e.id))
    assert {service: inside.gate(service, case_id) for service in SERVICES} == dict.fromkeys(SERVICES, CLOSED)
    assert inside.left_of(case_id) == []
    assert system.caseworker.get(f"/cases/{case_id}").status_code == 410
    assert system.is_completed(request["id"])
    assert system.auditor.get(f"/requests/{request['id']}/certificate").text == certificate
    assert inside.rows("notifier", "sealed_letters", case_id=case_id) == []
    assert all(receipt["outcome"] == "erased" for receipt in inside.receipts(request["id"]))


def _without_case(data: Any) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name != "case"}


def _a_person() -> dict[str, Any]:
    return {"person": new_id(), "role": "parent", "post": True, "email": False}


def test_an_erasure_of_a_case_nobody_heard_of_makes_neither_key_nor_record(system: System, inside: Inside) -> None:
    """What says it may reach a service before what says that the case exists, or instead of it."""
    case_id = new_id()
    due_at = (utc_now() + timedelta(days=2)).isoformat()
    more = {"attempt": 1, "due_at": due_at, "participants": ["case", "document", "notifier"]}
    inside.say("consent", consent.STARTED, case_id, request=new_id(), **more)
    for service in ("case", "document", "notifier"):
        eventually(lambda service=service: inside.gate(service, case_id) == CLOSED)
    in_a_week = (utc_now() + timedelta(days=7)).isoformat()
    late = inside.say("case", case.CREATED, case_id, state="shell", expires_at=in_a_week)
    opened = inside.say("case", case.STATE, case_id, state="open")
    for event in (late, opened):
        if inside.row("notifier", "inbox", type=event.type.type):
            eventually(lambda event=event: inside.has_settled("notifier", event.id))
    eventually(lambda: inside.row("document", "erasures", case_id=case_id, done_at={"$ne": None}))
    # The consent service isn't among those who were asked: it keeps what it makes for a case it hears of.
    assert [left for left in inside.left_of(case_id) if not left.startswith("consent")] == []


def _at_once(*acts: Callable[[], Any]) -> list[Any]:
    ready = threading.Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        ready.wait()
        return act()

    with ThreadPoolExecutor(len(acts)) as pool:
        return [done.result() for done in [pool.submit(run, act) for act in acts]]


def test_p24_asked_twice_at_once_is_one_request_and_confirmed_twice_is_one_start(
    system: System, inside: Inside
) -> None:
    case_id = inside.a_family()
    body = {
        "kind": "erasure",
        "case_id": case_id,
        "received_at": utc_now().isoformat(),
        "channel": "phone",
        "made_by": {"name": "Żaneta", "authority": "parental_responsibility"},
    }
    callers = [system.caller("caseworker", sub=f"caller-{n}") for n in range(6)]
    asked = _at_once(*[lambda c=c: c.post("/requests", body) for c in callers])
    assert sorted(a.status_code for a in asked) == [200] * 5 + [201]
    assert len({a.json()["id"] for a in asked}) == 1
    request_id = asked[0].json()["id"]
    others = [system.caller("caseworker", sub=f"colleague-{n}") for n in range(6)]
    confirmed = _at_once(*[lambda c=c: c.post(f"/requests/{request_id}/confirmation", CHECKED) for c in others])
    assert sorted(a.status_code for a in confirmed) == [200] + [409] * 5
    inside.completes(request_id)
    assert len(inside.rows("consent", "requests", case_id=case_id)) == 1
    row = inside.row("consent", "requests", _id=request_id)
    assert row is not None
    assert row["attempts"] == dict.fromkeys(SERVICES, 1)
    for service in SERVICES:
        started = inside.rows(service, "inbox", case_id=case_id, type="erasure.started.v1")
        assert len(started) == 1, service
    assert inside.left_of(case_id) == []


def test_p24_confirmed_and_withdrawn_and_held_at_once_ends_one_way_or_the_other(system: System, inside: Inside) -> None:
    case_id = inside.a_family()
    request_id = system.an_erasure(case_id)["id"]
    hold = {"case_id": case_id, "ground": "legal_claim", "until": "2099-12-31", "reason": "a tribunal"}
    confirmed, withdrawn, held = _at_once(
        lambda: system.colleague.post(f"/requests/{request_id}/confirmation", CHECKED),
        lambda: system.manager.post(f"/requests/{request_id}/withdrawal", {"channel": "phone", "by": "Żaneta"}),
        lambda: system.manager.post("/holds", hold),
    )
    assert confirmed.status_code in (200, 409)
    assert withdrawn.status_code == 200
    assert held.status_code == 201
    eventually(lambda: inside.gate("case", case_id) == "open")
    for service in SERVICES:
        eventually(lambda service=service: inside.gate(service, case_id) == "open")
    eventually(lambda: inside.keys_named("notifier", f"letter:{request_id}") == 0)
    assert inside.rows("notifier", "sealed_letters", case_id=case_id) == []
    assert len(system.caseworker.read(f"/cases/{case_id}")["people"]) == 1


def test_p24_callers_who_write_all_the_while_leave_nothing(system: System, inside: Inside) -> None:
    case_id = inside.a_family()
    over = threading.Event()
    seen: set[int] = set()

    def writes(path: str, body: dict[str, Any]) -> None:
        caller = system.caller("caseworker", sub="busy")
        while not over.is_set():
            answer = caller.post(path, body, Idempotency_Key=new_id())
            seen.add(answer.status_code)

    person = {"role": "other", "given_name": "Ola", "family_name": "Nowak", "phone": "07700 900999"}
    entry = {"kind": "note", "text": "written while it is being forgotten"}
    paper = {"location": "cabinet 4", "description": "letters"}
    acts = [(f"/cases/{case_id}/people", person), (f"/cases/{case_id}/entries", entry)] * 2
    with ThreadPoolExecutor(len(acts) + 1) as pool:
        running = [pool.submit(writes, path, body) for path, body in acts]
        try:
            time.sleep(0.3)
            request = system.an_erasure(case_id)
            system.confirm(request["id"])
            inside.completes(request["id"])
        finally:
            over.set()
        for done in running:
            done.result(timeout=PATIENCE_SECONDS)
    assert seen >= {201, 410}
    # 503: so many at once about one case that one of them didn't get its turn, and was told to come again.
    assert seen <= {201, 410, 423, 503}
    assert inside.left_of(case_id) == []
    assert system.caseworker.post(f"/cases/{case_id}/paper-files", paper).status_code == 410
