"""The document service's two real processes on names of their own, with the real case and consent services to ask."""

from __future__ import annotations

import base64
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import jwt
import pytest
import requests

from deploy.local import mongo, objects
from deploy.local.broker import Management
from deploy.local.processes import Process
from deploy.local.provision import Provision
from deploy.local.stack import Stack
from services.document.context import Context
from services.document.main import service
from shared.clock import utc_now
from shared.events import EventType, consent
from shared.ids import new_id
from shared.security.authentication import local_token
from shared.security.signing import Signer
from shared.service.service import Opened
from tests import samples
from tests.helpers import Speaker, at_end_of_group, eventually, kill

Answer = requests.Response
LIMIT = 24 * 1024 * 1024  # bytes of one file, so that a file over it is quickly sent
_BOUNDARY = "a-boundary-of-tests"
_RIGS: dict[tuple[int, str], Rig] = {}


def rig_on(stack: Stack, worker_id: str, names: str = "doc") -> Rig:
    """The one rig of these names in this test process; its services end with the group of tests that shares them."""
    key = (id(stack), names)
    if key not in _RIGS:
        rig = _RIGS[key] = started(stack, f"{names}{worker_id}")

        def end() -> None:
            del _RIGS[key]
            rig.stop()

        at_end_of_group(end)
    return _RIGS[key]


def started(stack: Stack, prefix: str, **settings: str) -> Rig:
    """A rig under a prefix of its own, with these settings besides; the caller stops it."""
    provided = stack.provision(prefix)
    env = {"FMN_UPLOAD_LIMIT_BYTES": str(LIMIT), **settings}
    return Rig(
        stack=stack,
        provided=provided,
        processes=stack.start_services(provided, ["document", "case-api", "consent-api"], env),
        management=Management.of(stack.places, stack.ports),
        speaker=Speaker(provided),
    )


def form(*parts: tuple[str, str | bytes]) -> bytes:
    """A multipart body of these fields, in this order; bytes are a file."""
    body = b""
    for name, value in parts:
        named = f'name="{name}"' + ('; filename="Zoë\'s plan.pdf"' if isinstance(value, bytes) else "")
        raw = value if isinstance(value, bytes) else value.encode()
        body += f"--{_BOUNDARY}\r\nContent-Disposition: form-data; {named}\r\n\r\n".encode() + raw + b"\r\n"
    return body + f"--{_BOUNDARY}--\r\n".encode()


@dataclass(kw_only=True)
class Rig:
    stack: Stack
    provided: Provision
    processes: Mapping[str, Process]
    management: Management
    speaker: Speaker
    _heard: list[dict[str, Any]] = field(default_factory=list)

    def stop(self) -> None:
        self.speaker.stop()
        kill(self.processes.values())

    # Asking

    def token(self, role: str = "caseworker") -> str:
        signer = Signer(json.loads(self.provided.issuer_key.read_text()))
        return local_token(signer, sub=f"a.{role}", roles=[role], now=utc_now(), life=timedelta(hours=1))

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        role: str = "caseworker",
        service: str = "document",
        data: Any = None,
        **headers: str,
    ) -> Answer:
        """Ask a service; headers by their names with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                method,
                f"{self.provided.urls[service]}/v1{path}",
                json=body,
                data=data,
                headers={"Authorization": f"Bearer {self.token(role)}", **named},
                timeout=60,
            )

    def upload(self, case_id: str, *parts: tuple[str, str | bytes], role: str = "caseworker", **headers: str) -> Answer:
        content_type = f"multipart/form-data; boundary={_BOUNDARY}"
        path = f"/cases/{case_id}/documents"
        return self.ask("POST", path, data=form(*parts), role=role, Content_Type=content_type, **headers)

    def file(self, case_id: str, content: bytes, source: str = "family", **fields: str) -> Answer:
        """Upload a document of kind report, its file first."""
        more = [*({"kind": "report", "source": source} | fields).items()]
        return self.upload(case_id, ("file", content), *more)

    def filed(self, case_id: str, content: bytes | None = None, **fields: str) -> dict[str, Any]:
        answer = self.file(case_id, samples.pdf_scan(2) if content is None else content, **fields)
        assert answer.status_code == 201, answer.text
        # As it is shown from then on: the first answer alone says where else the bytes are.
        return {name: value for name, value in answer.json().items() if name != "same_as"}

    def opened_upload(self, case_id: str, first: bytes, *, length: int | None = None) -> socket.socket:
        """A connection on which an upload has begun with these bytes of its body; chunked unless a length is told."""
        connection = socket.create_connection(("127.0.0.1", self.provided.ports["document"]), timeout=30)
        framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        head = (
            f"POST /v1/cases/{case_id}/documents HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {self.token()}\r\n"
            f"Content-Type: multipart/form-data; boundary={_BOUNDARY}\r\n{framing}\r\n\r\n"
        )
        connection.sendall(head.encode())
        connection.sendall(first if length is not None else chunk(first))
        return connection

    # Given

    def a_shell(self) -> str:
        answer = self.ask("POST", "/cases", {"channel": "phone"}, service="case")
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def a_case(self) -> str:
        """A case whose family agreed to a file, as this service has heard."""
        case_id = self.a_shell()
        self.say_casework(case_id)
        return case_id

    def say_casework(self, case_id: str, given: bool = True) -> None:
        standing = [{"consent": new_id(), "purpose": "casework"}] if given else []
        self.say(consent.GIVEN if given else consent.WITHDRAWN, case_id, consent=new_id(), standing=standing)
        stands = {"standing.purpose": "casework"} if given else {"standing": []}
        eventually(lambda: self.row("projections", _id=case_id, **stands))

    def an_organisation(self) -> str:
        body = {"name": "Marlow Vale Council", "kind": "local_authority"}
        answer = self.ask("POST", "/organisations", body, service="consent")
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def consent_to_obtain(self, case_id: str, party: str, kind: str | None = None) -> None:
        """The family agrees, at the real consent service, to have documents from this party."""
        statement = self.ask("GET", "/statement", service="consent").json()
        now = utc_now()
        purpose = {"purpose": "obtain_documents", "party": party, **({"document_kind": kind} if kind else {})}
        body = {
            "case_id": case_id,
            "decision": "given",
            "given_by": {"name": "Zoë Łukasińska", "capacity": "parental_responsibility"},
            "channel": "phone",
            "informed_at": (now - timedelta(minutes=5)).isoformat(),
            "given_at": now.isoformat(),
            "statement_version": statement["version"],
            "purposes": [{"purpose": "casework"}, purpose],
        }
        answer = self.ask("POST", "/consents", body, service="consent")
        assert answer.status_code == 201, answer.text

    def a_paper(self, case_id: str, **more: Any) -> dict[str, Any]:
        body = {"location": "Cabinet 3, drawer 2", "description": "School letters", "pages": 12, **more}
        answer = self.ask("POST", f"/cases/{case_id}/paper-files", body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def certify(self, paper_id: str, *, role: str = "caseworker", **more: Any) -> Answer:
        body = {"method": "shredded", "by": "Ama Mensah", "witnessed_by": "Li Wei", **more}
        return self.ask("POST", f"/paper-files/{paper_id}/disposal", body, role=role)

    # What the others say, and hear

    def say(self, event_type: EventType, case_id: str, **data: Any) -> None:
        """What the consent service's account says of a case."""
        self.speaker.say(event_type, case_id, **data)

    def freeze(self, case_id: str) -> None:
        self.say(consent.FROZEN, case_id)
        eventually(lambda: self.row("gates", _id=case_id, state="frozen"))

    def begin_erasure(self, case_id: str, request: str | None = None, attempt: int = 1) -> str:
        """`erasure.started` is out."""
        request = request or new_id()
        due_at = (utc_now() + timedelta(days=2)).isoformat()
        more = {"attempt": attempt, "due_at": due_at, "participants": ["document"]}
        self.say(consent.STARTED, case_id, request=request, **more)
        return request

    def erase(self, case_id: str) -> dict[str, Any]:
        """Erase the case here, and the first receipt's claims."""
        request = self.begin_erasure(case_id)
        eventually(lambda: self.receipts(request))
        return self.receipts(request)[0]

    def receipts(self, request: str) -> list[dict[str, Any]]:
        """The claims of the receipts for this request, as the consent service's queue got them."""
        self._hear()
        mine = [event for event in self._heard if event["data"].get("request") == request]
        mine.sort(key=lambda event: int(event["seq"]))
        return [
            jwt.decode(event["data"]["receipt"], options={"verify_signature": False})
            for event in mine
            if event["type"].startswith("erasure.receipt.")
        ]

    def heard(self, event_type: str, case_id: str) -> list[dict[str, Any]]:
        """The events of this type about the case, as the consent service's queue got them, in their order."""
        self._hear()
        mine = [e for e in self._heard if e["type"] == event_type and e["data"]["case"] == case_id]
        return sorted(mine, key=lambda event: int(event["seq"]))

    def _hear(self) -> None:
        path = f"/api/queues/{quote(self.provided.prefix)}/fmn.consent/get"
        body = {"count": 1000, "ackmode": "ack_requeue_false", "encoding": "base64"}
        for message in self.management.call("POST", path, body):
            self._heard.append(json.loads(base64.b64decode(message["payload"])))

    # Inside

    def rows(self, store: str, **where: Any) -> list[dict[str, Any]]:
        with mongo.admin_client(self.stack.places, self.stack.ports) as client:
            return list(client[f"{self.provided.prefix}_document"][store].find(where))

    def row(self, store: str, **where: Any) -> dict[str, Any] | None:
        found = self.rows(store, **where)
        return found[0] if found else None

    def has_key(self, name: str) -> bool:
        with mongo.admin_client(self.stack.places, self.stack.ports) as client:
            keys = client[f"{self.provided.prefix}_document_vault"]["keys"]
            return keys.count_documents({"_id": name}) > 0

    def objects_of(self, case_id: str) -> list[str]:
        """Every object, delete marker and unfinished upload of the case."""
        store, bucket = objects.admin(self.stack.places, self.stack.ports).s3, f"{self.provided.prefix}-document"
        listed = store.list_objects(bucket, f"{case_id}/", recursive=True, include_version=True)
        unfinished = store._list_multipart_uploads(bucket, prefix=f"{case_id}/").uploads
        return [str(o.object_name) for o in listed] + [f"unfinished {u.object_name}" for u in unfinished]

    def opened(self, monkeypatch: pytest.MonkeyPatch) -> Opened[Context]:
        """The service as its own worker opens it, in this process."""
        for name, value in self.provided.env["document"].items():
            monkeypatch.setenv(name, value)
        return service.open("worker")

    def is_clean(self, case_id: str) -> bool:
        """Nothing half-stored: no upload under way, and as many objects as versions."""
        return not self.rows("receiving", case_id=case_id) and len(self.objects_of(case_id)) == len(
            self.rows("versions", case_id=case_id)
        )

    def peak(self) -> int:
        """The most memory the api's worker had since `forget_peak`, in bytes."""
        with open(f"/proc/{self._api_worker()}/status") as status:
            line = next(line for line in status if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

    def forget_peak(self) -> None:
        """Begin the peak anew; who isn't root may not, since a service keeps its memory private, and skips the test."""
        try:
            with open(f"/proc/{self._api_worker()}/clear_refs", "w") as refs:
                refs.write("5")
        except PermissionError:
            pytest.skip("only root may begin the peak of a service's memory anew")

    def signal(self, name: str, number: int) -> None:
        """Send a signal to an api's worker, which does the work, and to its master."""
        process = self.processes[name]
        for pid in children_of(process.pid):
            os.kill(pid, number)
        process.kill(number)

    def _api_worker(self) -> int:
        return children_of(self.processes["document-api"].pid)[0]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def answer_on(connection: socket.socket) -> tuple[int, str]:
    """The status of the answer on a raw connection, and its body; (0, "") when it just ends."""
    connection.settimeout(40)
    raw = b""
    try:
        while piece := connection.recv(65536):
            raw += piece
            head, _, body = raw.partition(b"\r\n\r\n")
            length = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
            if length and len(body) >= int(length[0].split(b":")[1]):
                break
    except ConnectionError:
        pass
    if not raw:
        return 0, ""
    return int(raw.split(b" ", 2)[1]), raw.partition(b"\r\n\r\n")[2].decode()


def children_of(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return [int(child) for child in children.read().split()]
