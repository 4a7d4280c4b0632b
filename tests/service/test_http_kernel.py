"""The HTTP kernel over a real gunicorn and a real MongoDB, with a service of one route of each kind."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import marshmallow as ma
import pytest
import requests
from flask import Flask
from pymongo import MongoClient

from deploy.local import mongo
from deploy.local.machine import free_port
from deploy.local.stack import Stack
from deploy.mongo.accounts import drop_account, ensure_account
from shared.clock import utc_now
from shared.db import Disposal, Register, Repository
from shared.db.keys.roots import Folders
from shared.db.keys.vault import OFFICE_KEY
from shared.db.unit_of_work import Tx, UnitOfWork, connect
from shared.errors import NotFound, Unavailable
from shared.fields import Count
from shared.http import (
    Anew,
    Blueprint,
    Body,
    Choice,
    IdField,
    Inward,
    JsonResponse,
    Line,
    PageArgs,
    Text,
    allow,
    body_reader,
    check_if_match,
    claim_upload,
    created,
    forget_answer,
    idempotent,
    leave_no_trace,
    make_app,
    ok,
    open_kernel_stores,
    page,
)
from shared.http.calls import Calls
from shared.ids import new_id
from shared.ops import logs
from shared.ops.settings import Settings, load
from shared.security.authentication import local_token, service_token
from shared.security.signing import Signer, make_key
from tests.helpers import PATIENCE_SECONDS, eventually, refused, rewrite, roots_in

ROOT = Path(__file__).resolve().parents[2]


# A service of a few routes, served by gunicorn in a process of its own.


class NewNote(Body):
    text = Text(required=True, most=500_000)
    kind = Choice("note", "wish", load_default="note")
    slow = ma.fields.Float(load_default=0)


class NewDecision(Body):
    case_id = IdField(required=True)
    decision = Choice("given", "declined", required=True)


class NewCase(Body):
    channel = Choice("phone", "email", required=True)


class Change(Body):
    text = Line(required=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    id: str
    case_id: str
    version: int = 0
    size: int
    text: str


def show(note: Note) -> dict[str, Any]:
    return {"id": note.id, "case_id": note.case_id, "size": note.size, "text": note.text}


def create_api() -> Flask:
    settings = load()
    logs.configure(service=settings.service, process="api")
    register, stores = open_stores(settings)
    notes = cast("Repository[Note]", register.stores["notes"])
    blp = Blueprint("notes", description="Notes for tests.")
    unit_of_work = register.unit_of_work

    def render(note: Note) -> JsonResponse:
        return created(show(note), location=f"/v1/notes/{note.id}", etag=note.version, case_id=note.case_id)

    @blp.route("/cases", methods=["POST"])
    @allow("caseworker", "app", inward=Inward.YES)
    @blp.arguments(NewCase)
    @idempotent(lambda case: created({"id": case}, location=f"/v1/cases/{case}", etag=1, case_id=case))
    def open_case(body: dict[str, Any]) -> str:
        case_id = new_id()

        def act(tx: Tx) -> str:
            tx.open_gate(case_id)
            return case_id

        return unit_of_work.run(act)

    @blp.route("/cases/<case_id>/notes", methods=["POST"])
    @allow("caseworker", inward=Inward.YES)
    @blp.arguments(NewNote)
    @idempotent(render)
    def add_note(body: dict[str, Any], case_id: str) -> Note:
        return write_note(body, case_id)

    @blp.route("/cases/<case_id>/claimed-notes", methods=["POST"])
    @allow("caseworker", inward=Inward.YES)
    @blp.arguments(NewNote)
    @idempotent(render, claims_first=True)
    def add_claimed_note(body: dict[str, Any], case_id: str) -> Note:
        return write_note(body, case_id)

    def write_note(body: dict[str, Any], case_id: str) -> Note:
        time.sleep(body["slow"])
        if body["text"] == "break":
            raise RuntimeError(f"never to be seen: {body}")

        def act(tx: Tx) -> Note:
            tx.enter(case_id)
            text = body["text"]
            return notes.add(Note(id=new_id(), case_id=case_id, size=len(text), text=text), tx=tx)

        return unit_of_work.run(act)

    @blp.route("/cases/<case_id>/notes")
    @allow("caseworker", services=("consent",))
    @blp.arguments(PageArgs, location="query")
    def list_notes(query: dict[str, Any], case_id: str) -> dict[str, Any]:
        return page(query, lambda after, n: notes.find({"case_id": case_id}, after=after, limit=n), show)

    @blp.route("/notes/<note_id>", methods=["PATCH"])
    @allow("caseworker", inward=Inward.YES)
    @blp.arguments(Change)
    @blp.response(200)
    def change_note(body: dict[str, Any], note_id: str) -> JsonResponse:
        note = notes.get(note_id)
        if note is None:
            raise NotFound("There is no such note.")
        check_if_match(note.version)
        new = unit_of_work.run(lambda tx: notes.save(replace(note, text=body["text"]), tx=tx))
        return ok(show(new), etag=new.version)

    @blp.route("/decisions", methods=["POST"])
    @allow("caseworker", inward=Inward.BY_BODY)
    @blp.arguments(NewDecision)
    @idempotent(lambda case: ok({"decision": "given"}, status=201))
    def decide(body: dict[str, Any]) -> Any:
        if body["decision"] == "declined":
            leave_no_trace()
            forget_answer()
            return ok({"helpline": "0800 000 000"})
        return unit_of_work.run(lambda tx: tx.enter(body["case_id"]))

    @blp.route("/cases/<case_id>/files", methods=["POST"])
    @allow("caseworker", inward=Inward.YES)
    @idempotent(lambda size: ok({"size": size}, status=201), upload=lambda: b"".join(pieces()))
    def upload(case_id: str) -> int:
        whole = b"".join(pieces())
        claim_upload(whole)

        def act(tx: Tx) -> int:
            tx.enter(case_id)
            return len(whole)

        return unit_of_work.run(act)

    def pieces() -> Any:
        return body_reader().pieces(limit=20 * 1024 * 1024, too_large="Too large.")

    @blp.route("/office-notes", methods=["POST"])
    @allow("manager", audit_late=True, inward=Inward.NO)
    @idempotent(lambda done: ok({"done": done}), anew=Anew(find=lambda *_: True, key=lambda _: OFFICE_KEY))
    def office_note() -> bool:
        return True

    return make_app(
        settings=settings,
        register=register,
        stores=stores,
        blueprints=[blp],
        checks={"mongodb": lambda: unit_of_work.client.admin.command("ping"), "nothing": lambda: None},
    )


def open_stores(settings: Settings) -> tuple[Register, Any]:
    url = settings.mongo_url
    # `connect` waits five seconds for a server; a test that has none needn't.
    away = "serverSelectionTimeoutMS" in url
    client = MongoClient(url, tz_aware=True) if away else connect(url)
    roots = Folders(settings.roots)
    unit_of_work = UnitOfWork(client, names=settings.names, service=settings.service, roots=roots)
    if not away:
        unit_of_work.vault.start()
    register = Register(unit_of_work)
    stores = open_kernel_stores(register, settings)
    register.repository("notes", Note, clear={"size": Count()}, disposal=Disposal.ERASE)
    return register, stores


# Servers


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """An account of one service on the run's MongoDB, and the names of its databases."""

    names: str
    url: str


@pytest.fixture(scope="module")
def database(stack: Stack, worker_id: str) -> Iterator[Database]:
    names, password = f"kernel{worker_id}", secrets.token_urlsafe(12)
    with mongo.admin_client(stack.places, stack.ports) as admin:
        account = ensure_account(admin, names, "case", password)
        address = f"127.0.0.1:{stack.ports['mongodb']}/?authSource=admin&replicaSet={mongo.REPLICA_SET}"
        yield Database(names=names, url=f"mongodb://{account}:{password}@{address}")
        drop_account(admin, names, "case")


class Keys:
    """Secrets and public keys as the set-up would make them."""

    def __init__(self, folder: Path, database: Database) -> None:
        now = datetime.now(UTC)
        self.private: dict[tuple[str, str], dict[str, Any]] = {}
        public = []
        for service, use in [
            ("case", "token"),
            ("case", "receipt"),
            ("consent", "token"),
            ("document", "token"),
            ("issuer", "issuer"),
        ]:
            self.private[service, use], key = make_key(service, use, now)
            public.append(key)
        self.folder, self.names = folder, database.names
        roots_in(folder)
        (folder / "search.key").write_text(base64.b64encode(secrets.token_bytes(32)).decode())
        (folder / "mongo-url").write_text(database.url)
        (folder / "amqp-url").write_text("amqp://nobody@127.0.0.1:1")
        (folder / "token.jwk").write_text(json.dumps(self.private["case", "token"]))
        (folder / "receipt.jwk").write_text(json.dumps(self.private["case", "receipt"]))
        (folder / "public.jwks").write_text(json.dumps({"keys": public}))

    def environment(self) -> dict[str, str]:
        return {
            "FMN_SERVICE": "case",
            "FMN_NAMES": self.names,
            "FMN_SECRETS": str(self.folder),
            "FMN_ROOTS": f"{self.folder}/roots-1,{self.folder}/roots-2",
            "FMN_PUBLIC_KEYS": str(self.folder / "public.jwks"),
            "FMN_OFFICE_NAME": "Office",
            "FMN_OFFICE_PHONE": "0800",
            "FMN_OFFICE_EMAIL": "office@example.org",
            "FMN_OFFICE_ADDRESS": "1 High Street|Town|AB1 2CD",
            "FMN_CONTROLLER": "Council",
            "FMN_DPO_CONTACT": "dpo@example.org",
            "FMN_HELPLINE": "0800",
            **{f"FMN_{name}_URL": "http://127.0.0.1:9" for name in ("CASE", "DOCUMENT", "CONSENT", "NOTIFIER")},
        }

    def token(self, *roles: str, sub: str = "worker-1") -> str:
        signer = Signer(self.private["issuer", "issuer"])
        return local_token(signer, sub=sub, roles=list(roles), now=utc_now(), life=timedelta(hours=8))


class Served:
    """The service, answering on a port."""

    def __init__(self, url: str, keys: Keys, register: Register, log: Path) -> None:
        self.url, self.keys, self.register, self.log_file = url, keys, register, log

    def ask(self, method: str, path: str, *, role: str | None = "caseworker", **more: Any) -> requests.Response:
        headers = more.pop("headers", {})
        if role is not None:
            headers = {"Authorization": f"Bearer {self.keys.token(role)}", **headers}
        return requests.request(method, self.url + path, headers=headers, timeout=30, **more)

    def a_case(self) -> str:
        return str(self.ask("POST", "/v1/cases", json={"channel": "phone"}).json()["id"])

    def audit(self, case_id: str | None) -> list[dict[str, Any]]:
        return list(self.register.unit_of_work.db["audit"].find({"case_id": case_id}).sort("_id", 1))

    def log(self) -> str:
        return self.log_file.read_text()


@contextmanager
def serving(keys: Keys) -> Iterator[Served]:
    """The service under gunicorn, with these secrets."""
    port, log = free_port(), keys.folder / "log"
    with settings_of(keys) as settings:
        register, _ = open_stores(settings)
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--worker-class=shared.http.server.GunicornWorker",
        "--threads=8",
        f"--bind=127.0.0.1:{port}",
        "--logger-class=shared.ops.logs.GunicornLogger",
        "tests.service.test_http_kernel:create_api()",
    ]
    environment = {**os.environ, **keys.environment()}
    with log.open("wb") as out:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: is_alive(url), what=f"the service, whose log is {log}")
        yield Served(url, keys, register, log)
    finally:
        server.terminate()
        server.wait(20)


def is_alive(url: str) -> bool:
    try:
        return requests.get(f"{url}/livez", timeout=2).ok
    except (requests.ConnectionError, requests.Timeout):
        return False


@contextmanager
def settings_of(keys: Keys) -> Iterator[Settings]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in keys.environment().items():
            patch.setenv(name, value)
        yield load()


@pytest.fixture(scope="module")
def served(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(Keys(tmp_path_factory.mktemp("kernel"), database)) as served:
        served.register.prepare()
        yield served


# Who may


def test_without_a_token_nothing_is_said_and_the_denial_is_audited(served: Served) -> None:
    case_id = served.a_case()
    answer = served.ask("GET", f"/v1/cases/{case_id}/notes", role=None)
    refused(answer, 401, "unauthorised")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    last = served.audit(case_id)[-1]
    assert (last["sub"], last["outcome"], last["status"]) == ("anonymous", "denied", 401)


def test_the_wrong_role_is_403_before_a_body_is_looked_at(served: Served) -> None:
    case_id = served.a_case()
    answer = served.ask("POST", f"/v1/cases/{case_id}/notes", role="auditor", data=b"not json")
    refused(answer, 403, "forbidden")
    assert served.audit(case_id)[-1]["outcome"] == "denied"


def test_a_token_of_another_audience_issuer_time_or_kind_is_401(served: Served) -> None:
    issuer = Signer(served.keys.private["issuer", "issuer"])
    now = utc_now()
    good = {
        "iss": "urn:fmn:local",
        "sub": "w",
        "aud": "forgetmenot",
        "roles": ["caseworker"],
        "exp": int(now.timestamp()) + 60,
    }
    bad = [
        issuer.sign({**good, "aud": "other"}, typ="JWT"),
        issuer.sign({**good, "iss": "other"}, typ="JWT"),
        issuer.sign({**good, "exp": int(now.timestamp()) - 31}, typ="JWT"),
        issuer.sign({**good, "nbf": int(now.timestamp()) + 90}, typ="JWT"),
        issuer.sign({name: value for name, value in good.items() if name != "exp"}, typ="JWT"),
        issuer.sign({**good, "sub": "Ann Example"}, typ="JWT"),
        issuer.sign({**good, "sub": "case"}, typ="JWT"),
        issuer.sign(good, typ="fmn-receipt"),
        Signer(served.keys.private["case", "receipt"]).sign(good, typ="JWT"),
        "eyJhbGciOiJub25lIn0.e30.",
        "x",
        base64.urlsafe_b64encode(b"[" * 4000).decode() + ".e30.AA",
    ]
    for token in bad:
        answer = served.ask(
            "POST", "/v1/cases", role=None, json={"channel": "phone"}, headers={"Authorization": f"Bearer {token}"}
        )
        refused(answer, 401, "unauthorised")
    token = issuer.sign(good, typ="JWT")
    headers = {"Authorization": f"Bearer {token}"}
    assert served.ask("POST", "/v1/cases", role=None, json={"channel": "phone"}, headers=headers).ok


def test_a_route_lists_the_services_it_serves(served: Served) -> None:
    case_id = served.a_case()
    path = f"/v1/cases/{case_id}/notes"

    def status(caller: str, called: str, signed_by: str | None = None) -> int:
        signer = Signer(served.keys.private[signed_by or caller, "token"])
        token = service_token(signer, caller=caller, called=called, now=utc_now())
        return served.ask("GET", path, role=None, headers={"Authorization": f"Bearer {token}"}).status_code

    assert status("consent", "case") == 200
    assert served.audit(case_id)[-1]["sub"] == "consent"
    assert status("document", "case") == 403
    assert status("consent", "document") == 401
    assert status("consent", "case", signed_by="document") == 401


def test_the_service_role_in_a_persons_token_opens_nothing(served: Served) -> None:
    refused(served.ask("POST", "/v1/cases", role="service", json={}), 403, "forbidden")


# What is sent


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b'{"text": "a", "text": "b"}',
        b'{"text": NaN}',
        b'{"text": 1e999}',
        b'{"text": 9007199254740993}',
        b'{"text": ' + b"9" * 5000 + b"}",
        b'{"text": "\\ud800"}',
        b'{"text": "a\\u0000b"}',
        b'{"text": "\xff"}',
        b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"text": ' + b'{"a":' * 30 + b"1" + b"}" * 30 + b"}",
        b'{"text": 5}',
        b'{"text": null}',
        b'{"text": "  "}',
        b'{"text": "a", "other": "Tomasz"}',
        b'{"text": "a", "kind": "Tomasz"}',
    ],
)
def test_a_body_that_does_not_fit_is_invalid_and_not_repeated(served: Served, raw: bytes) -> None:
    path = f"/v1/cases/{served.a_case()}/notes"
    answer = served.ask("POST", path, data=raw, headers={"Content-Type": "application/json"})
    refused(answer, 400, "invalid")
    assert "Tomasz" not in answer.text
    assert served.ask("GET", path).json()["items"] == []


def test_unknown_fields_are_named_unless_they_may_be_somebodys_data(served: Served) -> None:
    path = f"/v1/cases/{served.a_case()}/notes"
    errors = served.ask("POST", path, json={"text": "a", "family_name": 1, "Tomasz Żak": 2}).json()["errors"]
    assert errors == {"family_name": ["Unknown field."], "other": ["Unknown field."]}
    answer = served.ask("GET", f"{path}?surname=Żak")
    assert refused(answer, 400, "invalid")["errors"] == {"surname": ["Unknown field."]}


def test_other_content_types_are_415(served: Served) -> None:
    path = f"/v1/cases/{served.a_case()}/notes"
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"):
        answer = served.ask("POST", path, data=b'{"text": "a"}', headers={"Content-Type": kind})
        refused(answer, 415, "unsupported-media-type")
    good = {"Content-Type": "application/json; charset=UTF-8"}
    assert served.ask("POST", path, data=b'{"text": "a"}', headers=good).status_code == 201


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("role", "status"), [("caseworker", 413), ("auditor", 403)])
def test_ten_megabytes_of_json_are_dropped_and_the_answer_arrives(
    served: Served, chunked: bool, role: str, status: int
) -> None:
    whole = json.dumps({"text": "x" * 10_000_000}).encode()
    data: Any = (whole[at : at + 100_000] for at in range(0, len(whole), 100_000)) if chunked else whole
    path = f"/v1/cases/{served.a_case()}/notes"
    with requests.Session() as session:
        headers = {"Authorization": f"Bearer {served.keys.token(role)}", "Content-Type": "application/json"}
        answer = session.post(served.url + path, data=data, headers=headers, timeout=30)
        refused(answer, status, {413: "too-large", 403: "forbidden"}[status])
        # The connection goes on with the next request where the last one ended.
        assert session.get(served.url + "/livez", timeout=5).ok


def test_a_connection_cut_in_the_middle_leaves_the_service_going(served: Served) -> None:
    case_id = served.a_case()
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as cut:
        head = (
            f"POST /v1/cases/{case_id}/notes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {served.keys.token('caseworker')}\r\nContent-Length: 500\r\n\r\n"
        )
        cut.sendall(head.encode() + b'{"text": "a"')
    eventually(lambda: any(row["status"] == 400 for row in served.audit(case_id)))
    assert served.audit(case_id)[-1]["status"] == 400
    assert served.ask("GET", f"/v1/cases/{case_id}/notes").json()["items"] == []


@pytest.mark.parametrize("role", [None, "caseworker"])
def test_bodies_that_never_come_hold_nobody_up_for_long(served: Served, role: str | None) -> None:
    host, port = served.url.removeprefix("http://").split(":")
    token = "" if role is None else f"Authorization: Bearer {served.keys.token(role)}\r\n"
    path = f"/v1/cases/{served.a_case()}/notes"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{token}Content-Length: 19\r\n\r\n"
    # Given more of them than there are threads
    with ExitStack() as half:
        for _ in range(20):
            half.enter_context(socket.create_connection((host, int(port)))).sendall(head.encode() + b'{"t')
        time.sleep(0.5)
        # Then whoever comes next waits for seconds, and not for half a minute (promised: 15 seconds at most)
        mine = {"Authorization": f"Bearer {served.keys.token('caseworker')}"}
        assert requests.get(served.url + path, headers=mine, timeout=15).status_code == 200


def test_text_is_kept_in_nfc_with_plain_line_breaks(served: Served) -> None:
    path = f"/v1/cases/{served.a_case()}/notes"
    answer = served.ask("POST", path, json={"text": "Zoe\u0308\r\nnext\tline"})
    assert answer.json()["text"] == "Zoë\nnext\tline"


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"Tomasz\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nTomasz\r\n\r\n", 400),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 431),
    ],
)
def test_what_is_no_http_gets_a_problem_and_is_not_repeated(served: Served, raw: bytes, status: int) -> None:
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as odd:
        odd.sendall(raw)
        head, _, body = b"".join(iter(lambda: odd.recv(4096), b"")).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status}".encode())
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == status
    assert b"Tomasz" not in body
    assert "Tomasz" not in served.log()


# Things, ids, versions, pages


@pytest.mark.parametrize("wrong", ["1", "x' or 1", "019A0000-0000-7000-8000-000000000000", "%00"])
def test_an_id_that_is_none_is_404(served: Served, wrong: str) -> None:
    refused(served.ask("GET", f"/v1/cases/{wrong}/notes"), 404, "not-found")


def test_unknown_paths_and_methods_are_problems(served: Served) -> None:
    refused(served.ask("GET", "/v1/nothing"), 404, "not-found")
    refused(served.ask("GET", "/v1/cases/"), 404, "not-found")
    refused(served.ask("DELETE", "/v1/cases"), 405, "method-not-allowed")
    refused(served.ask("OPTIONS", "/v1/cases"), 405, "method-not-allowed")


def test_a_change_needs_the_etag_of_what_it_changes(served: Served) -> None:
    made = served.ask("POST", f"/v1/cases/{served.a_case()}/notes", json={"text": "a"})
    assert made.headers["Location"] == f"/v1/notes/{made.json()['id']}"
    path, etag = made.headers["Location"], made.headers["ETag"]
    body = {"text": "b"}
    refused(served.ask("PATCH", path, json=body), 428, "precondition-required")
    for wrong in ('"7"', f"W/{etag}", etag.strip('"')):
        refused(served.ask("PATCH", path, json=body, headers={"If-Match": wrong}), 412, "changed")
    changed = served.ask("PATCH", path, json=body, headers={"If-Match": f'"9", {etag}'})
    assert (changed.status_code, changed.json()["text"]) == (200, "b")
    refused(served.ask("PATCH", path, json=body, headers={"If-Match": etag}), 412, "changed")
    assert served.ask("PATCH", path, json=body, headers={"If-Match": "*"}).ok


def test_lists_come_in_pages_oldest_first(served: Served) -> None:
    path = f"/v1/cases/{served.a_case()}/notes"
    for number in range(5):
        served.ask("POST", path, json={"text": str(number)})
    seen, cursor = [], ""
    while cursor is not None:
        got = served.ask("GET", f"{path}?limit=2{cursor and '&cursor=' + cursor}").json()
        seen += [item["text"] for item in got["items"]]
        cursor = got["next"]
    assert seen == ["0", "1", "2", "3", "4"]
    for wrong in ("limit=0", "limit=201", "limit=x", "cursor=x", "cursor=eA", "limit=2&limit=3"):
        refused(served.ask("GET", f"{path}?{wrong}"), 400, "invalid")


# Idempotency keys


def test_the_same_key_repeats_the_same_answer_and_makes_one_thing(served: Served) -> None:
    path = f"/v1/cases/{served.a_case()}/notes"
    headers = {"Idempotency-Key": "clé №1"}
    headers = {"Idempotency-Key": "clé №1".encode().decode("latin-1")}
    first = served.ask("POST", path, json={"text": "ä", "kind": "wish"}, headers=headers)
    again = served.ask("POST", path, data=b'{"kind":"wish", "text":"\xc3\xa4"}', headers=_json(headers))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    for name in ("Location", "ETag"):
        assert first.headers[name] == again.headers[name]
    assert len(served.ask("GET", path).json()["items"]) == 1
    refused(served.ask("POST", path, json={"text": "b"}, headers=headers), 409, "conflict")


def _json(headers: dict[str, str]) -> dict[str, str]:
    return {**headers, "Content-Type": "application/json"}


def _four_at_once(served: Served, path: str) -> list[requests.Response]:
    answers: list[requests.Response] = []

    def post() -> None:
        body = {"text": "a", "slow": 0.5}
        answers.append(served.ask("POST", path, json=body, headers={"Idempotency-Key": "k"}))

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_repeats_at_once_get_the_first_answer_and_one_thing_is_made(served: Served) -> None:
    path = f"/v1/cases/{served.a_case()}/notes"
    answers = _four_at_once(served, path)
    assert [answer.status_code for answer in answers] == [201] * 4
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(served.ask("GET", path).json()["items"]) == 1
    refused(served.ask("POST", path, json={"text": "b"}, headers={"Idempotency-Key": "k"}), 409, "conflict")


def test_an_act_of_several_steps_claims_its_key_and_repeats_meanwhile_are_409(served: Served) -> None:
    case = f"/v1/cases/{served.a_case()}"
    answers = _four_at_once(served, f"{case}/claimed-notes")
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert len(served.ask("GET", f"{case}/notes").json()["items"]) == 1


def test_a_change_its_answer_and_its_audit_are_one_transaction(served: Served, stack: Stack) -> None:
    case_id = served.a_case()
    path, before = f"/v1/cases/{case_id}/notes", len(served.audit(case_id))
    note = served.ask("POST", path, json={"text": "a"}, headers={"Idempotency-Key": "one"}).json()["id"]
    row = served.audit(case_id)[-1]
    assert len(served.audit(case_id)) == before + 1
    assert (row["action"], row["outcome"], row["status"]) == ("notes.add_note", "done", 201)
    assert row["record_id"] == note
    # What was written with the note, as the database's own log has it
    with mongo.admin_client(stack.places, stack.ports) as client:
        (entry,) = client["local"]["oplog.rs"].find({"o.applyOps.o._id": note})
    written = {str(operation["ns"]).partition(".")[2] for operation in entry["o"]["applyOps"]}
    assert written == {"gates", "notes", "idempotency", "audit"}


def test_what_failed_keeps_no_key(served: Served) -> None:
    path = f"/v1/cases/{served.a_case()}/notes"
    headers = {"Idempotency-Key": "again"}
    assert served.ask("POST", path, json={"text": "break"}, headers=headers).status_code == 500
    assert served.ask("POST", path, json={"text": "whole"}, headers=headers).status_code == 201


def test_a_claim_whose_process_died_is_taken_over_once_its_lease_ends(served: Served) -> None:
    case = f"/v1/cases/{served.a_case()}"
    path = f"{case}/claimed-notes"
    store = cast("Repository[Any]", served.register.stores["idempotency"])
    rows = store.rows
    before = {row["_id"] for row in rows.find({}, {"_id": 1})}
    headers = {"Idempotency-Key": "died"}
    served.ask("POST", path, json={"text": "a"}, headers=headers)
    (mine,) = [row["_id"] for row in rows.find({}, {"_id": 1}) if row["_id"] not in before]
    rewrite(store, {"_id": mine}, state="in_use", until=utc_now() + timedelta(seconds=10))
    refused(served.ask("POST", path, json={"text": "a"}, headers=headers), 409, "conflict")
    rewrite(store, {"_id": mine}, until=utc_now() - timedelta(seconds=1))
    assert served.ask("POST", path, json={"text": "a"}, headers=headers).status_code == 201
    assert served.ask("POST", path, json={"text": "a"}, headers=headers).status_code == 201
    assert len(served.ask("GET", f"{case}/notes").json()["items"]) == 2


def test_a_closed_gate_is_410_whatever_the_key(served: Served) -> None:
    case_id = served.a_case()
    path, headers = f"/v1/cases/{case_id}/notes", {"Idempotency-Key": "k"}
    assert served.ask("POST", path, json={"text": "a"}, headers=headers).status_code == 201
    store = served.register.stores["idempotency"]
    assert store.found(case_id) == 1
    unit_of_work = served.register.unit_of_work
    unit_of_work.run(lambda tx: unit_of_work.gates.close(tx.session, case_id))
    for body in ({"text": "a"}, {"text": "b"}):
        refused(served.ask("POST", path, json=body, headers=headers), 410, "erased")
    assert store.delete(case_id) == 1
    unit_of_work.run(lambda tx: unit_of_work.vault.doom(case_id, tx.session))
    refused(served.ask("POST", path, json={"text": "a"}, headers=headers), 410, "erased")
    assert store.remaining(case_id) == 0


def test_a_new_case_repeats_its_answer_under_its_own_key(served: Served) -> None:
    headers = {"Idempotency-Key": new_id()}
    first = served.ask("POST", "/v1/cases", json={"channel": "phone"}, headers=headers)
    assert served.ask("POST", "/v1/cases", json={"channel": "phone"}, headers=headers).json() == first.json()
    assert served.register.stores["idempotency"].found(first.json()["id"]) == 1
    assert served.audit(first.json()["id"])[0]["outcome"] == "done"


def test_a_decline_keeps_no_body_and_leaves_no_audit(served: Served) -> None:
    case_id, db = served.a_case(), served.register.unit_of_work.db
    audited, kept = db["audit"].count_documents({}), db["idempotency"].count_documents({})
    body = {"case_id": case_id, "decision": "declined"}
    answer = served.ask("POST", "/v1/decisions", json=body, headers={"Idempotency-Key": "d"})
    assert answer.json() == {"helpline": "0800 000 000"}
    assert db["audit"].count_documents({}) == audited
    assert db["idempotency"].count_documents({}) == kept
    given = {**body, "decision": "given"}
    assert served.ask("POST", "/v1/decisions", json=given, headers={"Idempotency-Key": "d"}).status_code == 201
    assert served.audit(case_id)[-1]["action"] == "notes.decide"


def test_an_upload_is_compared_once_it_was_read(served: Served) -> None:
    path, headers = f"/v1/cases/{served.a_case()}/files", {"Idempotency-Key": "u"}
    whole = os.urandom(3_000_000)
    first = served.ask("POST", path, data=whole, headers=headers)
    assert first.json() == {"size": 3_000_000}
    assert served.ask("POST", path, data=whole, headers=headers).json() == first.json()
    refused(served.ask("POST", path, data=whole[:-1] + b"x", headers=headers), 409, "conflict")


def test_of_two_uploads_at_once_with_one_key_both_hear_of_the_one_that_was_made(served: Served) -> None:
    path, headers = f"/v1/cases/{served.a_case()}/files", {"Idempotency-Key": "two"}
    quick_is_done, answers = threading.Event(), []

    def slowly() -> Iterator[bytes]:
        yield b"one "
        assert quick_is_done.wait(PATIENCE_SECONDS)
        yield b"file"

    slow = threading.Thread(target=lambda: answers.append(served.ask("POST", path, data=slowly(), headers=headers)))
    slow.start()
    time.sleep(0.3)
    answers.append(served.ask("POST", path, data=b"one file", headers=headers))
    quick_is_done.set()
    slow.join()
    assert [(answer.status_code, answer.json()) for answer in answers] == [(201, {"size": 8})] * 2
    # One for the case itself, one for the file.
    assert served.register.unit_of_work.db["gates"].find_one({"_id": path.split("/")[3]})["writes"] == 2


def test_an_answer_about_no_case_is_rendered_anew(served: Served) -> None:
    headers = {"Idempotency-Key": "o"}
    for _ in range(2):
        answer = served.ask("POST", "/v1/office-notes", role="manager", headers=headers)
        assert answer.json() == {"done": True}


@pytest.mark.parametrize("key", ["", "x" * 201, "a\tb"])
def test_a_key_that_is_none_is_400(served: Served, key: str) -> None:
    answer = served.ask("POST", "/v1/cases", json={"channel": "phone"}, headers={"Idempotency-Key": key})
    refused(answer, 400, "invalid")


# Audit, logs, pages


def test_the_audit_is_read_by_its_readers_alone(served: Served) -> None:
    case_id = served.a_case()
    served.ask("GET", f"/v1/cases/{case_id}/notes")
    path = f"/v1/audit/case?case_id={case_id}"
    refused(served.ask("GET", path), 403, "forbidden")
    rows = served.ask("GET", path, role="auditor").json()["items"]
    assert [row["action"] for row in rows[:2]] == ["notes.open_case", "notes.list_notes"]
    assert {row["case_id"] for row in rows} == {case_id}
    assert rows[0]["at"].endswith("Z")
    none = served.ask("GET", f"{path}&from=2100-01-01T00:00:00Z", role="data_protection").json()
    assert none == {"items": [], "next": None}
    refused(served.ask("GET", "/v1/audit/consent", role="auditor"), 404, "not-found")
    refused(served.ask("GET", "/v1/audit/case?from=2026", role="auditor"), 400, "invalid")


def test_an_unforeseen_error_says_its_number_and_logs_no_text(served: Served) -> None:
    path = f"/v1/cases/{served.a_case()}/notes"
    said = refused(served.ask("POST", path, json={"text": "break"}), 500, "internal")
    lines = [json.loads(line) for line in served.log().splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line.get("error_id", "none") in said["detail"]]
    assert (line["type"], line["event"]) == ("RuntimeError", "failed")
    assert "never to be seen" not in served.log()


def test_the_log_has_patterns_and_no_paths_and_only_json(served: Served) -> None:
    case_id = served.a_case()
    served.ask("GET", f"/v1/cases/{case_id}/notes?limit=3")
    time.sleep(0.2)
    assert case_id not in served.log()
    lines = [json.loads(line) for line in served.log().splitlines()]
    routes = {line.get("route") for line in lines}
    assert "/v1/cases/<case_id>/notes" in routes
    assert not [line for line in lines if "dropped" in line]


def test_the_pages_outside_v1(served: Served) -> None:
    ready = served.ask("GET", "/readyz", role=None).json()
    assert ready["status"] == "ready"
    assert {disk["state"] for disk in ready["disks"].values()} == {"unknown"}  # nobody watches them here
    metrics = served.ask("GET", "/metrics", role=None)
    assert 'route="/v1/cases/<case_id>/notes"' in metrics.text
    spec = served.ask("GET", "/openapi.json", role=None).json()
    assert spec["openapi"] == "3.1.0"
    assert "/v1/cases/{case_id}/notes" in spec["paths"]
    page_ = served.ask("GET", "/docs", role=None)
    assert "script-src 'self'" in page_.headers["Content-Security-Policy"]
    assert "http" not in page_.text
    for asset in ("swagger-ui.css", "swagger-ui-bundle.js", "docs.css", "docs.js"):
        answer = served.ask("GET", f"/docs/{asset}", role=None)
        assert answer.ok
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    refused(served.ask("GET", "/docs/index.html", role=None), 404, "not-found")


def test_a_route_without_a_door_is_refused_when_the_app_is_made(served: Served) -> None:
    blp = Blueprint("open", description="x")
    blp.route("/open")(lambda: {})
    with settings_of(served.keys) as settings:
        register, stores = open_stores(settings)
        with pytest.raises(ValueError, match="doesn't say whom it serves"):
            make_app(settings=settings, register=register, stores=stores, blueprints=[blp], checks={})


def test_while_the_database_is_away_the_answer_is_no_but_for_safeguarding(tmp_path: Path) -> None:
    nobody_there = f"mongodb://127.0.0.1:{free_port()}/?replicaSet=t&serverSelectionTimeoutMS=300"
    with serving(Keys(tmp_path, Database(names="kernel", url=nobody_there))) as served:
        answer = served.ask("GET", f"/v1/cases/{new_id()}/notes")
        refused(answer, 503, "unavailable")
        assert answer.headers["Retry-After"] == "2"
        # A denial that can't be audited isn't told either.
        refused(served.ask("POST", "/v1/cases", role=None), 503, "unavailable")
        assert served.ask("POST", "/v1/office-notes", role="manager").json() == {"done": True}
        assert "audit-late" in served.log()
        ready = served.ask("GET", "/readyz", role=None)
        assert (ready.status_code, ready.json()["away"]) == (503, ["mongodb"])
        assert served.ask("GET", "/livez", role=None).ok


# Services asking one another


def test_calls_carry_a_token_and_tell_gone_from_away(served: Served) -> None:
    with settings_of(served.keys) as settings:
        settings = replace(settings, service="consent", service_urls={**settings.service_urls, "case": served.url})
    calls = Calls(settings, Signer(served.keys.private["consent", "token"]))
    case_id = served.a_case()
    assert calls.get("case", f"/cases/{case_id}/notes", query={"limit": "1"}) == {"items": [], "next": None}
    with pytest.raises(NotFound):
        calls.get("case", "/cases/1/notes")
    with pytest.raises(Unavailable):
        calls.get("document", "/anything")
    with pytest.raises(Unavailable):
        calls.post("case", "/cases", {"channel": "phone"})


def test_the_trace_of_a_caller_goes_on_and_nothing_else_of_it(served: Served) -> None:
    case_id, trace = served.a_case(), "ab" * 16
    headers = {"traceparent": f"00-{trace}-{'cd' * 8}-01", "tracestate": "x=Tomasz", "baggage": "name=Tomasz"}
    served.ask("GET", f"/v1/cases/{case_id}/notes", headers=headers)
    assert served.audit(case_id)[-1]["trace_id"] == trace
    served.ask("GET", f"/v1/cases/{case_id}/notes", headers={"traceparent": "00-Tomasz"})
    assert served.audit(case_id)[-1]["trace_id"] not in (trace, None)
    assert "Tomasz" not in served.log()
