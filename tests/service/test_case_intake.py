"""The case service's two parts of an intake, as the consent service asks for them: in any order, and again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from deploy.local.stack import Stack
from shared.events import consent
from shared.ids import new_id
from tests.helpers import eventually, refused
from tests.service.case_rig import MOTHER, Answer, Rig, rig_on

pytestmark = pytest.mark.xdist_group("case")


@pytest.fixture(scope="module")
def rig(stack: Stack, worker_id: str) -> Rig:
    return rig_on(stack, worker_id)


def coming(**more: Any) -> dict[str, Any]:
    """Who came, as the consent service keeps it until they are here."""
    return {
        "people": [
            {"id": new_id(), **MOTHER},
            {"id": new_id(), "role": "child", "given_name": "Ada", "family_name": "Quennell"},
        ],
        "wishes": [{"id": new_id(), "text": "a place at the school nearby"}],
        "by": "worker-one",
        "at": datetime.now(UTC).isoformat(),
        **more,
    }


def ask(rig: Rig, path: str, body: dict[str, Any]) -> Answer:
    return rig.ask("POST", path, body, role="service:consent")


def expect(rig: Rig, case_id: str, said: dict[str, Any]) -> dict[str, Any]:
    answer = ask(rig, f"/cases/{case_id}/intake/shell", {**said, "channel": "phone"})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def casework(**more: Any) -> list[dict[str, Any]]:
    one = {"consent": new_id(), "purpose": "casework", "party": None, "document_kind": None, "person": None}
    return [{**one, "until": None, **more}]


def take(rig: Rig, case_id: str, said: dict[str, Any], *, seq: int = 1, standing: Any = None) -> Answer:
    stands = casework() if standing is None else standing
    return ask(rig, f"/cases/{case_id}/intake", {**said, "standing": stands, "seq": seq})


def shown(rig: Rig, case_id: str) -> dict[str, Any]:
    return dict(rig.ask("GET", f"/cases/{case_id}").json())


def test_the_shell_has_nobody_in_it_until_the_family_has_agreed(rig: Rig) -> None:
    case_id, said = new_id(), coming()
    will_be = expect(rig, case_id, said)
    assert (will_be["case"]["state"], len(will_be["people"]), len(will_be["wishes"])) == ("open", 2, 1)
    now = shown(rig, case_id)
    assert (now["state"], now["people"], now["reference"]) == ("shell", [], will_be["case"]["reference"])
    assert rig.rows("people", case_id) == rig.rows("entries", case_id) == []
    # Asked again it is the same shell
    assert expect(rig, case_id, said)["case"]["reference"] == will_be["case"]["reference"]
    # And once they are taken in it is as was said
    assert take(rig, case_id, said).status_code == 204
    answer = rig.ask("GET", f"/cases/{case_id}")
    assert (answer.json(), answer.headers["ETag"].strip('"')) == (will_be["case"], will_be["etag"])
    assert rig.told("case.people", case_id)[-1]["people"][0]["person"] == said["people"][0]["id"]


def test_whichever_comes_first_the_event_or_the_people_it_ends_alike(rig: Rig) -> None:
    case_id, said = new_id(), coming()
    will_be = expect(rig, case_id, said)
    rig.consent_given(case_id)
    assert take(rig, case_id, said, seq=1).status_code == 204
    answer = rig.ask("GET", f"/cases/{case_id}")
    assert (answer.json(), answer.headers["ETag"].strip('"')) == (will_be["case"], will_be["etag"])


def test_what_comes_again_brings_nobody_back(rig: Rig) -> None:
    case_id, said = new_id(), coming()
    expect(rig, case_id, said)
    assert take(rig, case_id, said).status_code == 204
    child = f"/cases/{case_id}/people/{said['people'][1]['id']}"
    etag = rig.ask("GET", child).headers["ETag"]
    assert rig.ask("DELETE", child, match=etag).status_code == 204
    assert take(rig, case_id, said).status_code == 204
    assert [person["id"] for person in shown(rig, case_id)["people"]] == [said["people"][0]["id"]]
    assert len(rig.ask("GET", f"/cases/{case_id}/entries").json()["items"]) == 1


def test_a_newer_no_counts_more_than_the_yes_it_came_with(rig: Rig) -> None:
    case_id, said = new_id(), coming()
    expect(rig, case_id, said)
    rig.consent_given(case_id)
    rig.say(consent.WITHDRAWN, case_id, consent=new_id(), standing=[])
    eventually(lambda: rig.rows("projections", case_id)[0]["standing"] == [])
    refused(take(rig, case_id, said, seq=0), 409, "consent-required")
    # Nor is anybody taken in on a consent to anything else, or that is over
    other, who = new_id(), coming()
    expect(rig, other, who)
    for standing in ([], casework(purpose="email"), casework(until="2020-01-01T00:00:00Z")):
        refused(take(rig, other, who, standing=standing), 409, "consent-required")
    assert rig.rows("people", case_id) == rig.rows("people", other) == []


def test_a_frozen_case_takes_nobody_in_until_it_is_released_and_an_erased_one_never(rig: Rig) -> None:
    case_id, said = new_id(), coming()
    expect(rig, case_id, said)
    rig.say(consent.FROZEN, case_id)
    eventually(lambda: shown(rig, case_id)["frozen"])
    refused(take(rig, case_id, said), 423, "frozen")
    rig.say(consent.RELEASED, case_id)
    eventually(lambda: not shown(rig, case_id)["frozen"])
    assert take(rig, case_id, said).status_code == 204
    rig.erased(case_id)
    refused(take(rig, case_id, said), 410, "erased")
    assert rig.rows("people", case_id) == []


def test_a_shell_that_has_ended_waits_for_nobody_any_more(rig: Rig) -> None:
    case_id, said = new_id(), coming()
    expect(rig, case_id, said)
    assert ask(rig, f"/cases/{case_id}/ending", rig.grant(case_id)).status_code == 204
    refused(take(rig, case_id, said), 410, "erased")
    refused(ask(rig, f"/cases/{case_id}/intake/shell", {**said, "channel": "phone"}), 410, "erased")
    eventually(lambda: rig.rows("intakes", case_id) == [])


def test_only_a_shell_of_an_intake_waits_for_one(rig: Rig) -> None:
    for case_id in (str(rig.a_shell()["id"]), rig.a_case()):
        said = coming()
        refused(ask(rig, f"/cases/{case_id}/intake/shell", {**said, "channel": "phone"}), 409, "conflict")
        assert take(rig, case_id, said, seq=0).status_code == 204
        assert rig.rows("people", case_id) == []
    refused(take(rig, new_id(), coming()), 404, "not-found")


def test_what_can_t_be_kept_is_named_and_makes_no_shell(rig: Rig) -> None:
    case_id, said = new_id(), coming()
    said["people"][0] |= {"email": "nowhere", "address": ["14 Sorrel Mews"]}
    said["wishes"][0]["at"] = "1066-10-14T12:00:00Z"
    wrong = expect(rig, case_id, said)
    assert set(wrong) == {"errors"}
    assert set(wrong["errors"]) == {"people.0.email", "people.0.address", "wishes.0.at"}
    refused(rig.ask("GET", f"/cases/{case_id}"), 404, "not-found")
