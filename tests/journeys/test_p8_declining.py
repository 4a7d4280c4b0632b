"""P4 and P8: nothing is recorded unless you ask, and you may decline."""

from __future__ import annotations

from tests.house import House


def test_p4_nothing_personal_is_taken_before_consent(house: House) -> None:
    case_id = house.a_shell()
    person = {"role": "parent", "given_name": "Żaneta", "family_name": "Okonkwo"}
    early = house.caseworker.post(f"/cases/{case_id}/people", person)
    assert (early.status_code, early.json()["type"]) == (409, "urn:fmn:problem:consent-required")
    scan = house.a_scan(case_id)
    assert (scan.status_code, scan.json()["type"]) == (409, "urn:fmn:problem:consent-required")


def test_p8_declining_ends_the_shell_and_says_how_to_use_the_helpline(house: House) -> None:
    case_id = house.a_shell()
    answer = house.caseworker.post("/consents", {"case_id": case_id, "decision": "declined"})
    assert answer.status_code == 200
    assert set(answer.json()) == {"helpline"}
    assert house.caseworker.get(f"/cases/{case_id}").status_code == 410
