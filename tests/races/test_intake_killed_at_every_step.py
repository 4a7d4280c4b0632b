"""An intake is one file or none, whichever process dies at whichever of its steps, and one after the same key again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from deploy.local.stack import Stack
from shared.ids import new_id
from tests.helpers import eventually
from tests.journeys.test_intake_in_one_call import an_intake, cases_there_are, found, is_stored, surname_of, wishes_of
from tests.races.mortal import Mortal, a_mortal_system

pytestmark = pytest.mark.xdist_group("killed-intake")

# Named as in tests/faults/inside_process/sitecustomize.py. What died before the decision is taken back, or gone on with
# under the same key; what was decided is handed on, by the worker where nobody else does.
_BEFORE_IT_IS_DECIDED = [
    ("case-api", "shell-not-begun"),
    ("case-api", "gate-not-committed"),
    ("consent-api", "gate-not-committed"),
    ("case-api", "shell-not-answered"),
    ("consent-api", "shown-not-decided"),
    ("consent-api", "decided-not-committed"),
]
_ONCE_IT_IS_DECIDED = [
    ("consent-api", "decided-not-delivered"),
    ("case-api", "taken-not-committed"),
    ("case-api", "taken-not-answered"),
    ("consent-api", "delivered-not-answered"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Office(Mortal):
    """A system that takes in families while its processes die where they are told to."""

    def try_once(self, intake: dict[str, Any], key: str) -> requests.Response | None:
        """The answer; None where the process died before it gave one."""
        try:
            return self.system.caseworker.post("/intake", intake, Idempotency_Key=key)
        except requests.ConnectionError:
            return None

    def until_made(self, intake: dict[str, Any], key: str) -> dict[str, Any]:
        """What is answered in the end, asking again with the same key as long as that is what the answer says."""
        made: list[dict[str, Any]] = []

        def is_made() -> bool:
            answer = self.try_once(intake, key)
            if answer is not None and answer.status_code == 201:
                made.append(answer.json())
            else:
                assert answer is None or answer.status_code in (409, 503), answer.text
            return bool(made)

        eventually(is_made)
        return made[0]

    def is_one_whole_file(self, intake: dict[str, Any], case_id: str) -> bool:
        if found(self.system, intake) != [case_id]:
            return False
        people = self.system.caseworker.read(f"/cases/{case_id}/people")["items"]
        assert [person["role"] for person in people] == ["parent", "child"]
        assert len(wishes_of(self.system, case_id)) == 2
        assert len(self.system.caseworker.read("/consents", case_id=case_id)["items"]) == 1
        return True


@pytest.fixture(scope="module")
def office(stack: Stack, worker_id: str) -> Iterator[Office]:
    with a_mortal_system(stack, f"take{worker_id}") as mortal:
        yield Office(running=mortal.running, system=mortal.system, inside=mortal.inside)


@pytest.mark.parametrize(("process", "step"), _BEFORE_IT_IS_DECIDED + _ONCE_IT_IS_DECIDED)
def test_the_same_key_again_makes_one_file_whoever_died_on_the_way(office: Office, process: str, step: str) -> None:
    intake, key, before = an_intake(office.system), new_id(), cases_there_are(office.inside)
    hit = office.running.arm(process, step)
    made = office.until_made(intake, key)
    assert hit.exists(), "it never died"
    office.running.wait_well()
    eventually(lambda: office.is_one_whole_file(intake, made["id"]))
    # And no other case came of it, empty or not, and nothing waits to be handed on
    eventually(lambda: cases_there_are(office.inside) - before == {made["id"]})
    eventually(lambda: office.inside.rows("consent", "intakes") == [])


@pytest.mark.parametrize(("process", "step"), _BEFORE_IT_IS_DECIDED)
def test_what_died_before_it_was_decided_leaves_at_most_an_empty_shell(office: Office, process: str, step: str) -> None:
    intake, before = an_intake(office.system), cases_there_are(office.inside)
    hit = office.running.arm(process, step)
    answer = office.try_once(intake, new_id())
    assert hit.exists()
    assert answer is None or answer.status_code == 503
    office.running.wait_well()
    if answer is not None:
        # Whoever lived through it took it back.
        eventually(lambda: cases_there_are(office.inside) == before)
    left = cases_there_are(office.inside) - before
    assert len(left) <= 1
    for case_id in left:
        case = office.system.caseworker.read(f"/cases/{case_id}")
        assert (case["state"], case["people"]) == ("shell", [])
        assert case["expires_at"] is not None
        assert office.system.caseworker.read("/consents", case_id=case_id)["items"] == []
    assert found(office.system, intake) == []
    assert is_stored(office.inside, surname_of(intake)) == []


@pytest.mark.parametrize(("process", "step"), _ONCE_IT_IS_DECIDED)
def test_what_was_decided_is_whole_though_nobody_asks_again(office: Office, process: str, step: str) -> None:
    intake = an_intake(office.system)
    hit = office.running.arm(process, step)
    answer = office.try_once(intake, new_id())
    assert hit.exists()
    # Where the process that answers lived through it, the family hears that it is done
    assert (answer is None) == (process == "consent-api")
    assert answer is None or answer.status_code == 201
    office.running.wait_well()
    eventually(lambda: found(office.system, intake))
    (case_id,) = found(office.system, intake)
    assert office.is_one_whole_file(intake, case_id)
    assert office.system.caseworker.read(f"/cases/{case_id}")["state"] == "open"


def test_whoever_dies_while_a_case_begins_leaves_neither_gate_nor_key(office: Office) -> None:
    keys = office.inside.mongo[f"{office.inside.names}_case_vault"]["keys"]
    before = {row["_id"] for row in keys.find()}, {row["_id"] for row in office.inside.rows("case", "gates")}
    hit = office.running.arm("case-api", "gate-not-committed")
    with pytest.raises(requests.ConnectionError):
        office.system.a_shell()
    assert hit.exists()
    office.running.wait_well()
    assert ({row["_id"] for row in keys.find()}, {row["_id"] for row in office.inside.rows("case", "gates")}) == before
