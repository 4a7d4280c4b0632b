"""P28: outside the world it was sent to, nothing of a family is readable: logs, messages, databases, objects."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from bson import encode

from deploy.local import objects
from shared.clock import utc_now
from shared.events import SERVICES
from shared.ids import new_id
from tests import samples
from tests.helpers import eventually
from tests.journeys.test_p24_forgotten import letters_to
from tests.races.inside import Inside, an_inside
from tests.system import System


@pytest.fixture(scope="module")
def inside(system: System) -> Iterator[Inside]:
    with an_inside(system) as opened:
        yield opened


FAMILY = {
    "given": "Þórgunnur",
    "name": "Brzęczyszczykiewicz-Ó Súilleabháin",
    "child": "Näytönohjain",
    "street": "731 Quetzalcoatl Gardens",
    "town": "Llanfairpwllgwyn",
    "email": "thorgunnur.b@qzxfamily.example",
    "phone": "07700 900731",
    "wish": "wishes for a quokka-therapy zxcvbnm lesson",
    "note": "spoke of her brother's asthma-mnbvcxz",
    "evidence": "she said so on the telephone-qazwsx",
    "paper": "purple-folder-edcrfv",
    "place": "cabinet-tgbyhn-9",
    "title": "Plan-of-ujmikol.pdf",
    "organisation": "Ysgol Wqertyuiop",
    "hold": "tribunal-poiuytrewq",
    "who": "Auntie Lkjhgfdsa",
}


def forms(text: str) -> list[bytes]:
    """The bytes by which the text could be read somewhere."""
    raw = text.encode()
    found = [raw, text.encode("utf-16-le"), text.encode("utf-16-be"), quote(text, safe="").encode()]
    found.append(json.dumps(text)[1:-1].encode())
    for pad, skip in ((0, 0), (1, 2), (2, 3)):
        coded = base64.b64encode(b"\0" * pad + raw).rstrip(b"=")
        found.append(coded[skip : -1 if (pad + len(raw)) % 3 else None])
    return [form for form in found if len(form) >= 6]


FORMS = {name: forms(text) for name, text in FAMILY.items()}


def told_by(where: str, content: bytes, scan: bytes) -> list[str]:
    said = [f"{where}: {name}" for name, all_forms in FORMS.items() if any(form in content for form in all_forms)]
    return [*said, f"{where}: the scan"] if scan in content else said


def everything_inside(system: System, inside: Inside, messages: list[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    stack = system.stack
    for folder in (stack.places.logs, system.provided.run, Path(system.provided.env["consent"]["FMN_LEDGER_COPY"])):
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                yield str(path), path.read_bytes()
    for number, (key, body) in enumerate(messages):
        yield f"message {number} {key}", body
    for database in inside.mongo.list_database_names():
        if database.startswith(f"{inside.names}_"):
            for store in inside.mongo[database].list_collection_names():
                for row in inside.mongo[database][store].find():
                    yield f"{database}.{store}", encode(row)
    s3 = objects.admin(stack.places, stack.ports).s3
    for item in s3.list_objects(f"{inside.names}-document", recursive=True, include_version=True):
        name = str(item.object_name)
        yield f"key {name}", name.encode()
        if item.size is not None and not item.is_delete_marker:
            with s3.get_object(item.bucket_name, name, version_id=item.version_id) as answer:
                yield f"object {name}", answer.read()
    for service in SERVICES:
        metrics = system.caseworker.call("GET", f"{service}:/metrics")
        assert metrics.status_code == 200
        yield f"metrics of {service}", metrics.content


def read_by_anybody(system: System, inside: Inside, messages: list[tuple[str, bytes]], scan: bytes) -> list[str]:
    looked_at = list(everything_inside(system, inside, messages))
    assert len(looked_at) > 50
    return sorted({said for where, content in looked_at for said in told_by(where, content, scan)})


def test_p28_nothing_of_a_family_is_readable_before_or_after_it_is_forgotten(system: System, inside: Inside) -> None:
    f, worker = FAMILY, system.caseworker
    scan = samples.jpeg(seed=731)
    with inside.listening() as heard:
        # Given all that a family can tell, in a whole story
        before = set(system.provided.post.glob("*.pdf"))
        organisation = worker.made("/organisations", {"name": f["organisation"], "kind": "school"})["id"]
        case_id = system.a_shell()
        given_by = {"name": f"{f['given']} {f['name']}", "capacity": "other", "basis": f"{f['who']}, {f['evidence']}"}
        purposes = [{"purpose": "casework"}, {"purpose": "obtain_documents", "party": organisation}]
        system.a_consent(case_id, *purposes, given_by=given_by)
        eventually(lambda: worker.read(f"/cases/{case_id}")["state"] == "open")
        named = {"given_name": f["given"], "family_name": f["name"]}
        address = [f["street"], f["town"], "SW1A 1AA"]
        system.a_person(case_id, **named, address=address, email=f["email"], phone=f["phone"])
        nobody = {"address": None, "email": None, "phone": None}
        child = {**nobody, "given_name": f["child"], "family_name": f["name"], "date_of_birth": "2015-02-28"}
        system.a_person(case_id, role="child", **child)
        for kind, text in (("wish", f["wish"]), ("note", f["note"])):
            worker.post(f"/cases/{case_id}/entries", {"kind": kind, "text": text}, Idempotency_Key=new_id())
        assert system.a_scan(case_id, scan, title=f["title"], source=organisation).status_code == 201
        paper = worker.made(f"/cases/{case_id}/paper-files", {"location": f["place"], "description": f["paper"]})["id"]
        lent = {"direction": "out", "who": f["who"], "reason": f["note"]}
        assert worker.post(f"/paper-files/{paper}/movements", lent).status_code == 200
        eventually(lambda: letters_to(system, before))
        # And all the ways to say it wrongly
        assert (
            worker.post("/cases/search", {"family_name": f["name"], "date_of_birth": "2015-02-28"}).status_code == 200
        )
        for body in ({"family_name": f["name"]}, {f["name"]: f["street"]}, {"email": f["email"], "phone": f["phone"]}):
            assert worker.post("/cases/search", body).status_code == 400
        for path in (f"/cases/{quote(f['name'])}", f"/documents/{quote(f['title'])}"):
            assert worker.get(path).status_code == 404
        worker.get(f"/cases/{case_id}/people", name=f["name"])
        worker.call("POST", f"/cases/{case_id}/entries", data=f'{{"text": "{f["note"]}'.encode())
        worker.post("/cases", {"channel": f["name"]}, Idempotency_Key=new_id())
        system.with_token(system.token("caseworker", sub="worker-one")[:-4] + "AAAA").post("/cases", {"x": f["name"]})
        hold = {"case_id": case_id, "ground": "legal_claim", "until": "2099-12-31", "reason": f["hold"]}
        held = system.manager.post("/holds", hold)
        made_by = {"name": f["who"], "authority": "representative", "basis": f["evidence"]}
        received = (utc_now() - timedelta(days=3)).isoformat()
        late = {"received_at": received, "late_reason": f["note"], "note": f["wish"]}
        request = system.an_erasure(case_id, made_by=made_by, **late)["id"]
        # Then nobody reads it, while it is held
        assert read_by_anybody(system, inside, heard(), scan[100:164]) == []
        # Nor once it is forgotten
        path, etag = f"/holds/{held.json()['id']}", held.headers["ETag"]
        assert system.manager.call("DELETE", path, headers={"If-Match": etag}).status_code == 204
        system.confirm(request)
        eventually(lambda: system.waits_on(request) == ["paper"])
        shredded = {"method": "shredded", "by": f["who"], "witnessed_by": f["given"]}
        assert worker.post(f"/paper-files/{paper}/disposal", shredded).status_code in (200, 201)
        inside.completes(request)
        assert inside.left_of(case_id) == []
        assert read_by_anybody(system, inside, heard(), scan[100:164]) == []
        # And the same search does find what is readable
        canaries = inside.mongo[f"{inside.names}_case"]["canaries"]
        try:
            canaries.insert_one(
                {"text": f["wish"], "scan": scan[:200], "coded": base64.b64encode(b"12" + f["child"].encode())}
            )
            told = read_by_anybody(
                system, inside, [("canary", json.dumps({"x": f["town"] + f["given"]}).encode())], scan[100:164]
            )
            assert {said.rpartition(": ")[2] for said in told} == {"wish", "the scan", "child", "town", "given"}
        finally:
            canaries.drop()
