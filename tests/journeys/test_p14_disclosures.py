"""P14: nothing is disclosed to third parties without consent. A register says to whom, what, and on which consent."""

from __future__ import annotations

from typing import Any

from shared.ids import new_id
from tests.house import House, eventually
from tests.journeys.test_p13_contacts import a_school, problem

COURT = {
    "order": "Care proceedings, order of 3 November",
    "issuer": "Family Court at Reading",
    "scope": "dates of contact",
}


def telling(party: str | None = None, **more: Any) -> dict[str, Any]:
    told = {"recipient": "the headteacher", "what": "that a plan has been asked for", "basis": "consent", **more}
    return told if party is None else {**told, "party": party}


def test_p14_the_register_says_to_whom_what_and_on_which_consent(house: House) -> None:
    # Given a family that agreed that its school is told something
    school = a_school(house)
    case_id = house.a_shell()
    consent = house.a_consent(case_id, {"purpose": "casework"}, {"purpose": "share", "party": school})
    # When the headteacher is told
    told = house.caseworker.made(f"/cases/{case_id}/disclosures", telling(school, told_family=True))
    # Then the register has it, for those who do casework and for data protection
    assert told["consent_id"] == consent["id"]
    assert (told["basis"], told["party"], told["told_family"]) == ("consent", school, True)
    for reader in (house.caseworker, house.manager, house.lead, house.data_protection):
        assert reader.read(f"/cases/{case_id}/disclosures")["items"] == [told]
    assert house.auditor.get(f"/cases/{case_id}/disclosures").status_code == 403
    assert house.caseworker.read(f"/cases/{case_id}/disclosures/{told['id']}") == told


def test_p14_a_consent_to_contact_is_no_consent_to_share(house: House) -> None:
    school = a_school(house)
    case_id = house.an_open_case({"purpose": "casework"}, {"purpose": "contact", "party": school})
    refused = house.caseworker.post(f"/cases/{case_id}/disclosures", telling(school))
    assert problem(refused) == (409, "consent-required")
    assert house.caseworker.read(f"/cases/{case_id}/disclosures")["items"] == []


def test_p14_the_other_parent_and_the_funder_are_third_parties(house: House) -> None:
    case_id = house.an_open_case()
    father = house.a_person(case_id, given_name="Chidi", family_name="Okonkwo", email="chidi@family.example")
    council = house.caseworker.made("/organisations", {"name": "Marlow Vale Council", "kind": "local_authority"})
    for party in (father["id"], council["id"]):
        # Given nobody agreed, it is not told
        assert problem(house.caseworker.post(f"/cases/{case_id}/disclosures", telling(party))) == (
            409,
            "consent-required",
        )
        # When somebody has, it is
        house.a_consent(case_id, {"purpose": "casework"}, {"purpose": "share", "party": party})
        assert house.caseworker.made(f"/cases/{case_id}/disclosures", telling(party))["party"] == party


def test_p14_a_party_that_is_nobody_is_refused(house: House) -> None:
    case_id = house.an_open_case()
    answer = house.caseworker.post(f"/cases/{case_id}/disclosures", telling(new_id()))
    assert problem(answer) == (400, "invalid")
    assert list(answer.json()["errors"]) == ["party"]
    unnamed = house.caseworker.post(f"/cases/{case_id}/disclosures", telling())
    assert list(unnamed.json()["errors"]) == ["party"]


def test_p14_a_legal_duty_needs_its_order_issuer_and_scope_and_a_manager(house: House) -> None:
    case_id = house.an_open_case()
    ordered = telling(basis="legal_duty", **COURT)
    # A caseworker hands the order on; a manager may not leave out what compels it
    assert problem(house.caseworker.post(f"/cases/{case_id}/disclosures", ordered)) == (403, "forbidden")
    bare = house.manager.post(f"/cases/{case_id}/disclosures", telling(basis="legal_duty", order="an order"))
    assert problem(bare) == (400, "invalid")
    assert sorted(bare.json()["errors"]) == ["issuer", "scope"]
    assert house.manager.read(f"/cases/{case_id}/disclosures")["items"] == []
    # With them it stands in the register, resting on no consent
    told = house.manager.made(f"/cases/{case_id}/disclosures", ordered)
    assert (told["consent_id"], told["issuer"]) == (None, "Family Court at Reading")


def test_p14_disclosures_go_with_the_file(house: House) -> None:
    school = a_school(house)
    case_id = house.an_open_case({"purpose": "casework"}, {"purpose": "share", "party": school})
    house.caseworker.made(f"/cases/{case_id}/disclosures", telling(school))
    house.manager.made(f"/cases/{case_id}/disclosures", telling(basis="legal_duty", **COURT))
    request = house.an_erasure(case_id)
    assert problem(house.caseworker.post(f"/cases/{case_id}/disclosures", telling(school))) == (423, "frozen")
    house.confirm(request["id"])
    eventually(lambda: house.is_completed(request["id"]), within_seconds=60)
    receipts = house.auditor.read(f"/requests/{request['id']}/receipts")["items"]
    stores = {s["store"]: s for r in receipts if r["service"] == "case" for s in r["stores"]}
    assert stores["disclosures"] == {"store": "disclosures", "found": 2, "deleted": 2, "remaining": 0}
    assert problem(house.caseworker.get(f"/cases/{case_id}/disclosures")) == (410, "erased")
