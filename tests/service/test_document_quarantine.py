"""Quarantine over real servers: the office's list, lifting with consent, release, return (P11)."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from typing import Any

import pytest

from deploy.local.stack import Stack
from services.document.actions.quarantine import take_up_older
from shared.clock import utc_now
from shared.events import consent
from shared.ids import new_id
from tests import samples
from tests.helpers import eventually, problem, refused, rewrite
from tests.service.document_rig import Answer, Rig, rig_on

pytestmark = pytest.mark.xdist_group("document")

RETURN = {"to": "Marlow Vale Primary, Ms Ødegård", "by": "Ama Mensah"}


@pytest.fixture(scope="module")
def rig(stack: Stack, worker_id: str) -> Rig:
    return rig_on(stack, worker_id)


@pytest.fixture
def case_id(rig: Rig) -> str:
    return rig.a_case()


def listed(rig: Rig, **query: str) -> list[dict[str, Any]]:
    """The whole list, page by page."""
    found: list[dict[str, Any]] = []
    asked = "&".join(f"{name}={value}" for name, value in {"state": "quarantined", "limit": "2", **query}.items())
    cursor = ""
    while True:
        answer = rig.ask("GET", f"/documents?{asked}{cursor}")
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        if answer.json()["next"] is None:
            return found
        cursor = f"&cursor={answer.json()['next']}"


def state_of(rig: Rig, document_id: str) -> tuple[str, str | None]:
    shown = rig.ask("GET", f"/documents/{document_id}").json()
    return shown["state"], shown["reason"]


def release(rig: Rig, document_id: str, *, role: str = "manager", **headers: str) -> Answer:
    body = {"reason": "The family agreed by letter; Żaneta has it."}
    return rig.ask("POST", f"/documents/{document_id}/release", body, role=role, **headers)


def give_back(rig: Rig, document_id: str, *, role: str = "caseworker", **headers: str) -> Answer:
    return rig.ask("POST", f"/documents/{document_id}/return", RETURN, role=role, **headers)


def hear_of_consent(rig: Rig, case_id: str, party: str) -> None:
    """What the consent service says once it has recorded a consent; the rig's own events are newer than its first."""
    standing = [
        {"consent": new_id(), "purpose": "casework"},
        {"consent": new_id(), "purpose": "obtain_documents", "party": party},
    ]
    rig.say(consent.GIVEN, case_id, consent=new_id(), standing=standing)


# Listing


def test_p11_the_office_lists_what_is_in_quarantine_and_why(rig: Rig) -> None:
    school = rig.an_organisation()
    cases = [rig.a_case() for _ in range(3)]
    closed = [rig.filed(case_id, source=school, title="Zoë’s report")["id"] for case_id in cases]
    open_too = rig.filed(cases[0])
    mine = [one for one in listed(rig) if one["id"] in closed]
    assert [one["id"] for one in mine] == closed
    assert {(one["state"], one["reason"], one["title"]) for one in mine} == {
        ("quarantined", "no_consent", "Zoë’s report")
    }
    assert set(closed) <= {one["id"] for one in listed(rig, reason="no_consent")}
    assert listed(rig, reason="malware") == []
    assert (open_too["state"], open_too["reason"], open_too["history"]) == ("accepted", None, [])
    assert open_too["id"] not in {one["id"] for one in listed(rig)}
    history = mine[0]["history"]
    assert [(one["what"], one["reason"], one["version"], one["by"]) for one in history] == [
        ("quarantined", "no_consent", 1, None)
    ]
    # One whose erasure has begun is in no list any more
    rig.erase(cases[1])
    assert [one["id"] for one in listed(rig) if one["id"] in closed] == [closed[0], closed[2]]


def test_the_list_is_for_those_who_read_casework_and_takes_only_states_that_it_knows(rig: Rig) -> None:
    for role in ("manager", "safeguarding_lead", "app"):
        assert rig.ask("GET", "/documents?state=quarantined", role=role).status_code == 200
    for role in ("auditor", "data_protection"):
        assert problem(rig.ask("GET", "/documents?state=quarantined", role=role)) == (403, "forbidden")
    for query, field in (("", "state"), ("?state=lost", "state"), ("?state=quarantined&reason=age", "reason")):
        refused(rig.ask("GET", f"/documents{query}"), 400, "invalid", field)


# Lifting


def test_p11_quarantine_lifts_by_itself_when_the_familys_consent_arrives(rig: Rig, case_id: str) -> None:
    school, council = rig.an_organisation(), rig.an_organisation()
    scan = samples.pdf_scan(2)
    waiting = rig.filed(case_id, scan, source=school)
    other = rig.filed(case_id, source=council)
    rig.consent_to_obtain(case_id, school)
    hear_of_consent(rig, case_id, school)
    eventually(lambda: state_of(rig, waiting["id"]) == ("accepted", None))
    assert rig.ask("GET", f"/documents/{waiting['id']}/content").content == scan
    history = rig.ask("GET", f"/documents/{waiting['id']}").json()["history"]
    assert [(one["what"], one["by"]) for one in history] == [("quarantined", None), ("lifted", None)]
    assert state_of(rig, other["id"]) == ("quarantined", "no_consent")
    # And once that consent is withdrawn, what was obtained while it stood stays open
    rig.say_casework(case_id, given=False)
    assert state_of(rig, waiting["id"]) == ("accepted", None)
    assert rig.ask("GET", f"/documents/{waiting['id']}/content").content == scan


def test_p11_a_consent_to_another_kind_lifts_nothing(rig: Rig, case_id: str) -> None:
    school = rig.an_organisation()
    report, letter = rig.filed(case_id, source=school), rig.filed(case_id, source=school, kind="letter")
    rig.consent_to_obtain(case_id, school, "letter")
    hear_of_consent(rig, case_id, school)
    eventually(lambda: state_of(rig, letter["id"]) == ("accepted", None))
    assert state_of(rig, report["id"]) == ("quarantined", "no_consent")


def test_p11_while_the_consent_service_is_away_nothing_is_lifted_and_then_it_is(rig: Rig, case_id: str) -> None:
    school = rig.an_organisation()
    waiting = rig.filed(case_id, source=school)
    rig.consent_to_obtain(case_id, school)
    rig.signal("consent-api", signal.SIGSTOP)
    try:
        hear_of_consent(rig, case_id, school)
        eventually(lambda: rig.row("steps", kind="lift_quarantine", key=case_id, attempts={"$gt": 0}))
        assert state_of(rig, waiting["id"]) == ("quarantined", "no_consent")
    finally:
        rig.signal("consent-api", signal.SIGCONT)
    eventually(lambda: state_of(rig, waiting["id"]) == ("accepted", None))


def test_p11_a_document_that_comes_into_quarantine_has_the_consent_asked_for_again(rig: Rig, case_id: str) -> None:
    """So a consent that came while the file did, and was heard of before the document was there, isn't missed."""
    school = rig.an_organisation()
    waiting = rig.filed(case_id, source=school)
    eventually(lambda: not rig.row("steps", kind="lift_quarantine", key=case_id))
    rig.consent_to_obtain(case_id, school)
    # No event says so here: it is what is filed next that has the whole case looked at.
    other = rig.filed(case_id, source=rig.an_organisation())
    eventually(lambda: state_of(rig, waiting["id"]) == ("accepted", None))
    assert state_of(rig, other["id"]) == ("quarantined", "no_consent")


def test_what_an_older_version_put_into_quarantine_is_taken_up(
    rig: Rig, case_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a document as version 0.2 stored it: no reason, no history, and no task
    school = rig.an_organisation()
    closed = rig.filed(case_id, source=school)
    eventually(lambda: not rig.row("steps", kind="lift_quarantine", key=case_id))
    context = rig.opened(monkeypatch).context
    assert rewrite(context.stores.documents, {"_id": closed["id"]}, reason=None, history=()) == 1
    assert state_of(rig, closed["id"]) == ("quarantined", "no_consent")
    rig.consent_to_obtain(case_id, school)
    # When the worker comes by
    take_up_older(context, utc_now())
    # Then it is told of, and what the family has agreed to since is opened
    eventually(lambda: state_of(rig, closed["id"]) == ("accepted", None))
    told = eventually(lambda: whole(rig.heard("document.quarantine.v1", case_id), 3))
    said = [[one["document"] for one in event["data"]["documents"]] for event in told]
    assert said == [[closed["id"]], [closed["id"]], []]
    history = rig.ask("GET", f"/documents/{closed['id']}").json()["history"]
    assert [(one["what"], one["reason"]) for one in history] == [
        ("quarantined", "no_consent"),
        ("lifted", "no_consent"),
    ]
    assert history[0]["at"] == closed["created_at"]


# Releasing


def test_p11_a_manager_releases_a_document_with_a_reason(rig: Rig, case_id: str) -> None:
    scan = samples.jpeg()
    closed = rig.filed(case_id, scan, source=rig.an_organisation())
    path = f"/documents/{closed['id']}"
    for role in ("caseworker", "app", "safeguarding_lead", "auditor"):
        assert problem(release(rig, closed["id"], role=role)) == (403, "forbidden")
    refused(rig.ask("POST", f"{path}/release", {}, role="manager"), 400, "invalid", "reason")
    answer = release(rig, closed["id"])
    assert answer.status_code == 200, answer.text
    assert answer.json() == rig.ask("GET", path).json()
    assert answer.headers["ETag"] == rig.ask("GET", path).headers["ETag"]
    assert (answer.json()["state"], answer.json()["reason"]) == ("accepted", None)
    entry = answer.json()["history"][-1]
    assert (entry["what"], entry["by"], entry["words"]) == (
        "released",
        "a.manager",
        "The family agreed by letter; Żaneta has it.",
    )
    assert rig.ask("GET", f"{path}/content").content == scan
    assert problem(release(rig, closed["id"])) == (409, "conflict")
    assert "Żaneta" not in str(rig.rows("documents", _id=closed["id"]))
    audited = rig.rows("audit", record_id=closed["id"], action="quarantine.release_document", status=200)
    assert [(row["sub"], row["case_id"]) for row in audited] == [("a.manager", case_id)]


def test_what_a_manager_released_takes_no_new_version_without_consent(rig: Rig, case_id: str) -> None:
    closed = rig.filed(case_id, source=rig.an_organisation())
    etag = release(rig, closed["id"]).headers["ETag"]
    answer = rig.ask("PUT", f"/documents/{closed['id']}/content", data=samples.png(), If_Match=etag)
    assert problem(answer) == (409, "consent-required")
    assert state_of(rig, closed["id"]) == ("accepted", None)


# Returning


def test_p11_what_is_returned_is_destroyed_and_where_it_went_stays(rig: Rig, case_id: str) -> None:
    paper, school, key = rig.a_paper(case_id), rig.an_organisation(), new_id()
    fields = {"source": school, "title": "Zoë’s report", "paper_file_id": paper["id"]}
    parts = [("file", samples.pdf_scan(2)), ("kind", "report"), *fields.items()]
    closed = rig.upload(case_id, *parts, Idempotency_Key=key).json()
    path = f"/documents/{closed['id']}"
    before = rig.row("gates", _id=case_id)
    for role in ("app", "safeguarding_lead", "auditor"):
        assert problem(give_back(rig, closed["id"], role=role)) == (403, "forbidden")
    refused(rig.ask("POST", f"{path}/return", {"to": "the school"}), 400, "invalid", "by")
    answer = give_back(rig, closed["id"])
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert shown == rig.ask("GET", path).json()
    # What came, from whom, and where it went
    assert (shown["state"], shown["reason"], shown["source"], shown["kind"]) == ("returned", None, school, "report")
    assert (shown["sha256"], shown["pages"]) == (closed["sha256"], 2)
    assert (shown["title"], shown["paper_file_id"]) == (None, None)
    assert {name: shown["returned"][name] for name in RETURN} == RETURN
    assert [(one["what"], one["by"]) for one in shown["history"]] == [
        ("quarantined", None),
        ("returned", "a.caseworker"),
    ]
    # Its content can't be read from then on, and is destroyed: objects, and the key of what was sealed of it
    assert problem(rig.ask("GET", f"{path}/content")) == (404, "not-found")
    assert rig.rows("versions", document_id=closed["id"]) == []
    eventually(lambda: rig.objects_of(case_id) == [])
    after = rig.row("gates", _id=case_id)
    assert before is not None
    assert after is not None
    assert after["key"] != before.get("key")
    eventually(lambda: not rig.has_key(case_id))
    # Nothing else shows it any more
    again = rig.upload(case_id, *parts, Idempotency_Key=key)
    assert problem(again) == (409, "conflict")
    assert rig.ask("GET", f"/paper-files/{paper['id']}").json()["scanned"] is False
    assert closed["id"] in {one["id"] for one in listed(rig, state="returned")}
    assert closed["id"] not in {one["id"] for one in listed(rig)}
    assert rig.is_clean(case_id)


def test_what_was_returned_can_t_be_returned_released_or_replaced_and_can_be_deleted(rig: Rig, case_id: str) -> None:
    closed = rig.filed(case_id, source=rig.an_organisation())
    path = f"/documents/{closed['id']}"
    etag = give_back(rig, closed["id"]).headers["ETag"]
    assert problem(give_back(rig, closed["id"])) == (409, "conflict")
    assert problem(release(rig, closed["id"])) == (409, "conflict")
    assert problem(rig.ask("PUT", f"{path}/content", data=samples.png(), If_Match=etag)) == (409, "conflict")
    assert rig.ask("DELETE", path, If_Match=etag).status_code == 204
    assert problem(rig.ask("GET", path)) == (404, "not-found")
    eventually(lambda: not rig.rows("documents", _id=closed["id"]))


def test_an_accepted_document_is_neither_released_nor_returned(rig: Rig, case_id: str) -> None:
    document = rig.filed(case_id)
    assert problem(release(rig, document["id"])) == (409, "conflict")
    assert problem(give_back(rig, document["id"])) == (409, "conflict")
    assert state_of(rig, document["id"]) == ("accepted", None)


def test_a_frozen_case_s_quarantine_is_left_as_it_is_and_an_erased_one_s_is_not_found(rig: Rig, case_id: str) -> None:
    school = rig.an_organisation()
    first, second = rig.filed(case_id, source=school), rig.filed(case_id, source=school)
    assert give_back(rig, second["id"]).status_code == 200
    rig.freeze(case_id)
    for answer in (release(rig, first["id"]), give_back(rig, first["id"])):
        assert problem(answer) == (423, "frozen")
    receipt = rig.erase(case_id)
    found = {store["store"]: (store["found"], store["remaining"]) for store in receipt["stores"]}
    assert found["documents"] == (2, 0)
    for answer in (release(rig, first["id"]), give_back(rig, first["id"]), give_back(rig, second["id"])):
        assert problem(answer) == (404, "not-found")
    assert rig.rows("documents", case_id=case_id) == []


def test_a_key_repeats_the_answer_to_a_release_and_to_a_return(rig: Rig, case_id: str) -> None:
    school = rig.an_organisation()
    for act in (release, give_back):
        closed, key = rig.filed(case_id, source=school), new_id()
        first, again = (act(rig, closed["id"], Idempotency_Key=key) for _ in range(2))
        assert (first.status_code, again.status_code) == (200, 200)
        assert again.json() == first.json()


# What others hear


def test_each_change_says_which_documents_of_the_case_are_in_quarantine(rig: Rig, case_id: str) -> None:
    school = rig.an_organisation()
    first, second, third = (rig.filed(case_id, source=school)["id"] for _ in range(3))
    assert release(rig, first).status_code == 200
    assert give_back(rig, second).status_code == 200
    etag = rig.ask("GET", f"/documents/{third}").headers["ETag"]
    assert rig.ask("DELETE", f"/documents/{third}", If_Match=etag).status_code == 204
    told = eventually(lambda: whole(rig.heard("document.quarantine.v1", case_id), 6))
    said = [[one["document"] for one in event["data"]["documents"]] for event in told]
    assert said == [[first], [first, second], [first, second, third], [second, third], [third], []]
    for event in told:
        for one in event["data"]["documents"]:
            assert set(one) == {"document", "reason", "since"}
            assert (one["reason"], datetime.fromisoformat(one["since"]) <= datetime.now(UTC)) == ("no_consent", True)


def whole(events: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """All of them, once so many were heard."""
    return events if len(events) == number else []
