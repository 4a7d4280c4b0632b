"""Safeguarding records in the case service: who may do what, what is refused, how long they are kept (P15)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from bson import encode

from services.case.actions.safeguarding import forget_old, watch_alerts
from services.case.context import Context
from services.case.main import service
from services.case.model.safeguarding import ALERT_WITHIN, key_of
from shared.clock import utc_now
from shared.ids import new_id
from tests.helpers import eventually, problem
from tests.races.inside import Inside, an_inside
from tests.system import Caller, System

WORRY = {"recipient": "the police", "what": "an address", "basis": "safeguarding", "reason": "a threat was made"}
REVIEW = {"outcome": "justified", "words": "they had to know"}
HOLD = {"until": "2099-12-31", "reason": "an inquiry"}


@pytest.fixture(scope="module")
def inside(system: System) -> Iterator[Inside]:
    with an_inside(system) as opened:
        yield opened


def recorded(system: System, **more: Any) -> str:
    return str(system.caseworker.made("/disclosures", {**WORRY, **more})["id"])


def change(caller: Caller, method: str, path: str, body: Any = None, match: str | None = None) -> Any:
    headers = {} if match is None else {"If-Match": match}
    return caller.call(method, path, headers=headers, **({} if body is None else {"json": body}))


@pytest.fixture
def context(system: System, monkeypatch: pytest.MonkeyPatch) -> Context:
    """What the case service's worker works with, opened in this process; records are kept for 30 days."""
    for name, value in system.provided.env["case"].items():
        monkeypatch.setenv(name, value)
    return replace(service.open("worker").context, safeguarding_retention=timedelta(days=30))


# Form


def test_what_does_not_fit_is_refused_with_the_field_and_nothing_is_kept(system: System, inside: Inside) -> None:
    case_id = system.an_open_case()
    before = len(inside.rows("case", "safeguarding"))
    for path, body, field in (
        ("/disclosures", {**WORRY, "recipient": None}, "recipient"),
        ("/disclosures", {**WORRY, "what": " "}, "what"),
        ("/disclosures", {**WORRY, "basis": "consent"}, "basis"),
        ("/disclosures", {**WORRY, "case_id": "x"}, "case_id"),
        (f"/cases/{case_id}/disclosures", {**WORRY, "told_family": "no"}, "told_family"),
        (f"/cases/{case_id}/disclosures", {**WORRY, "basis": "a hunch"}, "basis"),
        (f"/cases/{case_id}/disclosures", {**WORRY, "basis": "legal_duty", "decision": "not_shared"}, "decision"),
        (f"/cases/{case_id}/disclosures", {**WORRY, "basis": "consent", "party": new_id(), "order": "x"}, "order"),
    ):
        answer = system.manager.post(path, body)
        assert problem(answer) == (400, "invalid"), body
        assert field in answer.json()["errors"], answer.text
    assert len(inside.rows("case", "safeguarding")) == before
    assert system.manager.read(f"/cases/{case_id}/disclosures")["items"] == []


def test_a_key_repeats_the_answer_and_makes_one_record_also_for_an_erased_case(system: System, inside: Inside) -> None:
    gone = new_id()
    inside.close_gate("case", gone)
    answers = [system.caseworker.post(f"/cases/{gone}/disclosures", WORRY, Idempotency_Key=gone) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert [one["id"] for one in system.lead.read("/disclosures", case_id=gone)["items"]] == [answers[0].json()["id"]]
    other = system.caseworker.post(f"/cases/{gone}/disclosures", {**WORRY, "what": "more"}, Idempotency_Key=gone)
    assert problem(other) == (409, "conflict")


def test_nothing_of_it_is_readable_in_the_database_and_no_case_key_opens_it(system: System, inside: Inside) -> None:
    case_id = system.an_open_case()
    body = {**WORRY, "what": "quokka-zxcvbnm", "told_family": True, "decision": "not_shared"}
    made = system.caseworker.made(f"/cases/{case_id}/disclosures", body)
    system.lead.made(f"/disclosures/{made['id']}/review", {**REVIEW, "outcome": "not_justified"})
    (row,) = inside.rows("case", "safeguarding", _id=made["id"])
    assert row["case_id"] is None
    clear = {"about_hash", "recorded_at", "state", "hold_until", "alerted_at"}
    assert set(row) == {"_id", "case_id", "version", "personal", "own_key", *clear}
    said = encode(row)
    for word in ("quokka", case_id, "justified", "not_shared", "told_family"):
        assert word.encode() not in said
    assert inside.keys_named("case", key_of(made["id"])) == 1


def thief_reads(inside: Inside, service: str) -> list[bytes]:
    """Every row of a service's databases, as a stolen dump has it."""
    return [
        encode(row)
        for suffix in ("", "_vault")
        for name in inside.mongo[f"{inside.names}_{service}{suffix}"].list_collection_names()
        for row in inside.mongo[f"{inside.names}_{service}{suffix}"][name].find()
    ]


def test_a_stolen_dump_doesnt_tell_whom_safeguarding_is_about(system: System, inside: Inside) -> None:
    # Given a case that the case service has no other row of, a record about it, which is reviewed, held and looked for
    gone = new_id()
    by_path = system.caseworker.post(f"/cases/{gone}/disclosures", WORRY, Idempotency_Key=gone).json()["id"]
    by_body = recorded(system, case_id=gone)
    system.lead.made(f"/disclosures/{by_path}/review", REVIEW)
    assert change(system.lead, "PUT", f"/disclosures/{by_body}/hold", HOLD, "*").status_code == 200
    assert system.caseworker.post(f"/cases/{gone}/disclosures", {**WORRY, "what": " "}).status_code == 400
    eventually(lambda: system.lead.read(f"/disclosures/{by_path}")["alerted_at"] is not None)
    # Then no row of any service names the case
    for service_name in ("case", "notifier", "consent", "document"):
        assert [row for row in thief_reads(inside, service_name) if gone.encode() in row] == []
    # And hashes of its id without our keys are in none either
    guesses = [hashlib.new(kind, gone.encode()).hexdigest().encode() for kind in ("md5", "sha1", "sha256")]
    assert [row for row in thief_reads(inside, "case") for guess in guesses if guess in row] == []
    # And those who may see it still find it by the case, in the audit too
    assert [one["id"] for one in system.lead.read("/disclosures", case_id=gone)["items"]] == [by_path, by_body]
    assert system.auditor.read("/audit/case", case_id=gone)["items"] == []
    audited = system.data_protection.read("/audit/case", case_id=gone)["items"]
    assert [one["case_id"] for one in audited] == [gone] * len(audited)
    assert {one["status"] for one in audited} == {200, 201, 400}


def test_it_is_found_by_its_case_also_after_a_rotation(system: System, inside: Inside, context: Context) -> None:
    about = new_id()
    ids = [recorded(system, case_id=about) for _ in range(3)]
    before = {id: inside.rows("case", "safeguarding", _id=id)[0]["about_hash"] for id in ids}
    # When all keys of the tree change
    context.stores.keys.rotation.run(every_bucket=True)
    # Then the hashes are others, so those of an old copy fall with the old root, and each is still found
    after = {id: inside.rows("case", "safeguarding", _id=id)[0]["about_hash"] for id in ids}
    assert all(before[id] != after[id] for id in ids)
    eventually(lambda: [one["id"] for one in system.lead.read("/disclosures", case_id=about)["items"]] == ids)


def test_one_that_somebody_edited_alarms_and_keeps_no_root_from_being_destroyed(
    system: System, inside: Inside, context: Context
) -> None:
    about = new_id()
    edited, whole = recorded(system, case_id=about), recorded(system, case_id=about)
    rows = inside.mongo[f"{inside.names}_case"]["safeguarding"]
    rows.update_one({"_id": edited}, {"$set": {"hold_until": "2099-01-01"}})
    try:
        assert [one["id"] for one in system.lead.read("/disclosures", case_id=about)["items"]] == [whole]
        assert context.stores.keys.rotation.run(every_bucket=True) is not None
        eventually(lambda: [one["id"] for one in system.lead.read("/disclosures", case_id=about)["items"]] == [whole])
    finally:
        rows.delete_one({"_id": edited})


def test_a_disclosure_tells_a_thief_neither_its_ground_nor_its_recipient(system: System, inside: Inside) -> None:
    case_id = system.an_open_case()
    order = {"order": "Order 17", "issuer": "the court", "scope": "dates", "told_family": False}
    party = str(system.a_person(case_id)["id"])
    body = {**WORRY, "basis": "legal_duty", "party": party, **order}
    made = system.manager.made(f"/cases/{case_id}/disclosures", body)
    (row,) = inside.rows("case", "disclosures", _id=made["id"])
    assert set(row) == {"_id", "case_id", "version", "personal", "recorded_at"}
    shown = system.caseworker.read(f"/cases/{case_id}/disclosures/{made['id']}")
    assert (shown["basis"], shown["party"], shown["told_family"]) == ("legal_duty", party, False)


def test_a_hold_tells_a_thief_no_ground(system: System, inside: Inside) -> None:
    case_id = system.an_open_case()
    body = {"case_id": case_id, "ground": "safeguarding", "until": "2099-12-31", "reason": "a threat"}
    made = system.lead.made("consent:/v1/holds", body)
    (row,) = inside.rows("consent", "holds", _id=made["id"])
    assert set(row) == {"_id", "case_id", "version", "personal", "changed"}
    read = system.lead.call("GET", f"consent:/v1/holds/{made['id']}").json()
    assert (read["ground"], read["until"]) == ("safeguarding", "2099-12-31")


def test_should_the_database_not_take_it_the_answer_says_what_to_do_meanwhile(system: System, inside: Inside) -> None:
    database = inside.mongo[f"{inside.names}_case"]
    about = new_id()
    database.command({"collMod": "safeguarding", "validator": {"never": {"$exists": True}}})
    try:
        answers = [system.caseworker.post(path, WORRY) for path in ("/disclosures", f"/cases/{about}/disclosures")]
    finally:
        database.command({"collMod": "safeguarding", "validator": {}})
    for answer in answers:
        assert problem(answer) == (503, "unavailable")
        assert "tell the people who must know now" in answer.json()["detail"]
    assert system.caseworker.post(f"/cases/{about}/disclosures", WORRY).status_code == 201
    assert len(system.lead.read("/disclosures", case_id=about)["items"]) == 1


# Roles


def test_on_other_bases_the_lead_and_data_protection_record_nothing(system: System) -> None:
    case_id = system.an_open_case()
    for caller in (system.lead, system.data_protection):
        for basis in ("consent", "legal_duty"):
            body = {**WORRY, "basis": basis, "party": new_id()}
            assert problem(caller.post(f"/cases/{case_id}/disclosures", body)) == (403, "forbidden")


def test_only_the_lead_and_data_protection_see_it_or_hold_it(system: System) -> None:
    id = recorded(system)
    for caller in (system.caseworker, system.manager, system.auditor, system.caller("app", sub="an-app")):
        assert problem(caller.get("/disclosures")) == (403, "forbidden")
        # The same whether or not there is such a record
        for number in (id, new_id()):
            assert problem(caller.get(f"/disclosures/{number}")) == (403, "forbidden")
            assert problem(change(caller, "PUT", f"/disclosures/{number}/hold", HOLD, "*")) == (403, "forbidden")
    for caller in (system.lead, system.data_protection):
        assert caller.read(f"/disclosures/{id}")["recipient"] == "the police"
        assert problem(caller.get(f"/disclosures/{new_id()}")) == (404, "not-found")


def test_the_list_can_be_asked_for_one_case_and_one_state(system: System) -> None:
    about, elsewhere = new_id(), new_id()
    first, second = recorded(system, case_id=about), recorded(system, case_id=about)
    recorded(system, case_id=elsewhere)
    system.lead.made(f"/disclosures/{first}/review", REVIEW)
    ids = {
        state: [one["id"] for one in system.lead.read("/disclosures", case_id=about, **asked)["items"]]
        for state, asked in {"any": {}, "open": {"state": "open"}, "reviewed": {"state": "reviewed"}}.items()
    }
    assert ids == {"any": [first, second], "open": [second], "reviewed": [first]}
    assert [one["id"] for one in system.lead.read(f"/cases/{about}/disclosures")["items"]] == [first, second]


def test_the_lead_sees_both_registers_as_one_list_in_pages(system: System) -> None:
    case_id = system.an_open_case()
    duty = {**WORRY, "basis": "legal_duty", "order": "an order", "issuer": "a court", "scope": "dates"}
    made = []
    for number in range(5):
        poster, body = (system.caseworker, WORRY) if number % 2 else (system.manager, duty)
        made.append(poster.made(f"/cases/{case_id}/disclosures", body)["id"])
    listed, cursor = [], {}
    while True:
        read = system.lead.read(f"/cases/{case_id}/disclosures", limit="2", **cursor)
        listed += [item["id"] for item in read["items"]]
        if read["next"] is None:
            break
        cursor = {"cursor": read["next"]}
    assert listed == made
    plain = system.caseworker.read(f"/cases/{case_id}/disclosures")
    assert [item["id"] for item in plain["items"]] == made[::2]
    assert plain["note"] == system.caseworker.read(f"/cases/{system.an_open_case()}/disclosures")["note"]


# Hold and retention


def test_a_hold_wants_the_version_that_was_read_and_a_day_to_come(system: System) -> None:
    id = recorded(system)
    path = f"/disclosures/{id}/hold"
    tag = system.lead.get(f"/disclosures/{id}").headers["ETag"]
    assert problem(change(system.lead, "PUT", path, HOLD)) == (428, "precondition-required")
    assert problem(change(system.lead, "PUT", path, {**HOLD, "until": "2020-01-01"}, tag)) == (400, "invalid")
    assert problem(change(system.lead, "DELETE", path, None, tag)) == (409, "conflict")
    held = change(system.lead, "PUT", path, HOLD, tag)
    assert (held.status_code, held.json()["hold_until"]) == (200, "2099-12-31")
    assert problem(change(system.data_protection, "DELETE", path, None, tag)) == (412, "changed")
    assert change(system.data_protection, "DELETE", path, None, held.headers["ETag"]).status_code == 204
    assert system.lead.read(f"/disclosures/{id}")["hold_until"] is None


def test_after_its_retention_it_is_deleted_with_its_key_unless_a_hold_keeps_it(
    system: System, inside: Inside, context: Context
) -> None:
    # Given one that is held, one that was held until yesterday, one that isn't, and one that is a day younger
    kept, over, plain, young = (recorded(system) for _ in range(4))
    for id, until in ((kept, "2099-12-31"), (over, "2099-12-30")):
        assert change(system.lead, "PUT", f"/disclosures/{id}/hold", {**HOLD, "until": until}, "*").status_code == 200
    old = utc_now() - timedelta(days=30)
    ours = {"_id": {"$in": [kept, over, plain]}}
    inside.change("case", "safeguarding", ours, recorded_at=old)
    yesterday = (utc_now() - timedelta(days=1)).date()
    inside.change("case", "safeguarding", {"_id": over}, hold_until=yesterday)
    # When the periodic job comes by, if the worker's own hasn't just now
    forget_old(context, utc_now())
    # Then what is over is gone, and nobody can open it any more
    for id in (over, plain):
        assert problem(system.lead.get(f"/disclosures/{id}")) == (404, "not-found")
        eventually(lambda id=id: inside.keys_named("case", key_of(id)) == 0)  # type: ignore[misc]
    for id in (kept, young):
        assert system.lead.read(f"/disclosures/{id}")["what"] == "an address"
        assert inside.keys_named("case", key_of(id)) == 1
    assert forget_old(context, utc_now()) == 0


# The alarm


def test_one_whose_alert_goes_nowhere_raises_the_alarm(system: System, inside: Inside, context: Context) -> None:
    with inside.stopped("case"):
        # What other tests recorded a moment ago may wait beside it.
        before, later = (watch_alerts(context, utc_now() + after) for after in (timedelta(), 2 * ALERT_WITHIN))
        id = recorded(system)
        assert watch_alerts(context, utc_now()) == before
        assert watch_alerts(context, utc_now() + 2 * ALERT_WITHIN) == later + 1
        assert system.lead.read(f"/disclosures/{id}")["alerted_at"] is None
    eventually(lambda: system.lead.read(f"/disclosures/{id}")["alerted_at"] is not None)
    assert watch_alerts(context, utc_now() + 2 * ALERT_WITHIN) <= later
