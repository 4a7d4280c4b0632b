"""The last letter: sealed before the erasure, sent once it is proven, and never twice."""

from __future__ import annotations

from datetime import timedelta

import pytest

from deploy.local.stack import Stack
from shared.clock import utc_now
from shared.events import consent
from shared.ids import new_id
from tests.helpers import PATIENCE_SECONDS, eventually
from tests.service.notifier_rig import Rig, notifier_rig

pytestmark = pytest.mark.xdist_group("notifier")


@pytest.fixture(scope="module")
def rig(stack: Stack, worker_id: str) -> Rig:
    return notifier_rig(stack, worker_id)


def a_paper_file(rig: Rig, case_id: str) -> str:
    """Paper that an erasure waits for: its id."""
    body = {"location": "cabinet", "description": "a folder"}
    return str(rig.system.caseworker.made(f"/cases/{case_id}/paper-files", body)["id"])


def shred(rig: Rig, paper_file: str) -> None:
    body = {"method": "shredded", "by": "worker one", "witnessed_by": "worker two"}
    answer = rig.system.caseworker.post(f"/paper-files/{paper_file}/disposal", body)
    assert answer.status_code < 300, answer.text


def a_confirmed_erasure(rig: Rig, case_id: str) -> str:
    request = str(rig.system.an_erasure(case_id)["id"])
    rig.system.confirm(request)
    return request


def prepare(rig: Rig, case_id: str, request: str) -> None:
    rig.say(consent.PREPARING, case_id, request=request, received_at=utc_now().isoformat())


def outcome(rig: Rig, request: str) -> str:
    """The outcome that the row tells, once the erasure is completed."""
    eventually(lambda: rig.system.is_completed(request))
    return str(rig.last_letter(request)["outcome"])


def nothing_is_left(rig: Rig, request: str) -> bool:
    return rig.sealed(request) == [] and not rig.has_letter_key(request)


def test_p24_it_is_sealed_first_and_goes_only_when_all_is_proven(rig: Rig) -> None:
    case_id, _ = rig.a_reachable_case()
    (opening,) = rig.has_ended(case_id, "delivered")
    paper = a_paper_file(rig, case_id)
    before = rig.post
    # When the erasure has begun and still waits for paper
    request = a_confirmed_erasure(rig, case_id)
    eventually(lambda: rig.system.waits_on(request) == ["paper"])
    # Then the letter is sealed, nothing else is left, and it hasn't gone
    (sealed,) = rig.sealed(request)
    assert b"Okonkwo" not in bytes(sealed["personal"])
    assert rig.post == before
    assert rig.database["notifications"].count_documents({"case_id": case_id}) == 0
    assert rig.system.caseworker.get(f"/notifications/{opening['id']}").status_code == 404
    receipts = rig.system.auditor.read(f"/requests/{request}/receipts")["items"]
    assert [one["late"] for one in receipts if one["service"] == "notifier"] == [["sealed_letters"]]
    # And with the paper gone it goes, and so do it and its key
    shred(rig, paper)
    assert outcome(rig, request) == "sent"
    assert len(rig.post - before) == 1
    assert nothing_is_left(rig, request)
    receipts = rig.system.auditor.read(f"/requests/{request}/receipts")["items"]
    assert [one["late"] for one in receipts if one["service"] == "notifier"] == [["sealed_letters"], []]


def test_it_goes_by_email_to_who_agreed_to_email_and_by_post_where_the_mailbox_refuses(rig: Rig) -> None:
    case_id, _ = rig.a_reachable_case("casework", "email", email="farewell@family.example")
    rig.has_ended(case_id, "delivered")
    other = rig.system.a_person(case_id, role="carer", given_name="Bohdan", email="refuses.all@family.example")["id"]
    given_by = {"name": "B", "person_id": other, "capacity": "parental_responsibility"}
    rig.system.a_consent(case_id, {"purpose": "casework"}, {"purpose": "email"}, given_by=given_by)
    rig.has_ended(case_id, "delivered", count=2)
    before = rig.post
    request = a_confirmed_erasure(rig, case_id)
    assert outcome(rig, request) == "sent"
    mails = rig.relay.to("farewell@family.example")
    assert len(mails) == 2
    words = mails[-1].get_body(("plain",))
    assert words is not None
    assert request in words.get_content()
    assert "forgotten" not in mails[-1]["Subject"].lower()
    assert len(rig.post - before) == 1
    assert rig.last_letter(request)["ended"] == ["sent", "sent"]


def test_it_goes_by_the_consents_as_they_stood_before_the_request(rig: Rig) -> None:
    case_id = rig.system.a_shell()
    given = rig.system.a_consent(case_id)
    eventually(lambda: rig.system.caseworker.read(f"/cases/{case_id}")["state"] == "open")
    rig.system.a_person(case_id)
    rig.has_ended(case_id, "delivered")
    before = rig.post
    request = str(rig.system.an_erasure(case_id)["id"])
    answer = rig.system.caseworker.post(f"/consents/{given['id']}/withdrawal", {"channel": "phone", "by": "parent"})
    assert answer.status_code < 300, answer.text
    eventually(lambda: rig.database["projections"].find_one({"_id": case_id})["standing"] == [])
    rig.system.confirm(request)
    assert outcome(rig, request) == "sent"
    assert len(rig.post - before) == 1


def test_a_case_with_nobody_to_write_to_is_forgotten_without_a_letter(rig: Rig) -> None:
    case_id = rig.system.an_open_case()
    request = a_confirmed_erasure(rig, case_id)
    assert outcome(rig, request) == "nobody"


def test_a_crash_during_the_hand_over_is_unknown_and_nothing_is_sent_twice(rig: Rig) -> None:
    case_id, _ = rig.a_reachable_case(address=["9 Elm Court", "Marlow Vale", "SL7 1AB"])
    rig.has_ended(case_id, "delivered")
    rig.system.a_consent(case_id, {"purpose": "casework"}, {"purpose": "email"})
    person = rig.system.caseworker.read(f"/cases/{case_id}/people")["items"][0]["id"]
    path = f"/cases/{case_id}/people/{person}"
    tag = rig.system.caseworker.get(path).headers["ETag"]
    email = {"email": "hangs.last@family.example"}
    assert rig.system.caseworker.call("PATCH", path, json=email, headers={"If-Match": tag}).status_code == 200
    eventually(rig.is_quiet)
    rig.relay.hung.clear()
    before = rig.post
    request = a_confirmed_erasure(rig, case_id)
    assert rig.relay.hung.wait(PATIENCE_SECONDS)
    assert rig.sealed(request)[0]["state"] == "sending"
    rig.processes["notifier-worker"].kill()
    rig.processes["notifier-worker"].restart()
    assert outcome(rig, request) == "unknown"
    assert len(rig.relay.to("hangs.last@family.example")) == 1
    assert rig.post == before
    assert nothing_is_left(rig, request)


def test_nothing_is_erased_while_something_is_being_handed_over(rig: Rig) -> None:
    rig.relay.hung.clear()
    case_id, _ = rig.a_reachable_case("casework", "email", email="hangs.then.leaves@family.example")
    assert rig.relay.hung.wait(PATIENCE_SECONDS)
    (going,) = rig.has_ended(case_id, "sending")
    # When it is erased at that moment, the notifier's walk waits for the outcome
    request = a_confirmed_erasure(rig, case_id)
    eventually(lambda: rig.system.waits_on(request) == ["notifier"])
    assert rig.database["notifications"].count_documents({"_id": going["id"]}) == 1
    # And a crash of that hand-over is an outcome too
    rig.processes["notifier-worker"].kill()
    rig.processes["notifier-worker"].restart()
    assert outcome(rig, request) == "sent"
    assert rig.database["notifications"].count_documents({"_id": going["id"]}) == 0
    # The opening email and the last one, neither twice
    assert len(rig.relay.to("hangs.then.leaves@family.example")) == 2


def test_a_manager_settles_one_that_cannot_go(rig: Rig) -> None:
    with rig.busy_relay():
        case_id, _ = rig.a_reachable_case("casework", "email", email="stuck@family.example", address=None)
        rig.has_ended(case_id, "created")
        request = a_confirmed_erasure(rig, case_id)
        eventually(lambda: rig.system.waits_on(request) == ["letter"] and rig.last_letter(request).get("tries"))
        body = {"outcome": "undeliverable", "reason": "the mailbox is full for days"}
        answer = rig.system.manager.post(f"/requests/{request}/last-letter", body)
        assert answer.status_code == 200, answer.text
        assert outcome(rig, request) == "undeliverable"
        assert nothing_is_left(rig, request)
    eventually(rig.is_quiet)
    assert rig.relay.to("stuck@family.example") == []


# What the coordinator may say in any order, and more than once


def test_a_cancelled_request_is_never_sealed_again(rig: Rig) -> None:
    case_id, _ = rig.a_reachable_case()
    rig.has_ended(case_id, "delivered")
    before, request = rig.post, new_id()
    prepare(rig, case_id, request)
    eventually(lambda: rig.sealed(request))
    assert rig.has_letter_key(request)
    prepare(rig, case_id, request)
    rig.say(consent.CANCELLED, case_id, request=request)
    eventually(lambda: nothing_is_left(rig, request))
    prepare(rig, case_id, request)
    rig.say(consent.CANCELLED, case_id, request=request)
    eventually(rig.is_quiet)
    assert nothing_is_left(rig, request)
    assert rig.last_letter(request)["state"] == "cancelled"
    assert rig.post == before


def test_a_cancellation_that_comes_first_is_remembered(rig: Rig) -> None:
    case_id, _ = rig.a_reachable_case()
    rig.has_ended(case_id, "delivered")
    request = new_id()
    rig.say(consent.CANCELLED, case_id, request=request)
    eventually(lambda: rig.last_letter(request))
    prepare(rig, case_id, request)
    eventually(rig.is_quiet)
    assert rig.last_letter(request)["state"] == "cancelled"
    assert nothing_is_left(rig, request)


def test_what_has_not_gone_in_time_is_destroyed_unsent(rig: Rig) -> None:
    case_id, _ = rig.a_reachable_case()
    rig.has_ended(case_id, "delivered")
    before, request = rig.post, new_id()
    prepare(rig, case_id, request)
    eventually(lambda: rig.sealed(request))
    over = (utc_now() - timedelta(seconds=1)).isoformat()
    rig.say(consent.VERIFIED, case_id, request=request, due_at=over)
    eventually(lambda: rig.last_letter(request)["outcome"] == "undeliverable")
    eventually(lambda: nothing_is_left(rig, request))
    rig.say(consent.VERIFIED, case_id, request=request, due_at=over)
    eventually(rig.is_quiet)
    assert rig.last_letter(request)["ended"] == ["undeliverable"]
    assert rig.post == before
