"""Several people and a worker write to one case at once: each is answered, and not turned away for the others."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import requests

from tests.system import System

_EACH = 6
_CHILD = {"role": "child", "given_name": "Ola", "family_name": "Canary", "date_of_birth": "2015-01-01"}


def test_seven_writers_of_one_case_are_all_answered(system: System) -> None:
    # Given an open case
    case_id = system.an_open_case()
    statement = system.caseworker.read("/statement")["version"]
    answers: list[requests.Response] = []
    over, number = threading.Event(), itertools.count()

    def keep_on(act: Callable[[], requests.Response]) -> threading.Thread:
        def run() -> None:
            for _ in range(_EACH):
                answers.append(act())

        return threading.Thread(target=run)

    def a_consent() -> requests.Response:
        now = datetime.now(UTC).isoformat()
        body = {
            "case_id": case_id,
            "decision": "given",
            "given_by": {"name": f"Zofia Canary {next(number)}", "capacity": "parental_responsibility"},
            "channel": "phone",
            "informed_at": now,
            "given_at": now,
            "statement_version": statement,
            "purposes": [{"purpose": "casework"}],
        }
        return system.caller("caseworker", sub="writer").post("/consents", body)

    def a_hold() -> requests.Response:
        body = {"case_id": case_id, "ground": "legal_duty", "until": "2099-01-01", "reason": "an inquiry"}
        return system.caller("manager", sub="writer").post("/holds", body)

    def people_come_and_go() -> None:
        """Each change makes the consent service's worker write to the same case."""
        caller = system.caller("caseworker", sub="writer")
        while not over.is_set():
            made = caller.post(f"/cases/{case_id}/people", _CHILD)
            answers.append(made)
            if made.status_code == 201:
                path = f"/cases/{case_id}/people/{made.json()['id']}"
                answers.append(caller.call("DELETE", path, headers={"If-Match": made.headers["ETag"]}))

    # When two people record consents and two record holds, while three add people and remove them
    background = [threading.Thread(target=people_come_and_go) for _ in range(3)]
    writers = [keep_on(act) for act in (a_consent, a_consent, a_hold, a_hold)]
    for thread in (*background, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    over.set()
    for thread in background:
        thread.join()
    # Then each was answered. Before transactions queued, a fifth of the consents and holds timed out.
    statuses = [answer.status_code for answer in answers]
    assert len(statuses) > 4 * _EACH
    assert statuses.count(503) <= 1, statuses
    assert set(statuses) <= {201, 204, 503}, [a.text for a in answers if a.status_code not in (201, 204)]
