"""P2 and P7: whoever agreed can have it in writing: what they were told, what they agreed to, how to take it back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema_rs
import jwt
import pytest
import requests

from shared.ids import new_id
from tests.helpers import soon
from tests.races.inside import Inside, an_inside
from tests.system import System

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "consent-receipt.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def inside(system: System) -> Iterator[Inside]:
    with an_inside(system) as opened:
        yield opened


def as_json(system: System, consent_id: str) -> dict[str, Any]:
    path = f"/consents/{consent_id}/receipt"
    answer = system.caseworker.call("GET", path, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json"), answer.text
    return dict(answer.json())


def test_p2_a_receipt_says_what_was_agreed_to_and_verifies_with_an_ordinary_library(system: System) -> None:
    # Given a consent with a party and a last day, of which one purpose was taken back
    case_id = system.an_open_case()
    ann = system.a_person(case_id)["id"]
    council = system.caseworker.made("/organisations", {"name": "Marlow Council", "kind": "local_authority"})["id"]
    contact, share = {"purpose": "contact", "party": council}, {"purpose": "share", "party": ann}
    day = f"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%d}"
    given_by = {"name": "Żaneta Okonkwo", "person_id": ann, "capacity": "parental_responsibility"}
    consent = system.a_consent(case_id, {"purpose": "casework"}, contact, {**share, "until": day}, given_by=given_by)
    ended = {"channel": "phone", "by": "Żaneta", "purposes": [contact]}
    system.caseworker.made(f"/consents/{consent['id']}/withdrawal", ended)
    # When they ask for it
    answer = system.caseworker.get(f"/consents/{consent['id']}/receipt")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/jose")
    # Then an ordinary JOSE library opens it with the published keys alone
    keys = requests.get(f"{system.provided.urls['consent']}/.well-known/jwks.json", timeout=5).json()["keys"]
    header = jwt.get_unverified_header(answer.text)
    key = next(key for key in keys if key["kid"] == header["kid"])
    assert (header["typ"], header["alg"]) == ("fmn-consent-receipt", "EdDSA")
    assert (key["fmn_service"], key["fmn_use"]) == ("consent", "consent_receipt")
    record = jwt.decode(answer.text, jwt.PyJWK(key).key, algorithms=["EdDSA"])
    # And it is of the shape that is published
    assert list(jsonschema_rs.validator_for(SCHEMA).iter_errors(record)) == []
    statement = system.caseworker.read("/statement")
    assert record["record_id"] == consent["id"]
    assert record["pii_principal_id"] == ann
    assert (record["privacy_notice"]["version"], record["privacy_notice"]["sha256"]) == (
        statement["version"],
        statement["sha256"],
    )
    assert [(p["purpose"], p["party_id"], p["state"]) for p in record["purposes"]] == [
        ("casework", None, "standing"),
        ("contact", council, "ended"),
        ("share", ann, "standing"),
    ]
    assert record["purposes"][2]["valid_until"].startswith(day)
    # The council by its name; another of the family by an id alone
    assert [(r["party_id"], r["party_name"]) for r in record["recipients"]] == [
        (council, "Marlow Council"),
        (ann, None),
    ]
    assert [(e["event_type"], e["purposes"] and e["purposes"][0]["party_id"]) for e in record["events"]] == [
        ("given", None),
        ("withdrawn", council),
    ]
    assert "01632 960 123" in record["withdrawal_method"]
    assert {p["party_name"] for p in record["parties"]} == {"Marlow Vale SENDIAS", "Marlow Vale Council"}
    # Who prefers JSON has the same
    plain = as_json(system, consent["id"])
    assert {k: v for k, v in plain.items() if k != "issued_at"} == {k: v for k, v in record.items() if k != "issued_at"}
    # And that they were shown it is on record
    shown = system.auditor.read("/audit/consent", case_id=case_id, limit=200)["items"]
    assert [row["record_id"] for row in shown if row["action"] == "consents.get_receipt"] == [consent["id"]] * 2
    assert system.auditor.get(f"/consents/{consent['id']}/receipt").status_code == 403
    assert system.caseworker.get(f"/consents/{new_id()}/receipt").status_code == 404


def test_p2_a_newer_consent_is_named_on_the_receipt_of_the_older(system: System) -> None:
    case_id = system.a_shell()
    older, newer = (system.a_consent(case_id) for _ in range(2))
    record = as_json(system, older["id"])
    assert list(jsonschema_rs.validator_for(SCHEMA).iter_errors(record)) == []
    assert [(e["event_type"], e["superseded_by"]) for e in record["events"]] == [
        ("given", None),
        ("superseded", newer["id"]),
    ]
    assert as_json(system, newer["id"])["purposes"][0]["state"] == "standing"


def test_p24_no_receipt_is_given_once_the_erasure_has_begun(system: System, inside: Inside) -> None:
    case_id = system.an_open_case()
    consent = system.caseworker.read("/consents", case_id=case_id)["items"][0]["id"]
    request = system.an_erasure(case_id)["id"]
    assert system.caseworker.get(f"/consents/{consent}/receipt").status_code == 200
    # While the consent service can't walk its stores the record is still there, behind a closed gate
    with inside.locked(("consent_vault", "keys", {"_id": case_id}), ("consent", "consents", {"_id": consent})):
        system.confirm(request)
        soon(lambda: inside.gate("consent", case_id) == "closed")
        answer = system.caseworker.get(f"/consents/{consent}/receipt")
        assert (answer.status_code, answer.json()["type"]) == (410, "urn:fmn:problem:erased")
        assert system.caseworker.get(f"/consents/{consent}").status_code == 410
    inside.completes(request)
    assert system.caseworker.get(f"/consents/{consent}/receipt").status_code == 404
