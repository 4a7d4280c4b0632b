"""Whether the coordinator and the model agree, in whatever either of them shows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import ClassVar

from hypothesis import currently_in_test_context, note
from hypothesis.stateful import RuleBasedStateMachine
from werkzeug.test import TestResponse

from deploy.ops.certificate import check
from shared.events import Event
from tests.races.saga_model_oracle import SERVICES, Asked, Saga, Said
from tests.races.saga_model_services import Forger, Service
from tests.races.saga_model_system import ELSEWHERE, Coordinator


class Agreement(RuleBasedStateMachine):
    """One case at the coordinator and in the model."""

    forger: ClassVar[Forger]
    # How many erasures of all stories came to their end.
    completed: ClassVar[int] = 0

    coordinator: Coordinator
    saga: Saga
    services: dict[str, Service]
    case_id: str
    # Why messages must have been parked since it was last looked.
    parked: list[str]
    # What the coordinator has said so far.
    told: list[Event]
    paper: str
    disposals: list[dict[str, str]]
    # Certificates that were looked at.
    certified: set[str]
    # Whether the two agreed when they were last asked, and nothing was said since.
    sound: bool = False
    # Whether the coordinator's steps are run as soon as they are due.
    at_once: bool

    @property
    def r(self) -> Asked:
        """The request that was logged last."""
        return self.saga.requests[-1]

    def works(self) -> None:
        self.coordinator.works(self.case_id)
        self._finishes()

    def _finishes(self) -> None:
        for request in self.saga.requests:
            self.saga.is_entered(request)
            self.saga.finishes(request)

    def _passes(self) -> None:
        if self.at_once:
            self.works()

    def say(self, sentence: str) -> None:
        self.sound = False
        if currently_in_test_context():
            note(f"    {sentence}")

    def answered(self, answer: TestResponse, expected: int, sentence: str) -> None:
        self.say(sentence + ("" if expected < 300 else f", but is refused ({expected})"))
        same(f"the answer, when {sentence}", answer.status_code, expected)
        self._passes()

    def agrees(self) -> None:
        if not hasattr(self, "saga"):
            return
        self._was_told(self.coordinator.said())
        same("parked messages", self.coordinator.unhandled("parked"), self.parked)
        self.parked = []
        same("deferred messages", self.coordinator.unhandled("deferred"), [])
        same("the gate", self.coordinator.gate(self.case_id), self.saga.gate)
        for request in self.saga.requests:
            self._agrees_about(request)
        begun = any(request.decided for request in self.saga.requests)
        consents, ends = (self.coordinator.count(store, case_id=self.case_id) for store in ("consents", "endings"))
        # They end, and with the case's own records they go.
        same("consents and their ends", (consents, ends), (0, 0) if begun and not consents else (1, int(begun)))
        other = self.coordinator.row(self.forger.other_request)
        untouched = (other["phase"], self.coordinator.receipts(self.forger.other_request))
        same("the other family's erasure", untouched, ("begun", []))
        self.sound = True

    def _was_told(self, said: list[Event]) -> None:
        same("what it said", [_words(event) for event in said], self.saga.says)
        self.saga.says = []
        self.told += said
        for event in said:
            for name in event.data.get("participants", ()):
                self.services[name].asked.append(event)

    def _agrees_about(self, r: Asked) -> None:
        row = self.coordinator.row(r.id)
        for name in ("status", "phase", "letter", "attempts"):
            same(name, row[name], getattr(r, name))
        same("places certified", row["elsewhere_certified"], r.certified)
        same("receipts kept", self.coordinator.receipts(r.id), [receipt.jws for receipt in r.kept])
        done = r.status == "completed"
        same("whether it is certified", row["certificate"] is not None, done)
        same("entries in the ledger", self.coordinator.ledger_entries(r.id), ["begun"] * r.begun + ["erasure"] * done)
        if r is self.r:
            shown = self.coordinator.call("Ola", "GET", f"/requests/{r.id}").get_json()
            same("what it waits on", shown["waiting_on"], self.saga.waits(r))
            same("whether it says when it was completed", "completed_at" in shown, done)
        if done and r.id not in self.certified:
            self.certified.add(r.id)
            Agreement.completed += 1
            self._certificate_holds(r)

    def _certificate_holds(self, r: Asked) -> None:
        """What it says is so: everything is gone, and nothing but the receipts that count is in it."""
        answer = self.coordinator.call("Ola", "GET", f"/requests/{r.id}/certificate")
        holds = check(answer.data, self.coordinator.runtime.public_keys)
        same("its receipts", holds.claims["receipts"], [receipt.jws for receipt in r.certificate_over])
        same("who signed them", [receipt.service for receipt in r.certificate_over], list(SERVICES))
        same("what is left or late", [r for r in r.certificate_over if r.left or r.late], [])
        same("its last letter", holds.claims["last_letter"], r.certificate_over[-1].letter)
        same("paper that lies there", self.paper == "lies there", False)
        same("places certified", set(r.certified), set(ELSEWHERE))
        paper = [item["method"] for item in holds.claims["paper"]]
        same("its paper", paper, [item["method"] for item in self.disposals])
        received = datetime.fromisoformat(holds.claims["received_at"])
        late_found = [i for i in self.disposals if datetime.fromisoformat(i["at"]) >= received]
        same("its promise", holds.claims["kept_promise"], all(i["method"] != "not_found" for i in late_found))

    def put_away(self) -> None:
        if hasattr(self, "saga"):
            self.coordinator.put_away(self.case_id)


def same(what: str, coordinator: object, model: object) -> None:
    """Raises AssertionError in a sentence where the two differ."""
    assert coordinator == model, f"{what}: the coordinator has {coordinator!r}, the model {model!r}"


_DETAILS: dict[str, Callable[[Event], Said]] = {
    "case.frozen": lambda e: (),
    "case.released": lambda e: (),
    "erasure.started": lambda e: (e.data["request"], e.data["attempt"], tuple(e.data["participants"])),
    "erasure.settled": lambda e: (e.data["request"], e.data["outcome"]),
}


def _words(event: Event) -> Said:
    details = _DETAILS.get(event.type.name, lambda e: (e.data["request"],))
    return (event.type.name, *details(event))
