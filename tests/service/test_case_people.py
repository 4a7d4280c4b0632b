"""The people of a case over HTTP: what is kept, what is refused, and who hears of it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any
from unittest.mock import patch

import pytest

from deploy.local.stack import Stack
from services.case.actions.people import add_person
from services.case.model.people import Person
from shared.clock import utc_now
from shared.errors import Invalid
from tests.helpers import eventually, refused
from tests.service.case_rig import MOTHER, Rig, logs_of, rig_on
from tests.system import open_service

pytestmark = pytest.mark.xdist_group("case")

CHILD = {"role": "child", "given_name": "Ásgeir Þór", "family_name": "Łukasiński"}
TODAY = date.today()  # noqa: DTZ011 - a day is as near as these tests look


@pytest.fixture(scope="module")
def rig(stack: Stack, worker_id: str) -> Rig:
    return rig_on(stack, worker_id)


def test_p10_a_person_is_kept_as_given_and_sealed(rig: Rig) -> None:
    case_id = rig.a_case()

    answer = rig.a_person(case_id)

    person = answer.json()
    path = f"/cases/{case_id}/people/{person['id']}"
    # Each way that was given was asked about by that, and the others weren't (P18)
    asked = {"post": "yes", "email": "yes", "phone": "yes", "voicemail": None, "text": None}
    asked_at = person["safe_contact"].pop("asked_at")
    assert person["safe_contact"] == asked
    person["safe_contact"]["asked_at"] = asked_at
    made = {"id": person["id"], "case_id": case_id, "kept_apart": False, "safe_contact": person["safe_contact"]}
    assert person == {**MOTHER, **made}
    assert answer.headers["Location"] == f"/v1{path}"
    read = rig.ask("GET", path)
    assert (read.json(), read.headers["ETag"]) == (person, answer.headers["ETag"])
    assert rig.ask("GET", f"/cases/{case_id}").json()["people"] == [person]
    (row,) = rig.rows("people", case_id)
    assert set(row) == {"_id", "case_id", "version", "personal", "changed"}
    stored, said = rig.everything_stored(), logs_of(rig)
    for word in ("Zoë", "Brännström", "Sorrel Mews", "SL7 1AB", "07700 900 482", "447700900482", "1984-02-29"):
        assert word.encode() not in stored
        assert word not in said


def test_p10_only_names_and_a_role_are_needed(rig: Rig) -> None:
    case_id = rig.a_case()

    person = rig.ask("POST", f"/cases/{case_id}/people", CHILD).json()

    assert {name: person[name] for name in CHILD} == CHILD
    assert (person["date_of_birth"], person["address"], person["email"], person["phone"]) == (None,) * 4
    assert (person["parental_responsibility"], person["preferred_channel"], person["formats"]) == (None, None, [])


def test_others_hear_of_people_by_id_in_the_order_they_were_added(rig: Rig) -> None:
    case_id = rig.a_case()
    mother = rig.a_person(case_id).json()["id"]
    child = rig.ask("POST", f"/cases/{case_id}/people", CHILD).json()["id"]
    rig.ask("PATCH", f"/cases/{case_id}/people/{mother}", {"email": None}, match="*")
    rig.ask("DELETE", f"/cases/{case_id}/people/{child}", match="*")

    a_mother = {"person": mother, "role": "parent", "post": True, "email": True, "unreachable": False}
    a_child = {"person": child, "role": "child", "post": False, "email": False, "unreachable": False}
    without = a_mother | {"email": False}
    expected = [[a_mother], [a_mother, a_child], [without, a_child], [without]]
    eventually(lambda: [said["people"] for said in rig.told("case.people", case_id)] == expected)
    assert [person["id"] for person in rig.ask("GET", f"/cases/{case_id}/people").json()["items"]] == [mother]


def test_each_change_of_how_a_family_may_be_reached_is_told_without_what_it_was(rig: Rig) -> None:
    case_id = rig.a_case()
    mother = rig.a_person(case_id).json()["id"]
    child = rig.ask("POST", f"/cases/{case_id}/people", CHILD).json()["id"]
    path = f"/cases/{case_id}/people/{mother}"
    safe, stop = f"{path}/safe-contact", f"/cases/{case_id}/stop-all"

    def told() -> int:
        # A later event has come, so all before it have.
        marker = rig.ask("POST", f"/cases/{case_id}/people", CHILD).json()["id"]
        eventually(lambda: any(marker == one["person"] for one in rig.told("case.people", case_id)[-1]["people"]))
        return len(rig.told("case.contact_changed", case_id))

    expected = 0
    for method, where, body, counts in (
        ("PATCH", path, {"given_name": "Zoé", "formats": [], "preferred_channel": "email"}, False),
        ("PATCH", path, {"address": ["1 High St", "Marlow", "SL7 1AB"]}, True),
        ("PATCH", path, {"address": ["1 High St", "Marlow", "SL7 1AB"]}, False),
        ("PATCH", path, {"email": None}, True),
        ("PATCH", path, {"phone": "07700 900 483"}, True),
        ("PATCH", path, {"role": "other"}, True),
        ("PUT", safe, {"post": "no", "phone": "yes"}, True),
        ("PUT", stop, {"reason": "court_order"}, True),
        # It is stopped already
        ("PUT", stop, {"reason": "death"}, False),
        ("PATCH", f"/cases/{case_id}/people/{child}", {"kept_apart": True}, True),
        ("DELETE", f"/cases/{case_id}/people/{mother}", None, True),
        ("POST", f"/cases/{case_id}/people", {**MOTHER}, False),
        ("POST", f"/cases/{case_id}/people", {**CHILD, "kept_apart": True}, True),
    ):
        answer = rig.ask(method, where, body, match=None if method == "POST" else "*")
        assert answer.status_code in (200, 201, 204), (where, answer.text)
        expected += counts
        assert told() == expected, (method, where, body)
    assert rig.told("case.contact_changed", case_id) == [{"case": case_id}] * expected
    # A file in which contact goes on again says less than an older backup, which has it stopped
    assert rig.ask("DELETE", stop, role="manager", match="*").status_code == 204
    assert told() == expected


def test_a_patch_changes_what_is_sent_and_null_empties(rig: Rig) -> None:
    case_id = rig.a_case()
    before = rig.a_person(case_id)
    path = f"/cases/{case_id}/people/{before.json()['id']}"

    change = {"given_name": "Zoé", "phone": None, "formats": None, "address": ["1 High St", "Marlow", "sl71ab"]}
    after = rig.ask("PATCH", path, change, match=before.headers["ETag"])

    assert after.status_code == 200
    expected = {"given_name": "Zoé", "phone": None, "formats": [], "address": ["1 High St", "Marlow", "SL7 1AB"]}
    assert after.json() == before.json() | expected
    assert after.headers["ETag"] != before.headers["ETag"]
    for required in ("role", "given_name", "family_name"):
        refused(rig.ask("PATCH", path, {required: None}, match="*"), 400, "invalid")
    nothing = rig.ask("PATCH", path, {}, match=after.headers["ETag"])
    assert (nothing.json(), nothing.headers["ETag"]) == (after.json(), after.headers["ETag"])


def test_a_change_says_which_version_was_read(rig: Rig) -> None:
    case_id = rig.a_case()
    before = rig.a_person(case_id)
    path = f"/cases/{case_id}/people/{before.json()['id']}"

    refused(rig.ask("PATCH", path, {"given_name": "Zoé"}), 428, "precondition-required")
    refused(rig.ask("DELETE", path), 428, "precondition-required")
    assert rig.ask("PATCH", path, {"given_name": "Zoé"}, match=before.headers["ETag"]).status_code == 200
    refused(rig.ask("PATCH", path, {"given_name": "Zoe"}, match=before.headers["ETag"]), 412, "changed")
    refused(rig.ask("DELETE", path, match=before.headers["ETag"]), 412, "changed")
    assert rig.ask("GET", path).json()["given_name"] == "Zoé"
    assert rig.ask("DELETE", path, match=rig.ask("GET", path).headers["ETag"]).status_code == 204
    refused(rig.ask("GET", path), 404, "not-found")
    refused(rig.ask("DELETE", path, match="*"), 404, "not-found")
    assert rig.rows("people", case_id) == rig.rows("search_hashes", case_id, vault=True) == []


def test_of_two_who_change_the_same_version_one_loses(rig: Rig) -> None:
    case_id = rig.a_case()
    before = rig.a_person(case_id)
    path = f"/cases/{case_id}/people/{before.json()['id']}"

    def change(name: str) -> int:
        return rig.ask("PATCH", path, {"given_name": name}, match=before.headers["ETag"]).status_code

    with ThreadPoolExecutor(6) as pool:
        statuses = sorted(pool.map(change, "ABCDEF"))

    assert statuses == [200, 412, 412, 412, 412, 412]


def test_the_cases_etag_covers_its_people(rig: Rig) -> None:
    case_id = rig.a_case()
    tags = [rig.ask("GET", f"/cases/{case_id}").headers["ETag"]]
    person = rig.a_person(case_id).json()["id"]
    tags.append(rig.ask("GET", f"/cases/{case_id}").headers["ETag"])
    rig.ask("PATCH", f"/cases/{case_id}/people/{person}", {"email": None}, match="*")
    tags.append(rig.ask("GET", f"/cases/{case_id}").headers["ETag"])
    rig.ask("DELETE", f"/cases/{case_id}/people/{person}", match="*")
    tags.append(rig.ask("GET", f"/cases/{case_id}").headers["ETag"])

    assert len(set(tags)) == 4
    stale = rig.ask("PUT", f"/cases/{case_id}/state", {"state": "inactive"}, match=tags[2])
    refused(stale, 412, "changed")


def test_an_app_adds_and_changes_people_but_deletes_none(rig: Rig) -> None:
    case_id = rig.a_case()
    person = rig.ask("POST", f"/cases/{case_id}/people", MOTHER, role="app")
    path = f"/cases/{case_id}/people/{person.json()['id']}"

    assert person.status_code == 201
    assert rig.ask("PATCH", path, {"phone": None}, role="app", match="*").status_code == 200
    refused(rig.ask("DELETE", path, role="app", match="*"), 403, "forbidden")
    for role in ("safeguarding_lead", "data_protection", "auditor", "service:consent"):
        refused(rig.ask("POST", f"/cases/{case_id}/people", MOTHER, role=role), 403, "forbidden")
        refused(rig.ask("PATCH", path, {"phone": None}, role=role, match="*"), 403, "forbidden")
    assert rig.ask("GET", path, role="safeguarding_lead").status_code == 200
    refused(rig.ask("GET", path, role="auditor"), 403, "forbidden")


def test_the_same_key_adds_one_person(rig: Rig) -> None:
    case_id = rig.a_case()

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: rig.ask("POST", f"/cases/{case_id}/people", MOTHER, key="one Zoë"), range(4)))

    again = rig.ask("POST", f"/cases/{case_id}/people", MOTHER, key="one Zoë")
    assert again.status_code == 201
    # Those that came while the first was under way were told so.
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert {a.json()["id"] for a in answers if a.status_code == 201} <= {again.json()["id"]}
    assert len(rig.rows("people", case_id)) == 1


def test_a_person_who_is_deleted_is_in_no_kept_answer(rig: Rig) -> None:
    # Given two people, each added with a key
    case_id = rig.a_case()
    path = f"/cases/{case_id}/people"
    gone = rig.ask("POST", path, MOTHER, key="goes").json()["id"]
    left = rig.ask("POST", path, MOTHER, key="stays").json()
    # When one is deleted; a refused deletion forgets nothing
    refused(rig.ask("DELETE", f"{path}/{gone}", match='"9"'), 412, "changed")
    assert rig.ask("POST", path, MOTHER, key="goes").status_code == 201
    assert rig.ask("DELETE", f"{path}/{gone}", match='"1"').status_code == 204
    # Then their key is used up, with any body, and makes nobody anew
    refused(rig.ask("POST", path, MOTHER, key="goes"), 409, "conflict")
    said = rig.ask("POST", path, {**MOTHER, "phone": None}, key="goes").json()["detail"]
    assert "has been deleted since" in said
    assert rig.ask("POST", path, MOTHER, key="stays").json() == left
    assert [row["_id"] for row in rig.rows("people", case_id)] == [left["id"]]
    kept = {row["record"]: "personal" in row for row in rig.rows("idempotency", case_id)}
    assert kept == {gone: False, left["id"]: True}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("date_of_birth", str(TODAY + timedelta(days=2))),
        ("date_of_birth", f"{TODAY.year - 131}-01-01"),
        ("date_of_birth", "2015-02-29"),
        ("date_of_birth", "29/02/2012"),
        ("date_of_birth", 20120229),
        ("address", ["1 High Street", "SL7 1AB"]),
        ("address", ["a", "b", "c", "d", "e", "f", "g", "SL7 1AB"]),
        ("address", ["1 High Street", "Marlow", "Buckinghamshire"]),
        ("address", ["No fixed abode", "Marlow", "SL7 1AB"]),
        ("address", ["1 High Street\nMarlow", "Bucks", "SL7 1AB"]),
        ("address", "1 High Street, Marlow, SL7 1AB"),
        ("address", ["x"] * 3000),
        ("email", "zoe"),
        ("email", "zoe@marlow"),
        ("email", "zoe@marlow.example\r\nBcc: all@example.org"),
        ("email", "zoe@marlow.example\nBcc: all@example.org"),
        ("email", "a@b.example, c@d.example"),
        ("email", "<a@b.example>"),
        ("phone", "12345678901234567890"),
        ("phone", "ask at the school"),
        ("phone", 7700900482),
        ("parental_responsibility", "yes"),
        ("parental_responsibility", 1),
        ("preferred_channel", "fax"),
        ("formats", ["braille"]),
        ("formats", "large_print"),
        ("role", "grandmother"),
        ("email", "zoe@printer.local"),
        ("email", "zoe@ma\u200brlow.example"),
        ("email", "zoe@☃.example"),
        ("address", ["1 High Street", "Marlow", "SL7 1AB", "Jersey"]),
        ("phone", "18001 0770 0900 482 482 482 482"),
        ("given_name", "\u200b"),
        ("family_name", "\u00ad\u200d"),
        ("given_name", " "),
        ("given_name", "x" * 201),
        ("given_name", {"$gt": ""}),
        ("family_name", None),
        ("family_name", "Lovelace\u0000"),
        ("family_name", "\ud800"),
        ("ethnicity", "Featherstonehaugh"),
        ("case_id", "01a20415-6f80-7011-b5e8-0b2d34474233"),
        ("$where", "sleep(1000)"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_is(rig: Rig, field: str, value: Any) -> None:
    case_id = rig.a_case()

    said = refused(rig.ask("POST", f"/cases/{case_id}/people", {**MOTHER, field: value}), 400, "invalid")

    assert not str(value).strip() or str(value) not in str(said)
    assert rig.rows("people", case_id) == []
    assert rig.ask("GET", f"/cases/{case_id}").status_code == 200


def test_the_refusal_names_every_field_that_is_wrong(rig: Rig) -> None:
    wrong = {**MOTHER, "address": ["1 High Street", "Marlow", "Mars"], "email": "zoe", "phone": "1"}

    said = refused(rig.ask("POST", f"/cases/{rig.a_case()}/people", wrong), 400, "invalid")

    assert set(said["errors"]) == {"address", "email", "phone"}
    assert "High Street" not in str(said)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("date_of_birth", "1996-03-01"),  # P1: over 25 is for a review, not for a refusal
        ("date_of_birth", str(TODAY)),
        ("phone", "+44 (0)7700 900482"),
        ("phone", "01632 960123 ext. 7"),
        ("phone", "+353 1 896 0000"),
        ("phone", "0044 7700 900482"),
        ("email", "o'neil+send@sub.example.co.uk"),
        ("email", "用户@例子.广告"),
        ("email", "user@faß.example"),
        ("phone", "18001 07700 900482"),
        ("address", ["1 Royal Square", "St Helier", "je23ab", "Jersey", "U.K."]),
        ("address", ["1 Tynwald Street", "Douglas", "IM1 1AA"]),
        ("given_name", "ශ්\u200dරී"),
        ("address", ["Flat 1", "22 acacia avenue", "Y Felinheli", "ll56 4aa"]),
        ("address", ["Cpl A. Example", "1 Regiment", "BFPO 61"]),
        ("given_name", "李"),
        ("family_name", "X Æ A-12"),
    ],
)
def test_what_families_really_have_is_taken(rig: Rig, field: str, value: Any) -> None:
    person = rig.a_person(rig.a_case(), **{field: value}).json()

    assert field == "address" or person[field] == value


def test_what_is_invisible_around_what_was_typed_is_not_kept(rig: Rig) -> None:
    address = ["\ufeff1 High Street\u200b", "\u00ad", "Marlow", "SL7 1AB\u200b", "U.K.\u200b"]
    typed = {
        "given_name": "\u200bZoë\u00ad",
        "email": "\u200bzoe@marlow.example\u200b",
        "phone": "\u200e07700 900482\u200b",
    }

    person = rig.a_person(rig.a_case(), **typed, address=address).json()

    assert [person[name] for name in typed] == ["Zoë", "zoe@marlow.example", "07700 900482"]
    assert person["address"] == ["1 High Street", "Marlow", "SL7 1AB"]


def test_an_address_that_the_relay_cannot_write_to_is_refused_when_it_is_typed(rig: Rig) -> None:
    case_id = rig.a_case()
    with patch.dict(os.environ, {**rig.provided.env["case"], "FMN_SMTP_UTF8": "off"}):
        context = open_service("case", "api").context

    def add(email: str) -> Person:
        given = {"role": "parent", "given_name": "Zoë", "family_name": "O", "email": email}
        return add_person(
            context.stores, case_id=case_id, given=given, mail_takes_utf8=context.mail_takes_utf8, now=utc_now()
        )

    with pytest.raises(Invalid) as refused_:
        add("zoë@marlow.example")
    assert set(refused_.value.errors) == {"email"}
    assert rig.rows("people", case_id) == []
    assert add("zoe@bücher.example").email == "zoe@bücher.example"


def test_json_with_a_byte_order_mark_is_read_and_words_from_word_keep_their_line_breaks(rig: Rig) -> None:
    case_id = rig.a_case()
    said = b'\xef\xbb\xbf{"kind": "note", "text": "one\\u000btwo", "at": null}'
    entry = rig.ask("POST", f"/cases/{case_id}/entries", raw=said)
    assert (entry.status_code, entry.json()["text"]) == (201, "one\ntwo")
    person = rig.a_person(case_id, given_name="Zoë\vAnn", address=["1 High\vStreet", "Marlow", "SL7 1AB"]).json()
    assert (person["given_name"], person["address"][0]) == ("Zoë Ann", "1 High Street")


@pytest.mark.parametrize("kind", ["wish", "action", "outcome", "note"])
def test_an_entry_with_nothing_visible_in_it_is_refused(rig: Rig, kind: str) -> None:
    case_id = rig.a_case()
    for nothing in ("\u200b", "\u00ad \n\u2060", "\u3164"):
        refused(rig.ask("POST", f"/cases/{case_id}/entries", {"kind": kind, "text": nothing}), 400, "invalid")
    assert rig.rows("entries", case_id) == []


def test_hostile_bodies_are_refused_and_the_service_goes_on(rig: Rig) -> None:
    case_id = rig.a_case()
    path = f"/cases/{case_id}/people"

    twice = b'{"role": "child", "role": "parent"}'
    for raw in (b"", b"{", b"[]", b'"x"', b"\xff\xfe{}", twice, b"[" * 100_000, b"NaN"):
        refused(rig.ask("POST", path, raw=raw), 400, "invalid")
    ten_megabytes = b'{"role": "child", "given_name": "' + b"a" * (10 * 1024 * 1024) + b'"}'
    refused(rig.ask("POST", path, raw=ten_megabytes), 413, "too-large")
    refused(rig.ask("POST", path, MOTHER, token="x.y.z"), 401, "unauthorised")
    assert rig.rows("people", case_id) == []
    assert rig.a_person(case_id).status_code == 201


def test_who_saw_and_changed_whom_is_audited(rig: Rig) -> None:
    case_id = rig.a_case()
    person = rig.a_person(case_id).json()["id"]
    path = f"/cases/{case_id}/people/{person}"
    rig.ask("GET", path, token=rig.token("caseworker", sub="mx.reader"))
    rig.ask("DELETE", path, role="auditor", match="*")

    rows = rig.ask("GET", f"/audit/case?case_id={case_id}", role="auditor").json()["items"]

    seen = {(row["sub"], row["action"], row["record_id"], row["outcome"]) for row in rows}
    assert ("a.caseworker", "people.add_person", person, "done") in seen
    assert ("mx.reader", "people.read_person", person, "done") in seen
    assert ("a.auditor", "people.remove_person", person, "denied") in seen
