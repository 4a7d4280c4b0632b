"""What must happen in an erasure: plain Python that knows nothing of how it is done.

Every method answers what the coordinator must answer, and adds to `says` what it must say to the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

SERVICES = ("case", "document", "consent", "notifier")
PAPER = "papers_to_certify"
LETTER = "sealed_letters"
SETTLEMENTS = ("unknown", "undeliverable", "nobody")
ENDINGS = {"withdrawal": "withdrawn", "refusal": "refused", "void": "void"}
Said = tuple[object, ...]
OLD = "receipt-of-an-old-attempt"


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What a service has signed. left: whether anything remained, or it failed. letter: how the last letter ended."""

    request: str
    service: str
    attempt: int
    left: int
    late: tuple[str, ...]
    letter: str | None
    signed_at: datetime
    jws: str


@dataclass(kw_only=True)
class Asked:
    """One request for erasure."""

    id: str
    by: str
    identity: bool
    elsewhere: Sequence[str]
    status: str = "received"
    phase: str = "asked"
    confirmed_by: str | None = None
    letter: str | None = None
    attempts: dict[str, int] = field(default_factory=dict)
    kept: list[Receipt] = field(default_factory=list)
    certified: list[str] = field(default_factory=list)
    # The certificate is about to be signed.
    to_finish: bool = False
    certificate_over: list[Receipt] = field(default_factory=list)

    @property
    def stands(self) -> bool:
        return self.status in ("received", "in_progress")

    @property
    def decided(self) -> bool:
        """It can't be undone any more."""
        return self.phase == "beginning" or self.begun

    @property
    def begun(self) -> bool:
        return self.phase in ("begun", "verified", "done")

    def last(self, service: str) -> Receipt | None:
        """The one of its latest attempt that was signed last, in whatever order they came."""
        theirs = [r for r in self.kept if r.service == service and r.attempt == self.attempts.get(service)]
        return max(reversed(theirs), key=lambda r: r.signed_at, default=None)

    def silent(self) -> list[str]:
        """Who hasn't said that nothing is left."""
        return [s for s in SERVICES if (last := self.last(s)) is None or last.left]

    def still_late(self, store: str) -> bool:
        return any((last := self.last(s)) is not None and store in last.late for s in SERVICES)


class Saga:
    """One family's erasures. `says` is what the others must hear, in order."""

    def __init__(self) -> None:
        self.requests: list[Asked] = []
        self.gate = "open"
        # Hold to whether its day is over.
        self.holds: dict[str, bool] = {}
        self.says: list[Said] = []
        self.heard: set[str] = set()

    @property
    def now(self) -> Asked | None:
        """The request that was logged last."""
        return self.requests[-1] if self.requests else None

    def of(self, request_id: str) -> Asked:
        return next(r for r in self.requests if r.id == request_id)

    @property
    def held(self) -> bool:
        return not all(self.holds.values())

    def waits(self, r: Asked) -> list[str]:
        """What stands between now and the next step."""
        if not r.stands:
            return []
        if r.phase == "beginning":
            return ["ledger"]
        if not r.begun:
            unmet = {"confirmation": r.confirmed_by is None, "identity": not r.identity, "hold": self.held}
            unmet["letter"] = r.phase == "preparing" and r.letter is None
            return [what for what, so in unmet.items() if so]
        if silent := r.silent():
            return silent
        paper = ["paper"] if r.still_late(PAPER) else []
        if r.phase == "begun":
            return paper + (["elsewhere"] if set(r.elsewhere) - set(r.certified) else [])
        notifier = r.last("notifier")
        told = notifier is not None and notifier.letter is not None and not notifier.late
        return paper or ([] if told else ["letter"])

    def goes_on(self, r: Asked) -> None:
        """Somebody changed something that it may have waited for."""
        while r.stands and not self.waits(r) and not r.to_finish:
            if r.phase == "asked":
                r.phase, r.status = "preparing", "in_progress"
                self.says.append(("erasure.preparing", r.id))
            elif r.phase == "preparing":
                r.phase, self.gate = "beginning", "closed"
            elif r.phase == "begun":
                r.phase = "verified"
                self.says.append(("erasure.verified", r.id))
            else:
                r.to_finish = True

    def is_entered(self, r: Asked) -> None:
        """The ledger has it, if it was decided."""
        if r.phase == "beginning":
            r.phase, r.attempts = "begun", dict.fromkeys(SERVICES, 1)
            self.says.append(("erasure.started", r.id, 1, SERVICES))

    # People

    def asked(self, r: Asked) -> None:
        """A new one was logged; the case is frozen at once."""
        self.requests.append(r)
        self.gate = "frozen" if self.gate == "open" else self.gate
        self.says.append(("case.frozen",))

    def confirms(self, r: Asked, who: str) -> int:
        if not r.stands or r.decided:
            return 409
        if who == r.by:
            return 403
        if r.confirmed_by:
            return 409
        r.confirmed_by = who
        self.goes_on(r)
        return 200

    def identity(self, r: Asked, settled: bool) -> int:
        if not r.stands or r.decided:
            return 409
        r.identity = settled
        self.goes_on(r)
        return 200

    def ends(self, r: Asked, how: str) -> int:
        if not r.stands or r.decided:
            return 409
        if r.phase == "preparing":
            self.says.append(("erasure.cancelled", r.id))
        r.status, r.phase = ENDINGS[how], "stopped"
        if not any(other.stands for other in self.requests):
            self.gate = "open" if self.gate == "frozen" else self.gate
            self.says.append(("case.released",))
        return 200

    def settles_letter(self, r: Asked, outcome: str) -> int:
        if not r.stands or r.phase == "asked":
            return 409
        told = notifier.letter if (notifier := r.last("notifier")) is not None and not notifier.left else None
        if ended := r.letter if r.letter in SETTLEMENTS else told:
            return 200 if ended == outcome else 409
        r.letter = outcome
        self.says.append(("erasure.settled", r.id, outcome))
        self.goes_on(r)
        return 200

    def certifies(self, r: Asked, place: str) -> int:
        if not r.stands or not r.begun or place in r.certified:
            return 409
        r.certified.append(place)
        self.goes_on(r)
        return 200

    def lifts(self, hold: str) -> None:
        del self.holds[hold]
        for r in self.requests:
            self.goes_on(r)

    # The other services: answers why a message is parked, None when it isn't

    def hears_of_letter(self, request_id: str, outcome: str) -> None:
        r = self.of(request_id)
        if r.stands and r.phase == "preparing" and r.letter is None:
            r.letter = outcome
            self.goes_on(r)

    def hears_receipt(self, event_id: str, receipt: Receipt) -> str | None:
        r = self.of(receipt.request)
        if event_id in self.heard:
            return None
        if receipt.attempt != r.attempts.get(receipt.service):
            return OLD
        self.heard.add(event_id)
        if all(receipt.jws != known.jws for known in r.kept):
            r.kept.append(receipt)
            self.goes_on(r)
        return None

    # The coordinator by itself

    def looks_again(self, r: Asked) -> None:
        """Minutes have passed: whoever is waited for is asked once more, whoever found something anew."""
        if not r.stands or r.confirmed_by is None:
            return
        notifier = r.last("notifier")
        if r.phase == "preparing" and r.letter is None:
            self.says.append(("erasure.preparing", r.id))
        elif r.begun and (silent := r.silent()):
            groups: dict[int, list[str]] = {}
            for service in silent:
                before = r.attempts.get(service)
                found_something = r.last(service) is not None
                r.attempts[service] = 1 if before is None else before + found_something
                groups.setdefault(r.attempts[service], []).append(service)
            for attempt, services in groups.items():
                self.says.append(("erasure.started", r.id, attempt, tuple(services)))
        elif r.phase == "verified" and (notifier is None or notifier.letter is None):
            self.says.append(("erasure.verified", r.id))
        self.goes_on(r)

    def finishes(self, r: Asked) -> None:
        """It gets round to the certificate, if that still may be signed."""
        if r.to_finish and not self.waits(r):
            r.status, r.phase = "completed", "done"
            r.certificate_over = [last for s in SERVICES if (last := r.last(s)) is not None]
            self.says.append(("erasure.completed", r.id))
        r.to_finish = False
