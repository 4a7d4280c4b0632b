"""What people do with an erasure, told to the coordinator over HTTP and to the model."""

from __future__ import annotations

from typing import Any

from werkzeug.test import TestResponse

from shared.clock import utc_now
from tests.races.saga_model_agreement import Agreement
from tests.races.saga_model_oracle import ENDINGS, Asked
from tests.races.saga_model_system import ELSEWHERE

CHECKS = ["family", "authority", "safeguarding"]
BODIES: dict[str, dict[str, Any]] = {
    "withdrawal": {"channel": "phone", "by": "Żaneta Okonkwo-Łukasik"},
    "refusal": {"ground": "not theirs to ask", "words": "The father has no parental responsibility."},
    "void": {"reason": "logged on the wrong case"},
}


class People(Agreement):
    """The family's caseworkers and their manager."""

    def logs(self, who: str, identity: bool) -> None:
        body = a_request(self.case_id) | {"identity": "settled" if identity else "in_doubt"}
        answer = self.coordinator.call(who, "POST", "/requests", body)
        id = str(answer.get_json()["id"])
        if self.saga.requests and self.r.stands:
            assert (answer.status_code, id) == (200, self.r.id)
            self.say(f"{who} logs the same request once more, and joins it")
            return
        assert answer.status_code == 201
        self.say(f"{who} logs that the family asks to be forgotten" + ("" if identity else "; who asks is in doubt"))
        self.saga.asked(Asked(id=id, by=who, identity=identity, elsewhere=ELSEWHERE))
        self._passes()

    def confirms(self, who: str, all_checked: bool) -> None:
        checked = CHECKS if all_checked else CHECKS[:2]
        answer = self._post(who, "confirmation", {"checked": checked})
        self.answered(answer, self.saga.confirms(self.r, who) if all_checked else 400, f"{who} confirms it")

    def settles_identity(self, settled: bool) -> None:
        outcome = "settled" if settled else "in_doubt"
        answer = self._post("Ola", "identity", {"outcome": outcome, "by": "Ola"})
        self.answered(answer, self.saga.identity(self.r, settled), f"who asked is {outcome}")

    def ends(self, how: str) -> None:
        answer = self._post("Manu", how, BODIES[how])
        self.answered(answer, self.saga.ends(self.r, how), f"it is {ENDINGS[how]}")

    def manager_settles(self, outcome: str) -> None:
        answer = self._post("Manu", "last-letter", {"outcome": outcome, "reason": "the mailbox is full"})
        self.answered(answer, self.saga.settles_letter(self.r, outcome), f"the last letter is settled as {outcome}")

    def certifies_elsewhere(self, place: str) -> None:
        answer = self._post("Priya", "elsewhere", {"place": place, "by": "Priya"})
        self.answered(answer, self.saga.certifies(self.r, place), f"{place} is certified")

    def places_hold(self) -> None:
        body = {"case_id": self.case_id, "ground": "legal_claim", "until": "2099-12-31", "reason": "a tribunal"}
        answer = self.coordinator.call("Manu", "POST", "/holds", body)
        closed = self.saga.gate == "closed"
        self.answered(answer, 409 if closed else 201, "a hold is placed")
        if not closed:
            self.saga.holds[str(answer.get_json()["id"])] = False

    def lifts_hold(self) -> None:
        hold = list(self.saga.holds)[-1]
        answer = self.coordinator.call("Manu", "DELETE", f"/holds/{hold}", If_Match='"1"')
        if self.saga.gate == "closed":
            # One whose day was over; it goes with the case.
            assert answer.status_code in (404, 410), answer.text
            del self.saga.holds[hold]
            return
        self.say("the hold is lifted")
        self.saga.lifts(hold)
        self.answered(answer, 204, "the hold is lifted")

    def hold_ends_with_its_day(self) -> None:
        hold = next(id for id, over in self.saga.holds.items() if not over)
        self.coordinator.a_night_passes_over(hold)
        self.saga.holds[hold] = True
        self.say("a hold's last day is over")

    def comes_too_late(self, what: str) -> None:
        if what == "asked" and self.r.stands:
            self.logs("Priya", True)
        elif what == "confirmed":
            self.confirms("Priya", True)
        elif what == "doubted":
            self.settles_identity(False)
        elif what == "held":
            self.places_hold()
        elif what in ENDINGS:
            self.ends(what)

    def _post(self, who: str, rule: str, body: dict[str, Any]) -> TestResponse:
        return self.coordinator.call(who, "POST", f"/requests/{self.r.id}/{rule}", body)


def a_request(case_id: str) -> dict[str, Any]:
    """The body of a request for erasure, received now."""
    return {
        "kind": "erasure",
        "case_id": case_id,
        "received_at": utc_now().isoformat(),
        "channel": "phone",
        "made_by": {"name": "Żaneta Okonkwo-Łukasik", "authority": "parental_responsibility"},
    }
