"""A story told to the coordinator and to the model at once, sentence by sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import ClassVar

from shared.clock import utc_now
from shared.events import Event, erasure
from shared.ids import new_id
from tests.races.saga_model_agreement import same
from tests.races.saga_model_oracle import LETTER, PAPER, SERVICES, Saga
from tests.races.saga_model_people import CHECKS, People, a_request
from tests.races.saga_model_services import Forger, Post, Service, read_receipt
from tests.races.saga_model_system import ELSEWHERE, Coordinator, Envelope, an_event

# Services are on machines whose clocks differ.
CLOCKS = {"case": timedelta(seconds=20), "document": timedelta(hours=1), "notifier": timedelta(seconds=-20)}


class Story(People):
    """One family, the coordinator, the other services, and what is on its way between them."""

    def begins(self, *, how_far: str, paper: bool, at_once: bool, clocks_differ: bool) -> None:
        """A family asks. at_once: the coordinator's steps are run as soon as they are due."""
        self.coordinator = self.forger.coordinator
        self.case_id = self.coordinator.a_family()
        self.saga = Saga()
        self.parked: list[str] = []
        self.told: list[Event] = []
        self.drawer: list[Post] = []
        self.at_once = at_once
        self.paper = "lies there" if paper else "none"
        self.disposals: list[dict[str, str]] = []
        self.certified: set[str] = set()
        clocks = CLOCKS if clocks_differ else {}
        self.services = {
            name: Service(
                name=name,
                case_id=self.case_id,
                signer=self.coordinator.signer(name),
                clock=clocks.get(name, timedelta(0)),
            )
            for name in SERVICES
        }
        self.logs("Ola", True)
        self.beginnings[how_far](self)

    @classmethod
    def of_another_family(cls, coordinator: Coordinator) -> Forger:
        """An erasure that has begun and that no story is about."""
        case_id = coordinator.a_family()
        request = str(coordinator.call("Ola", "POST", "/requests", a_request(case_id)).get_json()["id"])
        coordinator.call("Priya", "POST", f"/requests/{request}/confirmation", {"checked": CHECKS})
        sealed = an_event("notifier", erasure.LETTER_SEALED, case_id, request=request, outcome="sealed")
        coordinator.bring(Envelope(event=sealed, account="notifier"))
        coordinator.works(case_id)
        assert coordinator.row(request)["phase"] == "begun"
        coordinator.put_away(case_id)
        return Forger(coordinator=coordinator, other_case=case_id, other_request=request)

    # How far a story has come when it begins

    def _held(self) -> None:
        self.places_hold()
        self._confirmed()

    def _confirmed(self) -> None:
        self.confirms("Priya", True)

    def _held_when_confirmed(self) -> None:
        self._confirmed()
        self.places_hold()
        self.notifier_seals("sealed", False)

    def _begun(self) -> None:
        self._confirmed()
        self.notifier_seals("sealed", False)
        self.works()
        self.agrees()

    def _crossed(self) -> None:
        """The document service's second receipt has overtaken its first."""
        self.paper = "lies there"
        self._begun()
        self.service_answers("document", 0, "late")
        self.certifies_paper("returned", 0, "at once")
        self.old_post(0, False)

    def _answered(self) -> None:
        self._begun()
        self.all_answer()

    def _verified(self) -> None:
        self._answered()
        for place in ELSEWHERE:
            self.certifies_elsewhere(place)
        if self.paper == "lies there":
            self.certifies_paper("shredded", 0, "at once")
        self.agrees()

    beginnings: ClassVar[Mapping[str, Callable[[Story], None]]] = {
        "asked": lambda self: None,
        "held": _held,
        "confirmed": _confirmed,
        "held when confirmed": _held_when_confirmed,
        "begun": _begun,
        "crossed": _crossed,
        "answered": _answered,
        "verified": _verified,
    }

    # The notifier and the document service, by more than their first receipts

    def was_asked_for_a_letter(self) -> bool:
        return any(e.type.name == "erasure.preparing" and e.data["request"] == self.r.id for e in self.told)

    def notifier_seals(self, outcome: str, about_another: bool) -> None:
        request = self.forger.other_request if about_another else self.r.id
        event = an_event("notifier", erasure.LETTER_SEALED, self.case_id, request=request, outcome=outcome)
        self.coordinator.bring(Envelope(event=event, account="notifier"))
        self.say(f"the notifier has {outcome}" + (", it says, for another family's request" if about_another else ""))
        if about_another:
            self.parked.append("letter-of-no-request")
        else:
            self.saga.hears_of_letter(self.r.id, outcome)
        self._passes()

    def letter_may_go(self) -> bool:
        heard = any(e.type.name in ("erasure.verified", "erasure.settled") for e in self._told_about(self.r.id))
        return heard and self.services["notifier"].owes_a_second(self.r.id)

    def notifier_follows_up(self, outcome: str, left: int, arrives: str) -> None:
        self.certified.add(f"letter {self.r.id}")
        post = self.services["notifier"].follows_up(self.r.id, left=left, last_letter=outcome)
        self.say(f"the last letter is {outcome}")
        self._travels(post, arrives)

    def certifies_paper(self, method: str, left: int, arrives: str) -> None:
        self.paper = method
        self.disposals.append({"paper_file": new_id(), "method": method, "at": utc_now().isoformat()})
        self.say(f"the paper file is certified as {method}")
        document = self.services["document"]
        for request, posts in list(document.answered.items()):
            if len(posts) == 1 and PAPER in posts[0].receipt.late:
                self._travels(document.follows_up(request, left=left, paper=self.disposals), arrives)

    # Receipts

    def some_are_asked(self) -> bool:
        return any(service.asked for service in self.services.values())

    def is_under_way(self) -> bool:
        return self.r.stands and self.r.begun

    def all_answer(self) -> None:
        for service in SERVICES:
            self.service_answers(service, 0, "at once")

    def service_answers(self, name: str, left: int, arrives: str) -> None:
        if name == "consent":
            self._consent_answers(arrives)
            return
        late, more = (), {}
        if name == "document":
            late, more = (PAPER,) if self.paper == "lies there" else (), {"paper": self.disposals}
        if name == "notifier" and f"letter {self.r.id}" not in self.certified and self.r.letter == "sealed":
            late = (LETTER,)
        post = self.services[name].answers(left=left, late=late, **more)
        if post is not None:
            still = ", ".join([f"{left} left"] * bool(left) + [f"{store} late" for store in late]) or "nothing is left"
            self.say(f"{name} answers attempt {post.receipt.attempt}: {still}")
            self._travels(post, arrives)

    def _consent_answers(self, arrives: str) -> None:
        """Its own part is the real one: it hears itself, walks its stores and signs."""
        asked = self.services["consent"].asked
        if not asked:
            return
        self.coordinator.bring(*(Envelope(event=event, account="consent") for event in asked))
        asked.clear()
        self.works()
        said = self.coordinator.said()
        receipts = [e for e in said if e.type is erasure.RECEIPT]
        self._was_told([e for e in said if e.type is not erasure.RECEIPT])
        for event in receipts:
            post = read_receipt(Envelope(event=event, account="consent"))
            self.say(f"consent answers attempt {post.receipt.attempt}")
            self._travels(post, arrives)

    def old_post(self, which: int, anew: bool) -> None:
        post = self.drawer[which % len(self.drawer)]
        self.say(f"an old receipt of {post.receipt.service} arrives (attempt {post.receipt.attempt})")
        self._arrives(post.again() if anew else post)

    def all_post(self, backwards: bool) -> None:
        posts = self.drawer[::-1] if backwards else list(self.drawer)
        self.say("all the post arrives together" + (", the last first" if backwards else ""))
        self._arrives(*posts)

    def is_forged(self, kind: str, service: str) -> None:
        envelope, reason = self.forger.forge(kind, service, self.r, self.case_id)
        self.say(f"a receipt of {service} is forged: {kind}")
        self.coordinator.bring(envelope)
        self.parked.append(reason)
        self._passes()

    def joins(self, name: str) -> None:
        """The erasure was begun by a deployment that didn't have this service yet."""
        self.say(f"{name} is new: the erasure began before there was such a service")
        self.coordinator.forget_that_it_knew(self.r.id, name)
        self.r.attempts.pop(name, None)
        self.r.kept = [receipt for receipt in self.r.kept if receipt.service != name]
        service = self.services[name]
        service.asked = [event for event in service.asked if event.data["request"] != self.r.id]
        service.answered.pop(self.r.id, None)

    def _travels(self, post: Post, arrives: str) -> None:
        self.drawer.append(post)
        if arrives == "late":
            return
        self._arrives(post, redelivered=arrives == "redelivered")
        if arrives == "twice":
            self._arrives(post)

    def _arrives(self, *posts: Post, redelivered: bool = False) -> None:
        self.coordinator.bring(*(post.envelope for post in posts), redelivered=redelivered)
        for post in posts:
            reason = self.saga.hears_receipt(post.envelope.event.id, post.receipt)
            self.parked += [reason] if reason else []
        self._passes()

    # The end

    def ends_well(self) -> None:
        """Whatever came before: once everything that is on its way arrives and everyone does their part, it closes."""
        self.say("from here on everyone does their part")
        if self.drawer:
            self.all_post(False)
        for hold in [hold for hold, over in self.saga.holds.items() if not over]:
            self.hold_ends_with_its_day()
            assert self.saga.holds[hold]
        if not self.r.decided:
            self.settles_identity(True)
        if self.r.confirmed_by is None:
            self.confirms("Priya" if self.r.by == "Ola" else "Ola", True)
        for _ in range(5):
            self._everyone_does_their_part()
        same("how it ends", self.r.status, "completed")

    def _everyone_does_their_part(self) -> None:
        if not self.r.stands:
            return
        if self.r.phase == "preparing" and self.r.letter is None:
            self.notifier_seals("sealed", False)
        self.waits_a_while()
        self.agrees()
        self.all_answer()
        for place in [p for p in ELSEWHERE if self.is_under_way() and p not in self.r.certified]:
            self.certifies_elsewhere(place)
        if self.paper == "lies there" and self.r.begun:
            self.certifies_paper("returned", 0, "at once")
        self.agrees()
        if self.r.stands and self.letter_may_go():
            self.notifier_follows_up("sent", 0, "at once")
        self.works()
        self.agrees()

    # Time

    def waits_a_while(self) -> None:
        self.say("minutes pass")
        self.coordinator.works(self.case_id, minutes_later=True)
        self.saga.is_entered(self.r)
        self.saga.looks_again(self.r)
        self._finishes()

    def _told_about(self, request: str) -> list[Event]:
        return [event for event in self.told if event.data.get("request") == request]
