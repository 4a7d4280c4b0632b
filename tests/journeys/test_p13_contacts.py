"""P13: no organisation is contacted without prior consent. Each contact is checked at that moment."""

from __future__ import annotations

from typing import Any

from shared.ids import new_id
from tests.helpers import eventually, problem
from tests.system import System


def a_school(system: System) -> str:
    return str(system.caseworker.made("/organisations", {"name": "Marlow Vale Primary", "kind": "school"})["id"])


def about(organisation_id: str) -> dict[str, Any]:
    return {
        "organisation_id": organisation_id,
        "purpose": "to ask when the annual review is",
        "summary": "Rang the office; the review is on the ninth.",
    }


def test_p13_an_organisation_that_the_family_agreed_to_is_contacted_and_the_contact_names_its_consent(
    system: System,
) -> None:
    # Given a family that agreed to its school being contacted
    school = a_school(system)
    case_id = system.a_shell()
    consent = system.a_consent(case_id, {"purpose": "casework"}, {"purpose": "contact", "party": school})
    # When the school is rung, at once: no event is waited for
    contact = system.caseworker.made(f"/cases/{case_id}/contacts", about(school))
    # Then the contact stands in the file, with the consent that it rested on
    assert contact["consent_id"] == consent["id"]
    listed = system.lead.read(f"/cases/{case_id}/contacts")["items"]
    assert listed == [contact]
    assert (contact["recorded_by"], contact["purpose"]) == ("worker-one", "to ask when the annual review is")
    assert system.caseworker.read(f"/cases/{case_id}/contacts/{contact['id']}") == contact


def test_p13_an_organisation_that_nobody_agreed_to_is_not_contacted_until_one_spoken_yes(system: System) -> None:
    school, council = a_school(system), a_school(system)
    case_id = system.an_open_case({"purpose": "casework"}, {"purpose": "contact", "party": school})
    # Given a second organisation, about which nobody was asked
    refused = system.caseworker.post(f"/cases/{case_id}/contacts", about(council))
    assert problem(refused) == (409, "consent-required")
    # When the family says yes to it on the telephone
    system.a_consent(case_id, {"purpose": "casework"}, {"purpose": "contact", "party": council})
    # Then it may be contacted
    system.caseworker.made(f"/cases/{case_id}/contacts", about(council))
    assert len(system.caseworker.read(f"/cases/{case_id}/contacts")["items"]) == 1


def test_p13_a_consent_that_was_withdrawn_allows_no_further_contact(system: System) -> None:
    school = a_school(system)
    case_id = system.an_open_case()
    consent = system.a_consent(case_id, {"purpose": "casework"}, {"purpose": "contact", "party": school})
    system.caseworker.made(f"/cases/{case_id}/contacts", about(school))
    # When the family takes that one purpose back
    purposes = [{"purpose": "contact", "party": school}]
    body = {"channel": "phone", "by": "Żaneta Okonkwo-Łukasik", "purposes": purposes}
    system.caseworker.made(f"/consents/{consent['id']}/withdrawal", body)
    # Then the next contact is refused, and what was done with their consent is still to be seen
    refused = system.caseworker.post(f"/cases/{case_id}/contacts", about(school))
    assert problem(refused) == (409, "consent-required")
    assert len(system.caseworker.read(f"/cases/{case_id}/contacts")["items"]) == 1


def test_p13_while_the_consent_service_is_out_of_reach_the_answer_is_no_and_nothing_is_stored(system: System) -> None:
    school = a_school(system)
    case_id = system.an_open_case({"purpose": "casework"}, {"purpose": "contact", "party": school})
    # Given a consent service that is away
    with system.away("consent-api", "consent-worker"):
        answer = system.caseworker.post(f"/cases/{case_id}/contacts", about(school))
    # Then the contact was refused for now, and there is none
    assert problem(answer) == (503, "unavailable")
    assert answer.headers["Retry-After"]
    assert system.caseworker.read(f"/cases/{case_id}/contacts")["items"] == []
    # And once it is back, the same contact is made
    system.caseworker.made(f"/cases/{case_id}/contacts", about(school))


def test_p13_a_contact_with_an_organisation_that_is_none_is_refused_and_changes_nothing(system: System) -> None:
    case_id = system.an_open_case()
    person = system.a_person(case_id)
    for nobody in (new_id(), person["id"]):
        answer = system.caseworker.post(f"/cases/{case_id}/contacts", about(nobody))
        assert problem(answer) == (400, "invalid")
        assert list(answer.json()["errors"]) == ["organisation_id"]
        assert nobody not in answer.text
    assert system.caseworker.read(f"/cases/{case_id}/contacts")["items"] == []


def test_p13_nobody_is_contacted_while_an_erasure_is_asked_for_nor_after_it(system: System) -> None:
    school = a_school(system)
    case_id = system.an_open_case({"purpose": "casework"}, {"purpose": "contact", "party": school})
    system.caseworker.made(f"/cases/{case_id}/contacts", about(school))
    # When the family asks to be forgotten
    request = system.an_erasure(case_id)
    # Then sharing has stopped at once: the case service may not have heard, but asks
    refused = system.caseworker.post(f"/cases/{case_id}/contacts", about(school))
    assert problem(refused) == (423, "frozen")
    # And once it is done the contacts are gone with the file
    system.confirm(request["id"])
    eventually(lambda: system.is_completed(request["id"]))
    assert problem(system.caseworker.get(f"/cases/{case_id}/contacts")) == (410, "erased")
    assert problem(system.caseworker.post(f"/cases/{case_id}/contacts", about(school))) == (410, "erased")
    receipts = system.auditor.read(f"/requests/{request['id']}/receipts")["items"]
    stores = {s["store"]: s for r in receipts if r["service"] == "case" for s in r["stores"]}
    assert stores["contacts"] == {"store": "contacts", "found": 1, "deleted": 1, "remaining": 0}
