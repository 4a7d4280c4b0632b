"""The opening letter, and notifications sent on purpose: who gets one, by which way, and never twice."""

from __future__ import annotations

import io
import signal
from typing import Any

import pikepdf
import pytest

from deploy.local.stack import Stack
from shared.ids import new_id
from tests.helpers import PATIENCE_SECONDS, eventually, refused
from tests.service.notifier_rig import Rig, notifier_rig

pytestmark = pytest.mark.xdist_group("notifier")

ADDRESS = ["3 Quince Row", "Marlow Vale", "SL7 1AB"]


@pytest.fixture(scope="module")
def rig(stack: Stack, worker_id: str) -> Rig:
    return notifier_rig(stack, worker_id)


def asked(rig: Rig, case_id: str, person_id: str, **more: Any) -> Any:
    body = {"case_id": case_id, "person_id": person_id, "template": "opening", "values": {}, **more}
    return rig.system.caseworker.post("/notifications", body)


# The opening letter


def test_p18_the_opening_letter_goes_once_to_each_adult_who_agreed(rig: Rig) -> None:
    case_id, parent = rig.a_reachable_case()
    rig.system.a_person(case_id, role="child", date_of_birth="2015-05-05", email=None, phone=None)
    other = rig.system.a_person(case_id, role="carer", given_name="Bohdan")["id"]
    (first,) = rig.has_ended(case_id, "delivered")
    assert (first["person_id"], first["channel"]) == (parent, "letter")
    assert rig.printed(first["id"])
    # The carer agrees too, by name; the parent says yes once more
    rig.system.a_consent(case_id, given_by={"name": "B", "person_id": other, "capacity": "parental_responsibility"})
    rig.system.a_consent(case_id)
    both = rig.has_ended(case_id, "delivered", count=2)
    assert {one["person_id"] for one in both} == {parent, other}
    eventually(rig.is_quiet)
    assert len(rig.notifications(case_id)) == 2


def test_a_letter_waits_until_the_consent_service_has_heard_of_whom_it_goes_to(rig: Rig) -> None:
    case_id = rig.system.an_open_case({"purpose": "casework"})
    behind = rig.system.process("consent-worker")
    behind.kill(signal.SIGSTOP)
    try:
        person = rig.system.a_person(case_id)["id"]
        eventually(lambda: rig.database["steps"].find_one({"case_id": case_id, "attempts": {"$gte": 1}, "lease": None}))
        (waiting,) = rig.notifications(case_id)
        assert (waiting["person_id"], waiting["status"]) == (person, "created")
        # Nobody who writes on purpose is promised that it goes
        refused(asked(rig, case_id, person), 409, "consent-required")
    finally:
        behind.kill(signal.SIGCONT)
    (sent,) = rig.has_ended(case_id, "delivered")
    assert rig.printed(sent["id"])


def test_the_letter_is_an_accessible_pdf_with_the_reference_in_it(rig: Rig) -> None:
    case_id, _ = rig.a_reachable_case()
    (sent,) = rig.has_ended(case_id, "delivered")
    content = (rig.system.provided.post / f"{sent['id']}.pdf").read_bytes()
    with pikepdf.open(io.BytesIO(content)) as pdf, pdf.open_metadata() as told:
        assert (told["pdfaid:part"], told["pdfuaid:part"]) == ("2", "1")
    # What has gone is kept no longer
    refused(rig.system.caseworker.get(f"/notifications/{sent['id']}/content"), 404, "not-found")


def test_nobody_is_written_to_before_they_can_be_reached(rig: Rig) -> None:
    case_id, person = rig.a_reachable_case(address=None, email=None)
    eventually(rig.is_quiet)
    assert rig.notifications(case_id) == []
    path = f"/cases/{case_id}/people/{person}"
    tag = rig.system.caseworker.get(path).headers["ETag"]
    changed = rig.system.caseworker.call("PATCH", path, json={"address": ADDRESS}, headers={"If-Match": tag})
    assert changed.status_code == 200, changed.text
    rig.has_ended(case_id, "delivered")


def test_p17_an_email_goes_to_who_agreed_to_email_and_names_nobody_in_its_subject(rig: Rig) -> None:
    case_id, _ = rig.a_reachable_case("casework", "email", email="zoë.agreed@family.example", preferred_channel="email")
    (sent,) = rig.has_ended(case_id, "delivered")
    assert sent["channel"] == "email"
    assert not rig.printed(sent["id"])
    (mail,) = rig.relay.to("agreed@family.example")
    assert not any(word in mail["Subject"].lower() for word in ("okonkwo", "send", "case", "special"))
    reference = rig.system.caseworker.read(f"/cases/{case_id}")["reference"]
    body = mail.get_body(("plain",))
    assert body is not None
    assert reference in body.get_content()


def test_p18_who_prefers_letters_gets_a_letter(rig: Rig) -> None:
    case_id, _ = rig.a_reachable_case("casework", "email", email="prefers@family.example", preferred_channel="letter")
    (sent,) = rig.has_ended(case_id, "delivered")
    assert sent["channel"] == "letter"
    assert rig.relay.to("prefers@family.example") == []


def test_a_mailbox_that_refuses_falls_back_to_post(rig: Rig) -> None:
    case_id, _ = rig.a_reachable_case("casework", "email", email="refuses.me@family.example")
    (sent,) = rig.has_ended(case_id, "delivered")
    assert sent["channel"] == "letter"
    assert rig.printed(sent["id"])


def test_a_mailbox_that_refuses_where_there_is_no_address_has_failed(rig: Rig) -> None:
    case_id, _ = rig.a_reachable_case("casework", "email", email="refuses.too@family.example", address=None)
    (sent,) = rig.has_ended(case_id, "failed")
    assert sent["reason"] == "refused"


# Waiting


def test_an_email_waits_for_a_relay_that_is_busy_and_can_be_read_until_then(rig: Rig) -> None:
    with rig.busy_relay():
        case_id, _ = rig.a_reachable_case("casework", "email", email="patient@family.example")
        (waits,) = rig.has_ended(case_id, "created")
        path = f"/notifications/{waits['id']}/content"
        shown = eventually(lambda: (a := rig.system.caseworker.get(path)).status_code == 200 and a)
        assert shown.headers["Content-Type"].startswith("text/html")
        assert rig.system.caseworker.read(f"/cases/{case_id}")["reference"] in shown.text
        kept = rig.database["notifications"].find_one({"_id": waits["id"]})
        assert b"Okonkwo" not in bytes(kept["personal"])
    rig.has_ended(case_id, "delivered")
    assert len(rig.relay.to("patient@family.example")) == 1


def test_p13_what_waits_is_cancelled_when_the_consent_goes_and_sent_when_it_comes_back(rig: Rig) -> None:
    case_id, _ = rig.a_reachable_case()
    rig.has_ended(case_id, "delivered")
    other = rig.system.a_person(case_id, role="carer", email="changes.mind@family.example")["id"]
    theirs = {"name": "Bohdan", "person_id": other, "capacity": "parental_responsibility"}
    with rig.busy_relay():
        given = rig.system.a_consent(case_id, {"purpose": "casework"}, {"purpose": "email"}, given_by=theirs)
        rig.has_ended(case_id, "created", count=2)
        # Once the relay has refused it: withdrawn between the questions about casework and email, it would go by post.
        eventually(lambda: rig.database["steps"].find_one({"case_id": case_id, "attempts": {"$gte": 1}, "lease": None}))
        answer = rig.system.caseworker.post(f"/consents/{given['id']}/withdrawal", {"channel": "phone", "by": "carer"})
        assert answer.status_code < 300, answer.text
        stopped = rig.has_ended(case_id, "cancelled", count=2)[-1]
        assert (stopped["person_id"], stopped["reason"]) == (other, "no_consent")
    rig.system.a_consent(case_id, given_by=theirs)
    assert rig.has_ended(case_id, "delivered", count=2)[-1]["id"] == stopped["id"]


def test_p24_what_waits_stops_while_frozen_and_goes_on_when_released(rig: Rig) -> None:
    with rig.busy_relay():
        case_id, person = rig.a_reachable_case("casework", "email", email="frozen@family.example")
        (waits,) = rig.has_ended(case_id, "created")
        request = rig.system.an_erasure(case_id)
        eventually(lambda: asked(rig, case_id, person).status_code == 423)
        refused(asked(rig, case_id, person), 423, "frozen")
        refused(rig.system.caseworker.post(f"/notifications/{waits['id']}/cancellation"), 423, "frozen")
        # What was being tried ends, and isn't tried again
        eventually(rig.is_quiet)
    assert rig.notifications(case_id)[0]["status"] == "created"
    assert rig.relay.to("frozen@family.example") == []
    answer = rig.system.caseworker.post(f"/requests/{request['id']}/withdrawal", {"channel": "phone", "by": "parent"})
    assert answer.status_code == 200, answer.text
    rig.has_ended(case_id, "delivered")


# A crash


def test_a_crash_during_the_hand_over_needs_attention_and_nothing_is_sent_twice(rig: Rig) -> None:
    rig.relay.hung.clear()
    case_id, _ = rig.a_reachable_case("casework", "email", email="hangs.opening@family.example")
    assert rig.relay.hung.wait(PATIENCE_SECONDS)
    # The relay has the whole mail, and nobody has heard its answer
    assert rig.has_ended(case_id, "sending")
    rig.processes["notifier-worker"].kill()
    rig.processes["notifier-worker"].restart()
    (left,) = rig.has_ended(case_id, "needs_attention")
    assert left["reason"] == "hand_over_unknown"
    eventually(rig.is_quiet)
    assert len(rig.relay.to("hangs.opening@family.example")) == 1
    # A person looks, and decides
    answer = rig.system.caseworker.post(f"/notifications/{left['id']}/cancellation")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")


# On purpose


def test_a_letter_sent_on_purpose_goes_beside_the_automatic_one(rig: Rig) -> None:
    case_id, person = rig.a_reachable_case()
    rig.has_ended(case_id, "delivered")
    body = {"case_id": case_id, "person_id": person, "template": "opening", "values": {"reference": "said otherwise"}}
    first = rig.system.caseworker.post("/notifications", body, Idempotency_Key="once")
    again = rig.system.caseworker.post("/notifications", body, Idempotency_Key="once")
    assert first.status_code == again.status_code == 202
    assert first.json() == again.json() == {"id": first.json()["id"], "status": "created"}
    rig.has_ended(case_id, "delivered", count=2)
    shown = rig.system.caseworker.read(f"/notifications/{first.json()['id']}")
    assert shown["person_id"] == person
    assert shown["done_at"]


def test_what_cannot_be_sent_on_purpose_says_why_and_stores_nothing(rig: Rig) -> None:
    case_id, person = rig.a_reachable_case()
    unreachable = rig.system.a_person(case_id, role="carer", address=None, email=None)["id"]
    child = rig.system.a_person(case_id, role="child", date_of_birth="2016-02-29", email=None, phone=None)["id"]
    stranger, no_case = new_id(), new_id()
    rig.has_ended(case_id, "delivered")
    refused(asked(rig, case_id, person, template="last"), 409, "conflict")
    refused(asked(rig, case_id, person, template="review"), 409, "conflict")
    refused(asked(rig, case_id, person, template="unheard-of"), 400, "invalid")
    refused(asked(rig, case_id, stranger), 400, "invalid")
    refused(asked(rig, case_id, child), 409, "conflict")
    refused(asked(rig, case_id, unreachable), 409, "consent-required")
    refused(asked(rig, case_id, person, channel="email"), 409, "consent-required")
    refused(asked(rig, case_id, person, channel="fax"), 400, "invalid")
    refused(asked(rig, case_id, person, values={"nickname": "Zo"}), 400, "invalid")
    refused(asked(rig, case_id, person, values={"opened_on": "yesterday"}), 400, "invalid")
    refused(asked(rig, case_id, person, nickname="Zo"), 400, "invalid")
    refused(asked(rig, no_case, person), 404, "not-found")
    refused(rig.system.manager.post("/notifications", {"case_id": case_id}), 400, "invalid")
    refused(rig.system.auditor.post("/notifications", {}), 403, "forbidden")
    assert len(rig.notifications(case_id)) == 1


def test_p13_the_consent_service_out_of_reach_means_no(rig: Rig) -> None:
    case_id, person = rig.a_reachable_case()
    rig.has_ended(case_id, "delivered")
    rig.processes["consent-api"].kill()
    try:
        answer = asked(rig, case_id, person)
        refused(answer, 503, "unavailable")
        assert answer.headers["Retry-After"]
    finally:
        rig.processes["consent-api"].restart()
    assert len(rig.notifications(case_id)) == 1


def test_p21_post_that_came_back_is_noted_and_nothing_else_can_come_back(rig: Rig) -> None:
    case_id, _ = rig.a_reachable_case()
    (sent,) = rig.has_ended(case_id, "delivered")
    path = f"/notifications/{sent['id']}"
    refused(rig.system.caseworker.post(f"{path}/cancellation"), 409, "conflict")
    answer = rig.system.caseworker.post(f"{path}/returned")
    assert (answer.status_code, answer.json()["status"]) == (200, "returned")
    refused(rig.system.caseworker.post(f"{path}/returned"), 409, "conflict")
    refused(rig.system.caseworker.post(f"{path}/returned", {"note": "moved"}), 400, "invalid")
    assert rig.system.caseworker.call("POST", f"{path}/returned").status_code == 409
    refused(rig.system.caseworker.get(f"/notifications/{new_id()}"), 404, "not-found")
    refused(rig.system.caseworker.get("/notifications/not-an-id"), 404, "not-found")


# Templates


def test_p16_a_template_is_shown_with_sample_or_own_values(rig: Rig) -> None:
    names = {one["name"]: one for one in rig.system.manager.read("/templates")["items"]}
    assert set(names) == {"opening", "last", "review", "review_reminder"}
    assert names["last"]["fields"]["asked_on"] == "date"
    for name in names:
        pdf = rig.system.manager.post(f"/templates/{name}/preview")
        assert (pdf.status_code, pdf.headers["Content-Type"]) == (200, "application/pdf")
        assert pdf.content.startswith(b"%PDF-")
    html = rig.system.manager.post(
        "/templates/opening/preview", {"channel": "email", "values": {"reference": "<b>ZZ9 & co</b>"}}
    )
    assert html.headers["Content-Type"].startswith("text/html")
    assert "&lt;b&gt;ZZ9 &amp; co&lt;/b&gt;" in html.text
    refused(rig.system.manager.post("/templates/unheard-of/preview"), 404, "not-found")
    for values in ({"x": 1}, {"asked_on": "soon"}, {"request": ""}):
        refused(rig.system.manager.post("/templates/last/preview", {"values": values}), 400, "invalid")
    refused(rig.system.caseworker.post("/templates/last/preview"), 403, "forbidden")
    assert rig.system.manager.get("/print-queue").status_code == 404
