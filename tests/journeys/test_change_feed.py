"""An app follows the change feeds of the four services instead of asking for every case, and drops what was erased."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.local.mongo import admin_client
from shared.clock import utc_now
from shared.events import SERVICES
from shared.ids import new_id
from tests.helpers import eventually, refused
from tests.system import Caller, System

pytestmark = pytest.mark.xdist_group("feed")


class App:
    """An app that follows every feed, as one caller; told: (kind, id, what) of each case, by service."""

    def __init__(self, caller: Caller, *services: str) -> None:
        self._caller = caller
        self._after = {service: self.ask(service, after="now")["next"] for service in services or SERVICES}
        self.told: dict[str, list[dict[str, Any]]] = {service: [] for service in SERVICES}

    def ask(self, service: str, **query: Any) -> dict[str, Any]:
        return self._caller.read(f"{service}:/v1/changes", **query)

    def follow(self, service: str) -> list[dict[str, Any]]:
        """Everything that the feed of this service has told so far."""
        answer = self.ask(service, after=self._after[service])
        self._after[service] = answer["next"]
        self.told[service] += answer["items"]
        return self.told[service]

    def is_told(self, service: str, case_id: str, kind: str, *whats: str, id: str | None = None) -> bool:
        return any(
            (item["kind"], item["case_id"]) == (kind, case_id)
            and (not whats or item["what"] in whats)
            and id in (None, item["id"])
            for item in self.follow(service)
        )

    def hears(self, service: str, case_id: str, kind: str, *whats: str, id: str | None = None) -> None:
        what = f"{service} tells of {kind} {id or ''} {whats}"
        eventually(lambda: self.is_told(service, case_id, kind, *whats, id=id), what=what)


def test_each_service_tells_what_changed_in_a_case_until_it_was_erased(system: System) -> None:
    app, worker = App(system.caseworker), system.caseworker
    case_id = system.a_shell()
    app.hears("case", case_id, "case", "created", id=case_id)
    # What comes of events is told too
    consent = system.a_consent(case_id, {"purpose": "casework"}, {"purpose": "email"})
    app.hears("consent", case_id, "consent", "created", id=consent["id"])
    app.hears("case", case_id, "case", "changed", id=case_id)
    person = system.a_person(case_id)
    app.hears("case", case_id, "person", "created", id=person["id"])
    app.hears("notifier", case_id, "notification")
    entry = worker.made(f"/cases/{case_id}/entries", {"kind": "note", "text": "They rang."})
    app.hears("case", case_id, "entry", "created", id=entry["id"])
    document = system.a_scan(case_id).json()
    app.hears("document", case_id, "document", "created", id=document["id"])
    paper = worker.made(f"/cases/{case_id}/paper-files", {"location": "Shelf 3", "description": "Plans"})
    app.hears("document", case_id, "paper_file", "created", id=paper["id"])
    other = system.a_person(case_id, role="carer", given_name="Bo", email="bo@family.example")
    tag = worker.get(f"/cases/{case_id}/people/{other['id']}").headers["ETag"]
    assert worker.call("DELETE", f"/cases/{case_id}/people/{other['id']}", headers={"If-Match": tag}).status_code == 204
    app.hears("case", case_id, "person", "removed", id=other["id"])
    tag = worker.get(f"/documents/{document['id']}").headers["ETag"]
    assert worker.call("DELETE", f"/documents/{document['id']}", headers={"If-Match": tag}).status_code == 204
    app.hears("document", case_id, "document", "removed", id=document["id"])
    # A withdrawal is told of its consent
    withdrawn = {"channel": "phone", "by": "worker-one", "purposes": [{"purpose": "email"}]}
    assert worker.post(f"/consents/{consent['id']}/withdrawal", withdrawn).status_code in (200, 201)
    app.told["consent"].clear()
    app.hears("consent", case_id, "consent", id=consent["id"])

    # When an erasure is asked for, every service says that the case changed
    request = system.an_erasure(case_id)
    app.hears("consent", case_id, "request", id=request["id"])
    for service in SERVICES:
        app.hears(service, case_id, "case", "changed", id=case_id)
    disposal = {"method": "shredded", "by": "worker-one", "witnessed_by": "worker-two"}
    system.confirm(request["id"])
    # And once it has begun, that it is erased
    for service in SERVICES:
        app.hears(service, case_id, "case", "erased", id=case_id)
    eventually(lambda: system.colleague.post(f"/paper-files/{paper['id']}/disposal", disposal).status_code == 200)
    eventually(lambda: system.is_completed(request["id"]))

    # Then an app that begins anew is told of nothing else of it, but of the request
    for service in SERVICES:
        told = [item for item in everything(app, service) if item["case_id"] == case_id]
        assert [(item["kind"], item["what"]) for item in told if item["kind"] != "request"] == [("case", "erased")]
        assert {item["id"] for item in told} <= {case_id, request["id"]}


def everything(app: App, service: str) -> list[dict[str, Any]]:
    """All that a feed tells from the beginning, once through."""
    items: list[dict[str, Any]] = []
    answer = app.ask(service, limit=200)
    while answer["items"]:
        items += answer["items"]
        if len(answer["items"]) < 200:
            return items
        answer = app.ask(service, limit=200, after=answer["next"])
    return items


def test_nothing_is_told_but_ids_kinds_and_times(system: System) -> None:
    app = App(system.caseworker)
    case_id = system.an_open_case()
    person = system.a_person(case_id)
    app.hears("case", case_id, "person", id=person["id"])
    for item in app.told["case"]:
        assert set(item) == {"id", "kind", "case_id", "at", "what"}
        assert item["at"].endswith("Z")


@pytest.mark.parametrize("service", SERVICES)
def test_each_role_is_told_of_what_it_may_read_and_no_more(system: System, service: str) -> None:
    path = f"{service}:/v1/changes"
    assert system.caller("service").get(path).status_code in (401, 403)
    statuses = {"auditor": system.auditor.get(path).status_code, "dpo": system.data_protection.get(path).status_code}
    assert statuses == dict.fromkeys(statuses, 200 if service == "consent" else 403)


def test_only_those_who_hold_are_told_of_a_hold(system: System) -> None:
    case_id = system.an_open_case()
    mine, theirs, auditors = (App(one, "consent") for one in (system.manager, system.caseworker, system.auditor))
    body = {"case_id": case_id, "ground": "legal_claim", "until": "2099-01-01", "reason": "A claim was announced."}
    hold = system.manager.made("/holds", body)
    mine.hears("consent", case_id, "hold", "created", id=hold["id"])
    assert system.manager.call("DELETE", f"/holds/{hold['id']}", headers={"If-Match": "*"}).status_code == 204
    mine.hears("consent", case_id, "hold", "removed", id=hold["id"])
    for others in (theirs, auditors):
        assert not others.is_told("consent", case_id, "hold")


@pytest.mark.parametrize("service", SERVICES)
def test_a_cursor_of_another_service_or_made_up_is_refused(system: System, service: str) -> None:
    app = App(system.caseworker)
    other = SERVICES[(SERVICES.index(service) + 1) % len(SERVICES)]
    theirs = app.ask(other, after="now")["next"]
    for wrong in (theirs, "Zoë", "A" * 38, ""):
        refused(system.caseworker.get(f"{service}:/v1/changes", after=wrong), 400, "invalid", "after")
    refused(system.caseworker.get(f"{service}:/v1/changes", limit=201), 400, "invalid", "limit")
    refused(system.caseworker.get(f"{service}:/v1/changes", cursor=theirs), 400, "invalid", "cursor")


def test_an_answer_with_nothing_in_it_leaves_no_audit_row_and_one_with_something_does(system: System) -> None:
    caller = system.caller("caseworker", sub="app-that-polls")
    path = "document:/v1/changes"
    case_id = system.an_open_case()
    begun = caller.read(path, after="now")["next"]
    system.a_scan(case_id)
    eventually(lambda: caller.read(path, after=begun)["items"])
    system.caller("person").get(path)
    rows = system.auditor.read("/audit/document", limit=200, **{"from": "2020-01-01T00:00:00Z"})["items"]
    mine = [row for row in rows if row["sub"] == "app-that-polls" and row["action"].startswith("changes.")]
    assert {row["outcome"] for row in mine} == {"done"}
    empty = caller.read("notifier:/v1/changes", after="now")
    assert empty["items"] == []
    theirs = system.auditor.read("/audit/notifier", limit=200)["items"]
    assert [row for row in theirs if row["sub"] == "app-that-polls"] == []


def test_after_a_restore_a_cursor_from_before_it_is_refused_until_the_app_begins_anew(system: System) -> None:
    caller, path = system.caseworker, "document:/v1/changes"
    before = caller.read(path)["next"]
    restore = {"_id": new_id(), "archive": "0" * 64, "began_at": utc_now(), "done_at": utc_now()}
    with admin_client(system.stack.places, system.stack.ports) as client:
        restores = client[f"{system.provided.prefix}_document"]["restores"]
        restores.insert_one(restore)
        try:
            refused(caller.get(path, after=before), 410, "start-again")
            anew = caller.read(path, limit=1)
            assert caller.read(path, after=anew["next"])["next"]
        finally:
            restores.delete_one({"_id": restore["_id"]})


def test_asked_again_with_the_same_cursor_the_answer_is_as_before_and_next_is_never_null(system: System) -> None:
    app = App(system.caseworker)
    first = app.ask("case", after="now")
    system.a_shell()
    found = app.ask("case", after=first["next"])
    assert found["items"]
    again = app.ask("case", after=first["next"])
    assert [item["id"] for item in again["items"]][: len(found["items"])] == [item["id"] for item in found["items"]]
    assert found["next"]
    assert app.ask("case", after=again["next"], limit=1)["next"]
