"""P6, P7 and P13: asked after being told, kept as it was said, changed by what is said later, ended when it is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.consent.actions import clock
from services.consent.store import Stores
from shared.ids import new_id
from tests.helpers import eventually, refused
from tests.races.inside import Inside, an_inside
from tests.system import System


@pytest.fixture(scope="module")
def inside(system: System) -> Iterator[Inside]:
    with an_inside(system) as opened:
        yield opened


@pytest.fixture
def opened(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> Stores:
    """The consent service's own stores, for what the clock does at a day that has not come."""
    stores: Stores = inside.opened("consent", monkeypatch).context.stores
    return stores


NOW = datetime.now(UTC)
ANN = {"name": "Ann Okonkwo", "capacity": "parental_responsibility"}
FILE = {"purpose": "casework"}


def said(system: System, case_id: str, *purposes: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The body of a consent, given just now."""
    now = datetime.now(UTC)
    return {
        "case_id": case_id,
        "decision": "given",
        "given_by": ANN,
        "channel": "phone",
        "informed_at": (now - timedelta(minutes=5)).isoformat(),
        "given_at": now.isoformat(),
        "statement_version": system.caseworker.read("/statement")["version"],
        "purposes": list(purposes) or [FILE],
        **more,
    }


def a_council(system: System) -> str:
    return str(system.caseworker.made("/organisations", {"name": "Marlow Council", "kind": "local_authority"})["id"])


def consents(system: System, case_id: str) -> list[dict[str, Any]]:
    return list(system.caseworker.read("/consents", case_id=case_id)["items"])


def decided(system: System, case_id: str, purpose: str = "casework", **more: str) -> dict[str, Any]:
    return system.caseworker.read("/decisions", case_id=case_id, purpose=purpose, **more)


def test_p7_a_consent_keeps_who_gave_it_as_what_to_what_and_on_what_evidence(system: System) -> None:
    # Given a file, and a form signed at the office and scanned
    case_id, council = system.an_open_case(), a_council(system)
    ann = system.a_person(case_id)["id"]
    form = system.a_scan(case_id, kind="form").json()["id"]
    # When it is recorded
    contact = {"purpose": "contact", "party": council}
    plans = {"purpose": "obtain_documents", "party": council, "document_kind": "ehc_plan"}
    body = said(
        system, case_id, FILE, contact, plans, given_by={**ANN, "person_id": ann}, channel="form", evidence=form
    )
    made = system.caseworker.made("/consents", body)
    # Then every word of it is there
    kept = system.caseworker.read(f"/consents/{made['id']}")
    assert (kept["given_by"]["name"], kept["given_by"]["person_id"]) == ("Ann Okonkwo", ann)
    assert (kept["channel"], kept["evidence"]) == ("form", form)
    assert [p["purpose"] for p in kept["purposes"]] == ["casework", "contact", "obtain_documents"]
    assert kept["statement_sha256"] == system.caseworker.read("/statement")["sha256"]
    assert [h["event"] for h in kept["history"]] == ["given"]
    assert decided(system, case_id, "contact", party=council)["consent_id"] == made["id"]
    # And evidence that isn't the case's is none
    other = system.an_open_case()
    for evidence in (new_id(), system.a_scan(other).json()["id"], "she said so"):
        answer = system.caseworker.post("/consents", said(system, case_id, evidence=evidence))
        refused(answer, 400, "invalid", "evidence")


def test_p7_evidence_can_t_be_checked_while_the_documents_are_away(system: System) -> None:
    case_id = system.an_open_case()
    form = system.a_scan(case_id, kind="form").json()["id"]
    with system.away("document-api"):
        refused(system.caseworker.post("/consents", said(system, case_id, evidence=form)), 503, "unavailable")
    assert len(consents(system, case_id)) == 1


def test_p7_what_can_t_be_so_changes_nothing(system: System) -> None:
    case_id, council = system.an_open_case(), a_council(system)
    child = system.a_person(case_id, role="child", date_of_birth="2016-05-05", address=None, email=None, phone=None)
    parent = system.a_person(case_id)
    before, soon = consents(system, case_id), (datetime.now(UTC) + timedelta(hours=1)).isoformat()
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
        refused(system.caseworker.post("/consents", said(system, case_id, **more)), 400, "invalid", field)
    given = system.caseworker.made(
        "/consents", body := said(system, case_id, FILE, {"purpose": "contact", "party": council})
    )
    # Said again it is the same consent; sent again under its key it is the same answer
    refused(system.caseworker.post("/consents", body), 409, "conflict")
    refused(system.caseworker.post("/consents", body, Idempotency_Key=new_id()), 409, "conflict")
    key = new_id()
    again = said(system, case_id, {"purpose": "email"})
    first, second = (system.caseworker.post("/consents", again, Idempotency_Key=key) for _ in range(2))
    assert (first.status_code, first.json()) == (second.status_code, second.json()) == (201, first.json())
    assert len(consents(system, case_id)) == len(before) + 2
    # A purpose that was never given can't be withdrawn
    end = {"channel": "phone", "by": "Ann", "purposes": [{"purpose": "share", "party": council}]}
    refused(system.caseworker.post(f"/consents/{given['id']}/withdrawal", end), 400, "invalid", "purposes")
    assert decided(system, case_id, "contact", party=council)["allowed"] is True


def test_p13_withdrawing_one_purpose_stops_only_what_rested_on_it(system: System) -> None:
    case_id, council = system.an_open_case(), a_council(system)
    contact, email = {"purpose": "contact", "party": council}, {"purpose": "email"}
    made = system.caseworker.made("/consents", said(system, case_id, contact, email))
    end = system.caseworker.made(
        f"/consents/{made['id']}/withdrawal", {"channel": "phone", "by": "Ann", "purposes": [contact]}
    )
    assert end["request_id"] is None
    assert decided(system, case_id, "contact", party=council) == {"allowed": False, "reason": "no-consent-for-this"}
    assert decided(system, case_id, "email")["allowed"] is True
    assert decided(system, case_id)["allowed"] is True
    assert system.caseworker.read(f"/cases/{case_id}")["frozen"] is False
    shown = system.caseworker.read(f"/consents/{made['id']}")
    assert [p["purpose"] for p in shown["standing"]] == ["email"]
    assert [(h["event"], h["purposes"] and h["purposes"][0]["party"]) for h in shown["history"]] == [
        ("given", None),
        ("withdrawn", council),
    ]
    # A second time there is nothing to withdraw
    refused(
        system.caseworker.post(
            f"/consents/{made['id']}/withdrawal", {"channel": "phone", "by": "Ann", "purposes": [contact]}
        ),
        409,
        "conflict",
    )


def test_p7_the_last_one_to_withdraw_from_the_file_asks_for_it_to_be_erased(system: System, inside: Inside) -> None:
    # Given a file that two people agreed to
    case_id = system.an_open_case()
    ann = system.a_person(case_id)["id"]
    first = consents(system, case_id)[0]["id"]
    bob = system.caseworker.made("/consents", said(system, case_id, given_by={**ANN, "name": "Bob", "person_id": ann}))
    leaves = {"channel": "phone", "by": "on the phone"}
    # When one of them withdraws, the other's consent carries it
    assert system.caseworker.made(f"/consents/{first}/withdrawal", leaves)["request_id"] is None
    assert decided(system, case_id)["consent_id"] == bob["id"]
    # When the other does too, an erasure is asked for in their name
    asked = system.caseworker.made(f"/consents/{bob['id']}/withdrawal", leaves)["request_id"]
    request = system.caseworker.read(f"/requests/{asked}")
    assert (request["kind"], request["case_id"], request["waiting_on"]) == ("erasure", case_id, ["confirmation"])
    row = inside.row("consent", "requests", _id=asked)
    assert row is not None
    assert row["logged_by"] == "system"
    eventually(lambda: system.caseworker.read(f"/cases/{case_id}")["frozen"])
    # And it waits for somebody else than whoever recorded it, as any other does
    checked = {"checked": ["family", "authority", "safeguarding"]}
    refused(system.caseworker.post(f"/requests/{asked}/confirmation", checked), 403, "forbidden")
    system.confirm(asked)
    inside.completes(asked)
    assert system.caseworker.get(f"/cases/{case_id}").status_code == 410
    assert inside.left_of(case_id) == []
    # Then they had their last letter, as their consent stood before they withdrew
    answers = inside.mongo[f"{inside.names}_consent"]["receipts"].find({"request": asked, "service": "notifier"})
    last = [answer["last_letter"] for answer in answers.sort("at", 1)]
    assert last[-1] == "sent"


def test_p7_a_withdrawal_beside_an_open_erasure_asks_for_no_second_one(system: System) -> None:
    case_id = system.an_open_case()
    open_one = system.an_erasure(case_id)["id"]
    made = system.caseworker.made(
        f"/consents/{consents(system, case_id)[0]['id']}/withdrawal", {"channel": "phone", "by": "Ann"}
    )
    assert made["request_id"] == open_one
    assert len(system.caseworker.read("/requests", case_id=case_id)["items"]) == 1


def test_p7_a_newer_word_of_the_same_person_takes_the_older_one_s_place(system: System) -> None:
    case_id, council = system.a_shell(), a_council(system)
    contact = {"purpose": "contact", "party": council}
    old = system.caseworker.made("/consents", said(system, case_id, FILE, contact))
    others = system.caseworker.made("/consents", said(system, case_id, FILE, given_by={**ANN, "name": "Bob"}))
    new = system.caseworker.made("/consents", said(system, case_id, FILE))
    shown = {c["id"]: c for c in consents(system, case_id)}
    assert [(h["event"], h["superseded_by"]) for h in shown[old["id"]]["history"]] == [
        ("given", None),
        ("superseded", new["id"]),
    ]
    assert [p["purpose"] for p in shown[old["id"]]["standing"]] == ["contact"]
    assert [p["purpose"] for p in shown[others["id"]]["standing"]] == ["casework"]
    assert [p["purpose"] for p in shown[old["id"]]["purposes"]] == ["casework", "contact"]
    # To withdraw the older one ends what is left of it
    end = {"channel": "phone", "by": "Ann", "purposes": [FILE]}
    refused(system.caseworker.post(f"/consents/{old['id']}/withdrawal", end), 409, "conflict")
    assert system.caseworker.made(f"/consents/{old['id']}/withdrawal", {"channel": "phone", "by": "Ann"})
    assert decided(system, case_id)["allowed"] is True


def test_a_consent_ends_with_its_last_day_in_every_service(system: System, opened: Stores) -> None:
    # Given a file agreed to for three days, and email for one
    day = datetime.now(UTC).date() + timedelta(days=3)
    case_id = system.a_shell()
    email = {"purpose": "email", "until": str(day - timedelta(days=2))}
    made = system.caseworker.made("/consents", said(system, case_id, FILE, email, until=str(day)))
    assert [p["until"] for p in made["purposes"]] == [str(day), str(day - timedelta(days=2))]
    assert decided(system, case_id)["until"].startswith(str(day))
    eventually(lambda: system.caseworker.read(f"/cases/{case_id}")["state"] == "open")
    entry = {"kind": "note", "text": "a word"}
    system.caseworker.made(f"/cases/{case_id}/entries", entry)

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
    assert decided(system, case_id, "email")["allowed"] is False
    assert decided(system, case_id)["allowed"] is True
    assert system.caseworker.read("/tasks", case_id=case_id)["items"] == []
    # When the file's own day is over too
    assert clock_at(noon + timedelta(days=4)) == {"expiry"}
    assert clock_at(noon + timedelta(days=4)) == set()
    # Then nobody may do anything with it, and somebody is told to ask
    assert decided(system, case_id) == {"allowed": False, "reason": "no-casework-consent"}
    eventually(lambda: system.caseworker.post(f"/cases/{case_id}/entries", entry).status_code == 409)
    refused(system.caseworker.post(f"/cases/{case_id}/entries", entry), 409, "consent-required")
    eventually(lambda: system.a_scan(case_id).status_code == 409)
    assert [h["event"] for h in consents(system, case_id)[0]["history"]] == ["given", "expired", "expired"]
    task = system.caseworker.read("/tasks", case_id=case_id, state="open")["items"][0]
    assert (task["kind"], task["due_on"]) == ("consent_expired", str(day + timedelta(days=1)))
    # It is no withdrawal: nothing asks for an erasure
    assert system.caseworker.read("/requests", case_id=case_id)["items"] == []
    # And once they agree again there is nothing left to do
    system.caseworker.made("/consents", said(system, case_id))
    eventually(lambda: system.caseworker.post(f"/cases/{case_id}/entries", entry).status_code == 201)
    assert system.caseworker.read("/tasks", case_id=case_id, state="open")["items"] == []


def test_p7_nothing_is_agreed_to_for_a_case_that_is_forgotten(system: System, inside: Inside) -> None:
    case_id = system.an_open_case()
    made = consents(system, case_id)[0]["id"]
    system.confirm(request := system.an_erasure(case_id)["id"])
    inside.completes(request)
    refused(system.caseworker.post("/consents", said(system, case_id)), 410, "erased")
    refused(system.caseworker.get("/decisions", case_id=case_id, purpose="casework"), 410, "erased")
    refused(system.caseworker.get("/tasks", case_id=case_id), 410, "erased")
    # Found by its own id it is nothing at all: nothing remembers it
    refused(system.caseworker.get(f"/consents/{made}/receipt"), 404, "not-found")
