"""An intake is one file or none, whichever process dies at whichever of its steps, and one after the same key again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import requests

from deploy.local.stack import Stack
from shared.ids import new_id
from tests.faults.running import Running
from tests.helpers import eventually
from tests.journeys.test_intake_in_one_call import an_intake, cases_there_are, found, is_stored, surname_of, wishes_of
from tests.races.inside import Inside, an_inside
from tests.system import System

pytestmark = pytest.mark.xdist_group("killed-intake")

# Named as in tests/faults/inside_process/sitecustomize.py. What died before the decision is taken back, or gone on with
# under the same key; what was decided is handed on, by the worker where nobody else does.
_BEFORE_IT_IS_DECIDED = [
    ("case-api", "shell-not-begun"),
    ("case-api", "key-not-gated"),
    ("consent-api", "key-not-gated"),
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
# A key whose process died is free again after 15 seconds; a process takes some to come back.
_SOON_SECONDS = 60.0


@dataclass(kw_only=True)
class Mortal:
    """A system whose processes die where they are told to."""

    running: Running
    system: System
    inside: Inside

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
def mortal(stack: Stack, worker_id: str) -> Iterator[Mortal]:
    provided = stack.provision(f"take{worker_id}")
    running = Running(stack, provided, stack.places.root / f"inside-{provided.prefix}")
    try:
        running.start()
        system = System(stack, provided)
        with an_inside(system) as inside:
            yield Mortal(running=running, system=system, inside=inside)
    finally:
        running.stop()


@pytest.mark.parametrize(("process", "step"), _BEFORE_IT_IS_DECIDED + _ONCE_IT_IS_DECIDED)
def test_the_same_key_again_makes_one_file_whoever_died_on_the_way(mortal: Mortal, process: str, step: str) -> None:
    intake, key, before = an_intake(mortal.system), new_id(), cases_there_are(mortal.inside)
    hit = mortal.running.arm(process, step)
    made = mortal.until_made(intake, key)
    assert hit.exists(), "it never died"
    mortal.running.wait_well()
    eventually(lambda: mortal.is_one_whole_file(intake, made["id"]))
    # And no other case came of it, empty or not, and nothing waits to be handed on
    eventually(lambda: cases_there_are(mortal.inside) - before == {made["id"]})
    eventually(lambda: mortal.inside.rows("consent", "intakes") == [])


@pytest.mark.parametrize(("process", "step"), _BEFORE_IT_IS_DECIDED)
def test_what_died_before_it_was_decided_leaves_at_most_an_empty_shell(mortal: Mortal, process: str, step: str) -> None:
    intake, before = an_intake(mortal.system), cases_there_are(mortal.inside)
    hit = mortal.running.arm(process, step)
    answer = mortal.try_once(intake, new_id())
    assert hit.exists()
    assert answer is None or answer.status_code == 503
    mortal.running.wait_well()
    if answer is not None:
        # Whoever lived through it took it back.
        eventually(lambda: cases_there_are(mortal.inside) == before)
    left = cases_there_are(mortal.inside) - before
    assert len(left) <= 1
    for case_id in left:
        case = mortal.system.caseworker.read(f"/cases/{case_id}")
        assert (case["state"], case["people"]) == ("shell", [])
        assert case["expires_at"] is not None
        assert mortal.system.caseworker.read("/consents", case_id=case_id)["items"] == []
    assert found(mortal.system, intake) == []
    assert is_stored(mortal.inside, surname_of(intake)) == []


@pytest.mark.parametrize(("process", "step"), _ONCE_IT_IS_DECIDED)
def test_what_was_decided_is_whole_though_nobody_asks_again(mortal: Mortal, process: str, step: str) -> None:
    intake = an_intake(mortal.system)
    hit = mortal.running.arm(process, step)
    answer = mortal.try_once(intake, new_id())
    assert hit.exists()
    # Where the process that answers lived through it, the family hears that it is done
    assert (answer is None) == (process == "consent-api")
    assert answer is None or answer.status_code == 201
    mortal.running.wait_well()
    eventually(lambda: found(mortal.system, intake))
    (case_id,) = found(mortal.system, intake)
    assert mortal.is_one_whole_file(intake, case_id)
    assert mortal.system.caseworker.read(f"/cases/{case_id}")["state"] == "open"


def test_a_key_whose_maker_died_before_its_gate_is_swept_once_it_is_old(mortal: Mortal) -> None:
    keys, gates = mortal.inside.mongo[f"{mortal.inside.names}_case_vault"]["keys"], mortal.inside.rows("case", "gates")
    before = {row["_id"] for row in keys.find()}
    hit = mortal.running.arm("case-api", "key-not-gated")
    with pytest.raises(requests.ConnectionError):
        mortal.system.a_shell()
    assert hit.exists()
    (lost,) = keys.find({"_id": {"$nin": list(before)}})
    assert mortal.inside.rows("case", "gates") == gates
    # Each life of a worker sweeps when it begins, and then once a day
    worker = mortal.running.service("case-worker")
    keys.update_one({"_id": lost["_id"]}, {"$set": {"creationDate": lost["creationDate"] - timedelta(hours=25)}})
    mortal.running.terminate(worker)
    mortal.running.wait_well()
    eventually(lambda: keys.count_documents({"_id": lost["_id"]}) == 0)
    assert {row["_id"] for row in keys.find()} == before
