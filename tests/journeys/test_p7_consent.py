"""P6, P7 and P13: asked after being told, kept as it was said, changed by what is said later, ended when it is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from services.consent.actions import clock
from services.consent.main import stores as consent_stores
from services.consent.store import Stores
from shared import service as wiring
from shared.ids import new_id
from tests.house import House, eventually
from tests.races.inside import Inside, an_inside


@pytest.fixture(scope="module")
def inside(house: House) -> Iterator[Inside]:
    with an_inside(house) as opened:
        yield opened


@pytest.fixture
def opened(house: House, monkeypatch: pytest.MonkeyPatch) -> Stores:
    """The consent service's own stores, for what the clock does at a day that has not come."""
    for name, value in house.provided.env["consent"].items():
        monkeypatch.setenv(name, value)
    return consent_stores(wiring.build("consent", "worker"))


NOW = datetime.now(UTC)
ANN = {"name": "Ann Okonkwo", "capacity": "parental_responsibility"}
FILE = {"purpose": "casework"}


def said(house: House, case_id: str, *purposes: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The body of a consent, given just now."""
    now = datetime.now(UTC)
    return {
        "case_id": case_id,
        "decision": "given",
        "given_by": ANN,
        "channel": "phone",
        "informed_at": (now - timedelta(minutes=5)).isoformat(),
        "given_at": now.isoformat(),
        "statement_version": house.caseworker.read("/statement")["version"],
        "purposes": list(purposes) or [FILE],
        **more,
    }


def a_council(house: House) -> str:
    return str(house.caseworker.made("/organisations", {"name": "Marlow Council", "kind": "local_authority"})["id"])


def consents(house: House, case_id: str) -> list[dict[str, Any]]:
    return list(house.caseworker.read("/consents", case_id=case_id)["items"])


def decided(house: House, case_id: str, purpose: str = "casework", **more: str) -> dict[str, Any]:
    return house.caseworker.read("/decisions", case_id=case_id, purpose=purpose, **more)


def refused(answer: requests.Response, status: int, name: str, field: str | None = None) -> None:
    found = (answer.status_code, answer.json()["type"])
    assert found == (status, f"urn:fmn:problem:{name}"), answer.text
    if field:
        assert field in answer.json()["errors"], answer.text


def test_p7_a_consent_keeps_who_gave_it_as_what_to_what_and_on_what_evidence(house: House) -> None:
    # Given a file, and a form signed at the office and scanned
    case_id, council = house.an_open_case(), a_council(house)
    ann = house.a_person(case_id)["id"]
    form = house.a_scan(case_id, kind="form").json()["id"]
    # When it is recorded
    contact = {"purpose": "contact", "party": council}
    plans = {"purpose": "obtain_documents", "party": council, "document_kind": "ehc_plan"}
    body = said(house, case_id, FILE, contact, plans, given_by={**ANN, "person_id": ann}, channel="form", evidence=form)
    made = house.caseworker.made("/consents", body)
    # Then every word of it is there
    kept = house.caseworker.read(f"/consents/{made['id']}")
    assert (kept["given_by"]["name"], kept["given_by"]["person_id"]) == ("Ann Okonkwo", ann)
    assert (kept["channel"], kept["evidence"]) == ("form", form)
    assert [p["purpose"] for p in kept["purposes"]] == ["casework", "contact", "obtain_documents"]
    assert kept["statement_sha256"] == house.caseworker.read("/statement")["sha256"]
    assert [h["event"] for h in kept["history"]] == ["given"]
    assert decided(house, case_id, "contact", party=council)["consent_id"] == made["id"]
    # And evidence that isn't the case's is none
    other = house.an_open_case()
    for evidence in (new_id(), house.a_scan(other).json()["id"], "she said so"):
        answer = house.caseworker.post("/consents", said(house, case_id, evidence=evidence))
        refused(answer, 400, "invalid", "evidence")


def test_p7_evidence_can_t_be_checked_while_the_documents_are_away(house: House) -> None:
    case_id = house.an_open_case()
    form = house.a_scan(case_id, kind="form").json()["id"]
    away = house.process("document-api")
    away.stop()
    try:
        refused(house.caseworker.post("/consents", said(house, case_id, evidence=form)), 503, "unavailable")
    finally:
        away.start()
        away.wait_ready()
    assert len(consents(house, case_id)) == 1


def test_p7_what_can_t_be_so_changes_nothing(house: House) -> None:
    case_id, council = house.an_open_case(), a_council(house)
    child = house.a_person(case_id, role="child", date_of_birth="2016-05-05", address=None, email=None, phone=None)
    parent = house.a_person(case_id)
    before, soon = consents(house, case_id), (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    yesterday = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"
    incapable = {"represented_by": "deputy", "how_judged": "by a doctor", "judged_by": "Dr Bo"}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"given_at": hour_ago}, "given_at"),
        ({"given_at": soon}, "given_at"),
        ({"informed_at": soon, "given_at": soon}, "informed_at"),
        ({"purposes": [{"purpose": "contact", "party": new_id()}]}, "purposes"),
        ({"purposes": [{"purpose": "contact"}]}, "purposes"),
        ({"purposes": [FILE, FILE]}, "purposes"),
        ({"purposes": [{**FILE, "until": yesterday}]}, "purposes"),
        ({"until": yesterday}, "purposes"),
        ({"statement_version": "99"}, "statement_version"),
        ({"given_by": {**ANN, "person_id": new_id()}}, "given_by.person_id"),
        ({"given_by": {"name": "Ali", "capacity": "child"}}, "given_by.basis"),
        ({"given_by": {"name": "Ali", "capacity": "young_person", "person_id": parent["id"]}}, "given_by.person_id"),
        ({"given_by": {**ANN, "capacity": "other", "incapacity": incapable}}, "given_by.incapacity"),
        ({"given_by": {**ANN, "capacity": "other", "for_person_id": child["id"]}}, "given_by.incapacity"),
        (
            {"given_by": {**ANN, "capacity": "other", "for_person_id": parent["id"], "incapacity": incapable}},
            "given_by.for_person_id",
        ),
    ]
    for more, field in wrong:
        refused(house.caseworker.post("/consents", said(house, case_id, **more)), 400, "invalid", field)
    given = house.caseworker.made(
        "/consents", body := said(house, case_id, FILE, {"purpose": "contact", "party": council})
    )
    # Said again it is the same consent; sent again under its key it is the same answer
    refused(house.caseworker.post("/consents", body), 409, "conflict")
    refused(house.caseworker.post("/consents", body, Idempotency_Key=new_id()), 409, "conflict")
    key = new_id()
    again = said(house, case_id, {"purpose": "email"})
    first, second = (house.caseworker.post("/consents", again, Idempotency_Key=key) for _ in range(2))
    assert (first.status_code, first.json()) == (second.status_code, second.json()) == (201, first.json())
    assert len(consents(house, case_id)) == len(before) + 2
    # A purpose that was never given can't be withdrawn
    end = {"channel": "phone", "by": "Ann", "purposes": [{"purpose": "share", "party": council}]}
    refused(house.caseworker.post(f"/consents/{given['id']}/withdrawal", end), 400, "invalid", "purposes")
    assert decided(house, case_id, "contact", party=council)["allowed"] is True


def test_p13_withdrawing_one_purpose_stops_only_what_rested_on_it(house: House) -> None:
    case_id, council = house.an_open_case(), a_council(house)
    contact, email = {"purpose": "contact", "party": council}, {"purpose": "email"}
    made = house.caseworker.made("/consents", said(house, case_id, contact, email))
    end = house.caseworker.made(
        f"/consents/{made['id']}/withdrawal", {"channel": "phone", "by": "Ann", "purposes": [contact]}
    )
    assert end["request_id"] is None
    assert decided(house, case_id, "contact", party=council) == {"allowed": False, "reason": "no-consent-for-this"}
    assert decided(house, case_id, "email")["allowed"] is True
    assert decided(house, case_id)["allowed"] is True
    assert house.caseworker.read(f"/cases/{case_id}")["frozen"] is False
    shown = house.caseworker.read(f"/consents/{made['id']}")
    assert [p["purpose"] for p in shown["standing"]] == ["email"]
    assert [(h["event"], h["purposes"] and h["purposes"][0]["party"]) for h in shown["history"]] == [
        ("given", None),
        ("withdrawn", council),
    ]
    # A second time there is nothing to withdraw
    refused(
        house.caseworker.post(
            f"/consents/{made['id']}/withdrawal", {"channel": "phone", "by": "Ann", "purposes": [contact]}
        ),
        409,
        "conflict",
    )


def test_p7_the_last_one_to_withdraw_from_the_file_asks_for_it_to_be_erased(house: House, inside: Inside) -> None:
    # Given a file that two people agreed to
    case_id = house.an_open_case()
    ann = house.a_person(case_id)["id"]
    first = consents(house, case_id)[0]["id"]
    bob = house.caseworker.made("/consents", said(house, case_id, given_by={**ANN, "name": "Bob", "person_id": ann}))
    leaves = {"channel": "phone", "by": "on the phone"}
    # When one of them withdraws, the other's consent carries it
    assert house.caseworker.made(f"/consents/{first}/withdrawal", leaves)["request_id"] is None
    assert decided(house, case_id)["consent_id"] == bob["id"]
    # When the other does too, an erasure is asked for in their name
    asked = house.caseworker.made(f"/consents/{bob['id']}/withdrawal", leaves)["request_id"]
    request = house.caseworker.read(f"/requests/{asked}")
    assert (request["kind"], request["case_id"], request["waiting_on"]) == ("erasure", case_id, ["confirmation"])
    row = inside.row("consent", "requests", _id=asked)
    assert row is not None
    assert row["logged_by"] == "system"
    eventually(lambda: house.caseworker.read(f"/cases/{case_id}")["frozen"])
    # And it waits for somebody else than whoever recorded it, as any other does
    checked = {"checked": ["family", "authority", "safeguarding"]}
    refused(house.caseworker.post(f"/requests/{asked}/confirmation", checked), 403, "forbidden")
    house.confirm(asked)
    inside.completes(asked)
    assert house.caseworker.get(f"/cases/{case_id}").status_code == 410
    assert inside.left_of(case_id) == []
    # Then they had their last letter, as their consent stood before they withdrew
    answers = inside.mongo[f"{inside.names}_consent"]["receipts"].find({"request": asked, "service": "notifier"})
    last = [answer["last_letter"] for answer in answers.sort("at", 1)]
    assert last[-1] == "sent"


def test_p7_a_withdrawal_beside_an_open_erasure_asks_for_no_second_one(house: House) -> None:
    case_id = house.an_open_case()
    open_one = house.an_erasure(case_id)["id"]
    made = house.caseworker.made(
        f"/consents/{consents(house, case_id)[0]['id']}/withdrawal", {"channel": "phone", "by": "Ann"}
    )
    assert made["request_id"] == open_one
    assert len(house.caseworker.read("/requests", case_id=case_id)["items"]) == 1


def test_p7_a_newer_word_of_the_same_person_takes_the_older_one_s_place(house: House) -> None:
    case_id, council = house.a_shell(), a_council(house)
    contact = {"purpose": "contact", "party": council}
    old = house.caseworker.made("/consents", said(house, case_id, FILE, contact))
    others = house.caseworker.made("/consents", said(house, case_id, FILE, given_by={**ANN, "name": "Bob"}))
    new = house.caseworker.made("/consents", said(house, case_id, FILE))
    shown = {c["id"]: c for c in consents(house, case_id)}
    assert [(h["event"], h["superseded_by"]) for h in shown[old["id"]]["history"]] == [
        ("given", None),
        ("superseded", new["id"]),
    ]
    assert [p["purpose"] for p in shown[old["id"]]["standing"]] == ["contact"]
    assert [p["purpose"] for p in shown[others["id"]]["standing"]] == ["casework"]
    assert [p["purpose"] for p in shown[old["id"]]["purposes"]] == ["casework", "contact"]
    # To withdraw the older one ends what is left of it
    end = {"channel": "phone", "by": "Ann", "purposes": [FILE]}
    refused(house.caseworker.post(f"/consents/{old['id']}/withdrawal", end), 409, "conflict")
    assert house.caseworker.made(f"/consents/{old['id']}/withdrawal", {"channel": "phone", "by": "Ann"})
    assert decided(house, case_id)["allowed"] is True


def test_a_consent_ends_with_its_last_day_in_every_service(house: House, opened: Stores) -> None:
    # Given a file agreed to for three days, and email for one
    day = datetime.now(UTC).date() + timedelta(days=3)
    case_id = house.a_shell()
    email = {"purpose": "email", "until": str(day - timedelta(days=2))}
    made = house.caseworker.made("/consents", said(house, case_id, FILE, email, until=str(day)))
    assert [p["until"] for p in made["purposes"]] == [str(day), str(day - timedelta(days=2))]
    assert decided(house, case_id)["until"].startswith(str(day))
    eventually(lambda: house.caseworker.read(f"/cases/{case_id}")["state"] == "open")
    entry = {"kind": "note", "text": "a word"}
    house.caseworker.made(f"/cases/{case_id}/entries", entry)

    def clock_at(moment: datetime) -> set[str]:
        due = clock.find_due(opened, now=moment, limit=10_000)
        found = {str(one.kind) for one in due if one.case_id == case_id}
        if "expiry" in found:
            clock.expire(opened, case_id=case_id, now=moment)
            clock.expire(opened, case_id=case_id, now=moment)
        return found

    # Until its last day is over the clock finds nothing; then email alone ends
    noon = datetime.now(UTC).replace(hour=12)
    assert clock_at(noon + timedelta(days=1)) == set()
    assert clock_at(noon + timedelta(days=2)) == {"expiry"}
    assert decided(house, case_id, "email")["allowed"] is False
    assert decided(house, case_id)["allowed"] is True
    assert house.caseworker.read("/tasks", case_id=case_id)["items"] == []
    # When the file's own day is over too
    assert clock_at(noon + timedelta(days=4)) == {"expiry"}
    assert clock_at(noon + timedelta(days=4)) == set()
    # Then nobody may do anything with it, and somebody is told to ask
    assert decided(house, case_id) == {"allowed": False, "reason": "no-casework-consent"}
    eventually(lambda: house.caseworker.post(f"/cases/{case_id}/entries", entry).status_code == 409)
    refused(house.caseworker.post(f"/cases/{case_id}/entries", entry), 409, "consent-required")
    eventually(lambda: house.a_scan(case_id).status_code == 409)
    assert [h["event"] for h in consents(house, case_id)[0]["history"]] == ["given", "expired", "expired"]
    task = house.caseworker.read("/tasks", case_id=case_id, state="open")["items"][0]
    assert (task["kind"], task["due_on"]) == ("consent_expired", str(day + timedelta(days=1)))
    # It is no withdrawal: nothing asks for an erasure
    assert house.caseworker.read("/requests", case_id=case_id)["items"] == []
    # And once they agree again there is nothing left to do
    house.caseworker.made("/consents", said(house, case_id))
    eventually(lambda: house.caseworker.post(f"/cases/{case_id}/entries", entry).status_code == 201)
    assert house.caseworker.read("/tasks", case_id=case_id, state="open")["items"] == []


def test_p7_nothing_is_agreed_to_for_a_case_that_is_forgotten(house: House, inside: Inside) -> None:
    case_id = house.an_open_case()
    made = consents(house, case_id)[0]["id"]
    house.confirm(request := house.an_erasure(case_id)["id"])
    inside.completes(request)
    refused(house.caseworker.post("/consents", said(house, case_id)), 410, "erased")
    refused(house.caseworker.get("/decisions", case_id=case_id, purpose="casework"), 410, "erased")
    refused(house.caseworker.get("/tasks", case_id=case_id), 410, "erased")
    # Found by its own id it is nothing at all: nothing remembers it
    refused(house.caseworker.get(f"/consents/{made}/receipt"), 404, "not-found")
