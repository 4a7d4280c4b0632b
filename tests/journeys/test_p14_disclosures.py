"""P14: nothing is disclosed to third parties without consent. A register says to whom, what, and on which consent."""

from __future__ import annotations

from typing import Any

from shared.ids import new_id
from tests.helpers import eventually, problem
from tests.journeys.test_p13_contacts import a_school
from tests.system import System

COURT = {
    "order": "Care proceedings, order of 3 November",
    "issuer": "Family Court at Reading",
    "scope": "dates of contact",
}


def demo_run(party: str | None = None, **more: Any) -> dict[str, Any]:
    told = {"recipient": "the headteacher", "what": "that a plan has been asked for", "basis": "consent", **more}
    return told if party is None else {**told, "party": party}


def test_p14_the_register_says_to_whom_what_and_on_which_consent(system: System) -> None:
    # Given a family that agreed that its school is told something
    school = a_school(system)
    case_id = system.a_shell()
    consent = system.a_consent(case_id, {"purpose": "casework"}, {"purpose": "share", "party": school})
    # When the headteacher is told
    told = system.caseworker.made(f"/cases/{case_id}/disclosures", demo_run(school, told_family=True))
    # Then the register has it, for those who do casework and for data protection
    assert told["consent_id"] == consent["id"]
    assert (told["basis"], told["party"], told["told_family"]) == ("consent", school, True)
    for reader in (system.caseworker, system.manager, system.lead, system.data_protection):
        assert reader.read(f"/cases/{case_id}/disclosures")["items"] == [told]
    assert system.auditor.get(f"/cases/{case_id}/disclosures").status_code == 403
    assert system.caseworker.read(f"/cases/{case_id}/disclosures/{told['id']}") == told


def test_p14_a_consent_to_contact_is_no_consent_to_share(system: System) -> None:
    school = a_school(system)
    case_id = system.an_open_case({"purpose": "casework"}, {"purpose": "contact", "party": school})
    refused = system.caseworker.post(f"/cases/{case_id}/disclosures", demo_run(school))
    assert problem(refused) == (409, "consent-required")
    assert system.caseworker.read(f"/cases/{case_id}/disclosures")["items"] == []


def test_p14_the_other_parent_and_the_funder_are_third_parties(system: System) -> None:
    case_id = system.an_open_case()
    father = system.a_person(case_id, given_name="Chidi", family_name="Okonkwo", email="chidi@family.example")
    council = system.caseworker.made("/organisations", {"name": "Marlow Vale Council", "kind": "local_authority"})
    for party in (father["id"], council["id"]):
        # Given nobody agreed, it is not told
        assert problem(system.caseworker.post(f"/cases/{case_id}/disclosures", demo_run(party))) == (
            409,
            "consent-required",
        )
        # When somebody has, it is
        system.a_consent(case_id, {"purpose": "casework"}, {"purpose": "share", "party": party})
        assert system.caseworker.made(f"/cases/{case_id}/disclosures", demo_run(party))["party"] == party


def test_p14_a_party_that_is_nobody_is_refused(system: System) -> None:
    case_id = system.an_open_case()
    answer = system.caseworker.post(f"/cases/{case_id}/disclosures", demo_run(new_id()))
    assert problem(answer) == (400, "invalid")
    assert list(answer.json()["errors"]) == ["party"]
    unnamed = system.caseworker.post(f"/cases/{case_id}/disclosures", demo_run())
    assert list(unnamed.json()["errors"]) == ["party"]


def test_p14_a_legal_duty_needs_its_order_issuer_and_scope_and_a_manager(system: System) -> None:
    case_id = system.an_open_case()
    ordered = demo_run(basis="legal_duty", **COURT)
    # A caseworker hands the order on; a manager may not leave out what compels it
    assert problem(system.caseworker.post(f"/cases/{case_id}/disclosures", ordered)) == (403, "forbidden")
    bare = system.manager.post(f"/cases/{case_id}/disclosures", demo_run(basis="legal_duty", order="an order"))
    assert problem(bare) == (400, "invalid")
    assert sorted(bare.json()["errors"]) == ["issuer", "scope"]
    assert system.manager.read(f"/cases/{case_id}/disclosures")["items"] == []
    # With them it stands in the register, resting on no consent
    told = system.manager.made(f"/cases/{case_id}/disclosures", ordered)
    assert (told["consent_id"], told["issuer"]) == (None, "Family Court at Reading")


def test_p14_disclosures_go_with_the_file(system: System) -> None:
    school = a_school(system)
    case_id = system.an_open_case({"purpose": "casework"}, {"purpose": "share", "party": school})
    system.caseworker.made(f"/cases/{case_id}/disclosures", demo_run(school))
    system.manager.made(f"/cases/{case_id}/disclosures", demo_run(basis="legal_duty", **COURT))
    request = system.an_erasure(case_id)
    assert problem(system.caseworker.post(f"/cases/{case_id}/disclosures", demo_run(school))) == (423, "frozen")
    system.confirm(request["id"])
    eventually(lambda: system.is_completed(request["id"]))
    receipts = system.auditor.read(f"/requests/{request['id']}/receipts")["items"]
    stores = {s["store"]: s for r in receipts if r["service"] == "case" for s in r["stores"]}
    assert stores["disclosures"] == {"store": "disclosures", "found": 2, "deleted": 2, "remaining": 0}
    assert problem(system.caseworker.get(f"/cases/{case_id}/disclosures")) == (410, "erased")
