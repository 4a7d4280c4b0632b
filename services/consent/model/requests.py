"""Requests of the family, and the erasure as a state machine that only reads what it is handed.

Its phases: asked, preparing, beginning, begun, verified, completed (docs/architecture.md, "Erasure, step by step").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

from shared.erasure.manifest import CASE_KEYS, differences
from shared.events import SERVICES

ERASURE: Final = "erasure"
KINDS = ("access", ERASURE, "rectification", "restriction", "objection", "complaint")
AUTHORITIES = ("self", "parental_responsibility", "representative")
CHECKS = frozenset({"family", "authority", "safeguarding"})
GROUNDS = ("legal_claim", "safeguarding", "legal_duty", "open_access_request")
SETTLEMENTS = ("unknown", "undeliverable", "nobody")
PAPER_STORE = "papers_to_certify"
ERASURE_WORKING_DAYS = 2
#: Who logged a request that came by itself, of a withdrawal or of a review without an answer.
SYSTEM = "system"


class Status(StrEnum):
    RECEIVED = "received"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    VOID = "void"


class Phase(StrEnum):
    """How far an erasure has come. From `beginning` on it can't be undone: the ledger is told, then the services."""

    ASKED = "asked"
    PREPARING = "preparing"
    BEGINNING = "beginning"
    BEGUN = "begun"
    VERIFIED = "verified"
    DONE = "done"
    STOPPED = "stopped"


class Move(StrEnum):
    """What happens next."""

    PREPARE = "prepare"
    BEGIN = "begin"
    VERIFY = "verify"
    COMPLETE = "complete"


STANDING = frozenset({Status.RECEIVED, Status.IN_PROGRESS})
#: In these it can still be withdrawn, refused or held.
NOT_BEGUN = frozenset({Phase.ASKED, Phase.PREPARING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request of any kind; only an erasure goes through phases.

    personal: {made_by, note?, late_reason?, ...}, sealed; None once the case is erased. own_key: it is sealed under a
    key of its own, because the case had none any more. recorded_by: of one that the system logged, who recorded what it
    came of; they can't confirm it either. organisations_left: how many organisations that the case named stay, because
    other cases name them; of an erasure that has begun.
    """

    id: str
    kind: str
    case_id: str
    status: Status
    phase: Phase
    received_at: datetime
    logged_at: datetime
    logged_by: str
    channel: str
    due_on: date
    due_at: datetime
    about: tuple[str, ...]
    identity_settled: bool
    confirmed_by: str | None
    confirmed_at: datetime | None
    letter: str | None
    attempts: Mapping[str, int]
    elsewhere: tuple[str, ...]
    elsewhere_certified: tuple[str, ...]
    verified_at: datetime | None
    completed_at: datetime | None
    certificate: str | None
    personal: Mapping[str, Any] | None
    recorded_by: str | None = None
    organisations_left: int | None = None
    own_key: bool = False
    version: int = 1

    @property
    def stands(self) -> bool:
        return self.status in STANDING

    @property
    def is_open_erasure(self) -> bool:
        """Whether it asks for an erasure, and still stands."""
        return self.kind == ERASURE and self.stands

    @property
    def is_beginning(self) -> bool:
        """Whether it can't be undone any more, and the services weren't told yet."""
        return self.is_open_erasure and self.phase is Phase.BEGINNING

    @property
    def begun(self) -> bool:
        """Whether the services were told to erase."""
        return self.phase in (Phase.BEGUN, Phase.VERIFIED, Phase.DONE)


def request_key(request_id: str) -> str:
    """The name of the key that a request about an erased case is sealed under."""
    return f"request:{request_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A receipt that was checked and kept. stores: [{store, found, deleted, remaining}]. at: when it was kept."""

    id: str
    request: str
    case_id: str
    service: str
    attempt: int
    outcome: str
    stores: Sequence[Mapping[str, Any]]
    late: Sequence[str]
    signed_at: datetime
    jws: str
    root_generation: int | None = None
    root_destroyed_at: datetime | None = None
    last_letter: str | None = None
    paper: Sequence[Mapping[str, Any]] = ()
    at: datetime

    @property
    def fault(self) -> str | None:
        """Why it doesn't count: a store was left out, or is one that this version doesn't know (`stores`); something
        that has a personal part was left, but for what is late (`remaining`); or the root that the case's key hung on
        still exists (`root`). None for a clean one.
        """
        if any(differences(self.service, (s["store"] for s in self.stores))):
            return "stores"
        if self.outcome not in ("erased", "nothing_held") or any(s["remaining"] for s in self.stores):
            return "remaining"
        had_key = any(s["found"] for s in self.stores if s["store"] == CASE_KEYS)
        return "root" if had_key and self.root_destroyed_at is None else None

    @property
    def clean(self) -> bool:
        return self.fault is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A recorded legal ground on which an erasure waits, until a date that is included."""

    id: str
    case_id: str
    ground: str
    until: date
    reason: str
    placed_by: str
    placed_at: datetime
    version: int = 1

    def holds_on(self, day: date) -> bool:
        return day <= self.until


def latest(request: Request, receipts: Iterable[Receipt]) -> dict[str, Receipt]:
    """The last receipt of each service at its latest attempt, where that is clean.

    The last is the one signed last, in any order of arrival: a second that found something undoes the first.
    """
    last: dict[str, Receipt] = {}
    for receipt in receipts:
        if receipt.attempt != request.attempts.get(receipt.service):
            continue
        before = last.get(receipt.service)
        if before is None or receipt.signed_at >= before.signed_at:
            last[receipt.service] = receipt
    return {service: receipt for service, receipt in last.items() if receipt.clean}


def awaited(request: Request, receipts: Iterable[Receipt]) -> list[str]:
    """The services that have not yet answered with everything gone."""
    answered = latest(request, receipts)
    return [service for service in SERVICES if service not in answered]


def waiting_on(request: Request, receipts: Sequence[Receipt], *, held: bool) -> list[str]:
    """What stands between now and the next step of an erasure: nothing that a later step waits for."""
    if not request.is_open_erasure:
        return []
    if request.phase in NOT_BEGUN:
        reasons = [] if request.confirmed_at else ["confirmation"]
        reasons += [] if request.identity_settled else ["identity"]
        reasons += ["hold"] if held else []
        if request.phase is Phase.PREPARING and request.letter is None:
            reasons.append("letter")
        return reasons
    if request.phase is Phase.BEGINNING:
        return list(SERVICES)
    if request.phase is Phase.VERIFIED:
        return awaited(request, receipts) or _outside(request, receipts) or _letter(request, receipts)
    if request.phase is Phase.BEGUN:
        return awaited(request, receipts) or _outside(request, receipts)
    return []


def next_move(request: Request, receipts: Sequence[Receipt], *, held: bool) -> Move | None:
    """The step that nothing stands in the way of any more; None while something does, and for every other kind."""
    if not request.is_open_erasure or waiting_on(request, receipts, held=held):
        return None
    return {
        Phase.ASKED: Move.PREPARE,
        Phase.PREPARING: Move.BEGIN,
        Phase.BEGUN: Move.VERIFY,
        Phase.VERIFIED: Move.COMPLETE,
    }.get(request.phase)


def _outside(request: Request, receipts: Sequence[Receipt]) -> list[str]:
    """Paper, and the places outside the software, still to be certified."""
    answered = latest(request, receipts)
    waits = ["paper"] if PAPER_STORE in answered["document"].late else []
    if set(request.elsewhere) - set(request.elsewhere_certified):
        waits.append("elsewhere")
    return waits


def _letter(request: Request, receipts: Sequence[Receipt]) -> list[str]:
    """`letter`, until every service has said that nothing is late, and the notifier how the last letter ended."""
    answered = latest(request, receipts)
    late = len(answered) < len(SERVICES) or any(receipt.late for receipt in answered.values())
    return ["letter"] if late or answered["notifier"].last_letter is None else []


def letter_outcome(request: Request, receipts: Iterable[Receipt]) -> str | None:
    """How the last letter ended: as a manager settled it, or as the notifier told; None while it may still go."""
    if request.letter in SETTLEMENTS:
        return request.letter
    answer = latest(request, receipts).get("notifier")
    return None if answer is None else answer.last_letter


def kept_promise(*, completed_at: datetime, due_at: datetime, paper: Iterable[Mapping[str, Any]]) -> bool:
    """P24: in time, and no paper file went missing."""
    return completed_at <= due_at and not any(item["method"] == "not_found" for item in paper)
