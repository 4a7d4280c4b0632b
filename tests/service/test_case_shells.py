"""Shells and cases over HTTP: nothing personal before consent, and an end that leaves nothing."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from deploy.local.stack import Stack
from services.case.model.references import ALPHABET
from shared.clock import utc_now
from shared.events import consent
from shared.ids import new_id
from tests.helpers import eventually, refused, rewrite
from tests.service.case_rig import MOTHER, Answer, Rig, rig_on
from tests.system import open_with

pytestmark = pytest.mark.xdist_group("case")


@pytest.fixture(scope="module")
def rig(stack: Stack, worker_id: str) -> Rig:
    return rig_on(stack, worker_id)


def test_a_shell_is_a_reference_and_nothing_else(rig: Rig) -> None:
    answer = rig.ask("POST", "/cases", {"channel": "in_person"})

    shell = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v1/cases/{shell['id']}"
    assert answer.headers["ETag"] == rig.ask("GET", f"/cases/{shell['id']}").headers["ETag"]
    assert re.fullmatch(f"[{ALPHABET}]{{4}}-[{ALPHABET}]{{4}}", shell["reference"])
    assert (shell["state"], shell["frozen"], shell["people"], shell["level"]) == ("shell", False, [], None)
    life = datetime.fromisoformat(shell["expires_at"]) - utc_now()
    assert timedelta(days=6, hours=23) < life < timedelta(days=7)
    created = {"case": shell["id"], "state": "shell", "expires_at": shell["expires_at"]}
    eventually(lambda: bool(rig.told("case.created", shell["id"])))
    (told,) = rig.told("case.created", shell["id"])
    assert told | {"expires_at": ""} == created | {"expires_at": ""}


@pytest.mark.parametrize("channel", ["phone", "in_person", "email", "letter", "form", "website"])
def test_a_case_begins_by_any_channel(rig: Rig, channel: str) -> None:
    assert rig.ask("POST", "/cases", {"channel": channel}).json()["channel"] == channel


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"channel": "fax"},
        {"channel": None},
        {"channel": ["phone"]},
        {"channel": "phone", "given_name": "Featherstonehaugh"},
        {"channel": "phone", "people": [MOTHER]},
        {"channel": "phone", "note": "Featherstonehaugh"},
        {"channel": "phone", "id": new_id()},
    ],
)
def test_p4_a_shell_takes_no_field_but_its_channel(rig: Rig, body: Any) -> None:
    said = refused(rig.ask("POST", "/cases", body), 400, "invalid")

    assert "Featherstonehaugh" not in str(said)
    assert b"Featherstonehaugh" not in rig.everything_stored()


def test_p4_nothing_personal_is_stored_before_consent(rig: Rig) -> None:
    case_id = rig.a_shell()["id"]

    nobody_yet = {**MOTHER, "phone": "07700 900 903"}
    refused(rig.ask("POST", f"/cases/{case_id}/people", nobody_yet), 409, "consent-required")
    entry = {"kind": "wish", "text": "A school that understands Zoë"}
    refused(rig.ask("POST", f"/cases/{case_id}/entries", entry), 409, "consent-required")
    refused(rig.ask("POST", f"/cases/{case_id}/people", nobody_yet, key="premature"), 409, "consent-required")

    assert rig.rows("people", case_id) == rig.rows("entries", case_id) == []
    assert rig.rows("search_hashes", case_id, vault=True) == rig.rows("idempotency", case_id) == []
    stored = rig.everything_stored()
    for word in ("Zoë", "Łukasińska", "Sorrel Mews", "SL7 1AB", "900 903", "+447700900903", "understands"):
        assert word.encode() not in stored
    assert rig.ask("GET", f"/cases/{case_id}").json()["state"] == "shell"
    assert rig.ask("POST", "/cases/search", {"phone": "07700 900 903"}).json() == {"items": []}


def test_p4_what_was_refused_before_consent_is_taken_after_it(rig: Rig) -> None:
    case_id = rig.a_shell()["id"]
    refused(rig.ask("POST", f"/cases/{case_id}/people", MOTHER, key="again"), 409, "consent-required")

    rig.consent_given(case_id)

    assert rig.ask("POST", f"/cases/{case_id}/people", MOTHER, key="again").status_code == 201
    eventually(lambda: rig.told("case.state", case_id) == [{"case": case_id, "state": "open"}])
    case = rig.ask("GET", f"/cases/{case_id}").json()
    assert (case["state"], case["expires_at"]) == ("open", None)


def test_p4_after_a_withdrawal_the_file_takes_nothing_new(rig: Rig) -> None:
    case_id = rig.a_case()
    person = rig.a_person(case_id).json()["id"]

    rig.say(consent.WITHDRAWN, case_id, consent=new_id(), standing=[])

    path = f"/cases/{case_id}/entries"
    eventually(lambda: rig.ask("POST", path, {"kind": "note", "text": "x"}).status_code == 409)
    refused(rig.ask("POST", path, {"kind": "note", "text": "x"}), 409, "consent-required")
    refused(rig.ask("POST", f"/cases/{case_id}/people", MOTHER), 409, "consent-required")
    change = rig.ask("PATCH", f"/cases/{case_id}/people/{person}", {"phone": None}, match="*")
    refused(change, 409, "consent-required")
    assert rig.ask("GET", f"/cases/{case_id}").json()["state"] == "open"
    assert rig.ask("DELETE", f"/cases/{case_id}/people/{person}", match="*").status_code == 204


def test_p4_consent_to_something_else_opens_nothing(rig: Rig) -> None:
    case_id, given = rig.a_shell()["id"], new_id()

    rig.say(consent.GIVEN, case_id, consent=given, standing=[{"consent": given, "purpose": "email"}])
    over = (utc_now() - timedelta(seconds=1)).isoformat()
    rig.say(consent.GIVEN, case_id, consent=given, standing=[{"consent": given, "purpose": "casework", "until": over}])

    eventually(lambda: bool(rig.rows("projections", case_id)))
    eventually(lambda: rig.rows("projections", case_id)[0]["standing"][0]["purpose"] == "casework")
    assert rig.ask("GET", f"/cases/{case_id}").json()["state"] == "shell"
    refused(rig.ask("POST", f"/cases/{case_id}/people", MOTHER), 409, "consent-required")


def test_p8_a_declined_shell_leaves_no_more_than_an_expired_one(rig: Rig) -> None:
    declined, expired = rig.a_shell(), rig.a_shell()
    cases = rig.database[f"{rig.provided.prefix}_case"]["cases"]
    stores = open_with(rig.provided, "case", "a test").context.stores
    rewrite(stores.cases, {"_id": expired["id"]}, expires_at=utc_now() - timedelta(minutes=2))
    # It has ended for everyone from that moment, swept or not.
    refused(rig.ask("GET", f"/cases/{expired['id']}"), 410, "erased")
    refused(rig.ask("POST", f"/cases/{expired['id']}/people", MOTHER), 410, "erased")
    assert rig.ask("POST", "/cases/search", {"reference": expired["reference"]}).json() == {"items": []}

    ending = f"/cases/{declined['id']}/ending"
    for _ in range(2):
        assert rig.ask("POST", ending, rig.grant(declined["id"]), role="service:consent").status_code == 204
    rig.processes["case-worker"].restart()

    eventually(lambda: cases.count_documents({"_id": {"$in": [declined["id"], expired["id"]]}}) == 0)
    vault, gates, audit = (
        rig.database[f"{rig.provided.prefix}_case_vault"]["keys"],
        rig.database[f"{rig.provided.prefix}_case"]["gates"],
        rig.database[f"{rig.provided.prefix}_case"]["audit"],
    )
    for shell in (declined, expired):
        eventually(lambda shell=shell: vault.count_documents({"_id": shell["id"]}) == 0)  # type: ignore[misc]
        eventually(
            lambda shell=shell: rig.told("case.ended", shell["id"]) == [{"case": shell["id"], **rig.grant(shell["id"])}]
        )  # type: ignore[misc]
        refused(rig.ask("GET", f"/cases/{shell['id']}"), 410, "erased")
        assert shell["reference"].encode() not in rig.everything_stored()
    # What is left of each is the same tombstone, once each has also heard of its own end. A message that came twice,
    # as one does where a worker was restarted, counts another write at whosever gate it was.
    left = {"_id": 0, "state": 1, "seq": 1}
    eventually(lambda: gates.find_one({"_id": declined["id"]}, left) == gates.find_one({"_id": expired["id"]}, left))
    assert gates.find_one({"_id": declined["id"]}, left)["state"] == "closed"
    actions = {
        shell["id"]: {row["action"] for row in audit.find({"case_id": shell["id"]})} for shell in (declined, expired)
    }
    assert actions[declined["id"]] == {"cases.start_case", "cases.read_case"}
    assert not any("end" in action for found in actions.values() for action in found)


def test_the_sweep_finds_expired_shells_by_an_index(rig: Rig) -> None:
    cases = rig.database[f"{rig.provided.prefix}_case"]["cases"]

    plan = cases.find({"state": "shell", "expires_at": {"$lte": utc_now()}}).sort("expires_at", 1).explain()

    assert "IXSCAN" in str(plan["queryPlanner"]["winningPlan"])
    assert "COLLSCAN" not in str(plan["queryPlanner"]["winningPlan"])


def test_only_the_consent_service_ends_a_shell_and_only_a_shell(rig: Rig) -> None:
    shell, case_id = rig.a_shell()["id"], rig.a_case()

    for role in ("caseworker", "manager", "service:notifier", "service:document"):
        refused(rig.ask("POST", f"/cases/{shell}/ending", rig.grant(shell), role=role), 403, "forbidden")

    def ending(case_id: str, grant: dict[str, str]) -> Answer:
        return rig.ask("POST", f"/cases/{case_id}/ending", grant, role="service:consent")

    # Nor without the signature that no one agreed to this very shell
    for grant in (rig.grant(case_id), {"grant": "not.a.signature"}, {"grant": rig.grant(shell)["grant"][:-4] + "AAAA"}):
        refused(ending(shell, grant), 403, "forbidden")
    refused(ending(shell, {}), 400, "invalid")
    refused(ending(case_id, rig.grant(case_id)), 409, "conflict")
    other = new_id()
    refused(ending(other, rig.grant(other)), 404, "not-found")
    assert rig.ask("GET", f"/cases/{shell}").json()["state"] == "shell"
    assert rig.ask("GET", f"/cases/{case_id}").json()["state"] == "open"


def test_the_same_key_makes_one_shell(rig: Rig) -> None:
    first = rig.ask("POST", "/cases", {"channel": "phone"}, key="a shell, once")
    again = rig.ask("POST", "/cases", {"channel": "phone"}, key="a shell, once")

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert first.headers["ETag"] == again.headers["ETag"]
    refused(rig.ask("POST", "/cases", {"channel": "email"}, key="a shell, once"), 409, "conflict")


def test_cases_are_listed_page_by_page_and_by_state(rig: Rig) -> None:
    shells = [rig.a_shell()["id"] for _ in range(3)]
    opened = rig.a_case()
    rig.a_person(opened)

    listed: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = rig.ask("GET", f"/cases?limit=2{cursor and '&cursor=' + cursor}").json()
        listed, cursor = listed + page["items"], page["next"]
        assert len(page["items"]) <= 2

    ids = [case["id"] for case in listed]
    assert ids == sorted(ids)
    assert {*shells, opened} <= set(ids)
    assert rig.ask("GET", f"/cases/{opened}").json() in listed
    by_state = rig.ask("GET", "/cases?state=open&limit=200").json()["items"]
    assert opened in [case["id"] for case in by_state]
    assert {case["state"] for case in by_state} == {"open"}
    for query in ("state=gone", "limit=0", "limit=201", "cursor=!!", "name=Zoe", "state=open&state=shell"):
        refused(rig.ask("GET", f"/cases?{query}"), 400, "invalid")


@pytest.mark.parametrize(
    ("role", "status"),
    [
        ("caseworker", 200),
        ("manager", 200),
        ("app", 200),
        ("safeguarding_lead", 200),
        ("service:consent", 200),
        ("service:document", 200),
        ("service:notifier", 200),
        ("data_protection", 403),
        ("auditor", 403),
    ],
)
def test_who_may_read_a_case(rig: Rig, role: str, status: int) -> None:
    case_id = rig.a_case()

    assert rig.ask("GET", f"/cases/{case_id}", role=role).status_code == status
    others = ("safeguarding_lead", "data_protection", "auditor", "service:consent")
    assert role not in others or rig.ask("POST", "/cases", {"channel": "phone"}, role=role).status_code == 403


def test_an_id_that_is_none_or_of_another_kind_is_not_found(rig: Rig) -> None:
    case_id = rig.a_case()
    person = rig.a_person(case_id).json()["id"]

    for wrong in (new_id(), person, "1", case_id.upper(), "%00", "..%2fcases"):
        refused(rig.ask("GET", f"/cases/{wrong}"), 404, "not-found")
        refused(rig.ask("GET", f"/cases/{wrong}/people"), 404, "not-found")
        refused(rig.ask("POST", f"/cases/{wrong}/entries", {"kind": "note", "text": "x"}), 404, "not-found")
    refused(rig.ask("GET", f"/cases/{case_id}/people/{case_id}"), 404, "not-found")
    refused(rig.ask("GET", f"/cases/{rig.a_case()}/people/{person}"), 404, "not-found")
