"""One family's case, from the first call to the certificate, or to a file that is kept: told over HTTP.

What was accepted is written down, so that the judge can ask the servers for exactly that.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests import samples
from tests.faults.client import Call, Client, StoryFailed, until
from tests.system import System

CHECKED = {"checked": ["family", "authority", "safeguarding"]}
# How a case ends, and how often: most are forgotten.
ENDINGS = {"forgotten": 0.6, "kept": 0.15, "withdrawn": 0.15, "request taken back": 0.1}
_LETTERS = "abcdefghijklmnop"


@dataclass(slots=True, kw_only=True)
class Person:
    """An adult's or a child's canary: their name is in nobody else's mouth."""

    id: str
    name: str
    email: str | None
    is_adult: bool


@dataclass(slots=True, kw_only=True)
class Case:
    """What one case was told, and what was accepted of it.

    review: how its annual review must have ended (`renewed`, `forgotten`, `silent`, `unreached`); None: it isn't due.
    went: the letters of that review that were heard of as handed over.
    """

    number: int
    ending: str
    id: str = ""
    calls: list[Call] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)
    entries: list[str] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)
    papers: list[str] = field(default_factory=list)
    consents: list[str] = field(default_factory=list)
    withdrawals: list[str] = field(default_factory=list)
    notifications: list[str] = field(default_factory=list)
    request: str | None = None
    certificate: str | None = None
    confirmed_at: float | None = None
    completed_at: float | None = None
    failure: str | None = None
    review: str | None = None
    went: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a case will be told. scans: each `small` or `large`; `on_purpose`: staff have a letter sent.

    agreed: how long ago the family agreed to it.
    """

    number: int
    ending: str
    by_email: bool
    children: int
    entries: int
    scans: tuple[str, ...]
    paper: bool
    on_purpose: bool
    agreed: timedelta = timedelta(hours=2)


def draw(seed: int, number: int) -> Plan:
    """The same plan for the same seed and number."""
    rng = random.Random(f"{seed}:{number}")
    return Plan(
        number=number,
        ending=rng.choices(list(ENDINGS), list(ENDINGS.values()))[0],
        by_email=rng.random() < 0.4,
        children=rng.randrange(3),
        entries=1 + rng.randrange(3),
        scans=tuple(rng.choices(["small", "large"], [9, 1], k=rng.randrange(3))),
        paper=rng.random() < 0.3,
        on_purpose=rng.random() < 0.2,
    )


class Words:
    """The canary: one stem in every word that a family of this run says, so that one search finds any of them."""

    def __init__(self, rng: random.Random) -> None:
        self.stem = "Qvex" + "".join(rng.choice(_LETTERS) for _ in range(8))
        self.small = samples.pdf_scan(pages=1, width=200, height=280, seed=rng.randrange(10_000))
        self.large = samples.pdf_scan(pages=2, width=2200, height=3100, seed=rng.randrange(10_000), quality=90)

    def name(self, number: int, part: int) -> str:
        digits = "".join(_LETTERS[int(digit)] for digit in f"{number:05d}{part}")
        return f"{self.stem}{digits}"

    def pieces(self) -> list[bytes]:
        """Stretches of the scans as they came."""
        return [scan[len(scan) // 2 : len(scan) // 2 + 48] for scan in (self.small, self.large)]


class Narrator:
    """The people of the office, as one thread has them."""

    def __init__(self, system: System, words: Words) -> None:
        self.words = words
        self._one = Client(system, "caseworker", sub="worker-one")
        self._two = Client(system, "caseworker", sub="worker-two")
        self._auditor = Client(system, "auditor", sub="auditor-one")

    def tell(self, plan: Plan, into: list[Case]) -> Case:
        """The whole story of a case. Raises StoryFailed; what was accepted so far stands in `into`."""
        case = Case(number=plan.number, ending=plan.ending)
        into.append(case)
        try:
            self.opened(case, plan)
            getattr(self, "_" + plan.ending.replace(" ", "_"))(case)
        except AssertionError as error:
            case.failure = str(error)
            raise
        return case

    def opened(self, case: Case, plan: Plan) -> None:
        """Agreed to, open, and with all in it that the plan names. Raises StoryFailed."""
        case.id = self._one.made(case.calls, "/cases", {"channel": "phone"})
        now = datetime.now(UTC)
        purposes = [{"purpose": "casework"}, *([{"purpose": "email"}] if plan.by_email else [])]
        consent = {
            "case_id": case.id,
            "decision": "given",
            "given_by": {"name": self.words.name(case.number, 0), "capacity": "parental_responsibility"},
            "channel": "phone",
            "informed_at": (now - plan.agreed).isoformat(),
            "given_at": (now - plan.agreed).isoformat(),
            "statement_version": self._one.get(case.calls, "/statement")["version"],
            "purposes": purposes,
        }
        case.consents.append(self._one.made(case.calls, "/consents", consent))
        self._until_state(case, "open")
        self._filled(case, plan)

    def _until_state(self, case: Case, state: str) -> None:
        path = f"/cases/{case.id}"
        until(lambda: self._one.get(case.calls, path)["state"] == state, f"case {case.number} {state}")

    def _filled(self, case: Case, plan: Plan) -> None:
        for part in range(1 + plan.children):
            self._person(case, part, by_email=plan.by_email)
        for part in range(plan.entries):
            text = f"{self.words.stem} would like a place at the school nearby ({part})"
            entry = {"kind": "wish", "text": text}
            case.entries.append(self._one.made(case.calls, f"/cases/{case.id}/entries", entry))
        for scan in plan.scans:
            self._scan(case, self.words.large if scan == "large" else self.words.small)
        if plan.paper:
            paper = {"location": f"cabinet of {self.words.stem}", "description": "a green folder"}
            path, unheard = f"/cases/{case.id}/paper-files", ("consent-required",)
            case.papers.append(self._one.made(case.calls, path, paper, wait_out=unheard))
        if plan.on_purpose:
            self._written_to(case)

    def _person(self, case: Case, part: int, *, by_email: bool) -> None:
        name = self.words.name(case.number, part)
        body: dict[str, Any] = {"role": "parent" if part == 0 else "child", "given_name": "Zoë", "family_name": name}
        if part == 0:
            body["address"] = [f"14 {self.words.stem} Terrace", "Marlow Vale", "SW1A 1AA"]
            if by_email:
                body |= {"email": f"{name.lower()}@family.example", "preferred_channel": "email"}
        made = self._one.made(case.calls, f"/cases/{case.id}/people", body)
        case.people.append(Person(id=made, name=name, email=body.get("email"), is_adult=part == 0))

    def _scan(self, case: Case, content: bytes) -> None:
        answer = self._one.call(
            case.calls,
            "POST",
            f"/cases/{case.id}/documents",
            data={"kind": "ehc_plan", "source": "family", "title": f"Plan of {self.words.stem}"},
            files={"file": (f"{self.words.stem}.pdf", content, "application/pdf")},
            wait_out=("consent-required",),
        )
        case.documents.append(answer.json()["id"])

    def _written_to(self, case: Case) -> None:
        adult = case.people[0]
        body = {"case_id": case.id, "person_id": adult.id, "template": "opening", "values": {}, "channel": "letter"}
        wait_out = ("consent-required", "invalid")
        case.notifications.append(self._one.made(case.calls, "/notifications", body, wait_out=wait_out))

    # How it ends

    def _kept(self, case: Case) -> None:
        return

    def _withdrawn(self, case: Case) -> None:
        path = f"/consents/{case.consents[0]}/withdrawal"
        body = {"channel": "phone", "by": self.words.name(case.number, 0)}
        case.withdrawals.append(self._one.made(case.calls, path, body))

    def _asked(self, case: Case) -> str:
        body = {
            "kind": "erasure",
            "case_id": case.id,
            # Long enough ago that it isn't in the future where a clock has jumped back; perhaps on the day before.
            "received_at": (datetime.now(UTC) - timedelta(hours=2)).isoformat(),
            "late_reason": "it was written down after the call",
            "channel": "phone",
            "made_by": {"name": self.words.name(case.number, 0), "authority": "parental_responsibility"},
        }
        case.request = self._one.made(case.calls, "/requests", body)
        return case.request

    def _shredded(self, case: Case, paper: str) -> None:
        """Certified once the erasure has begun. Its answer is kept nowhere, so a lost one is looked up."""
        path = f"/paper-files/{paper}"
        body = {"method": "shredded", "by": "Ola", "witnessed_by": "Priya"}
        try:
            self._one.call(case.calls, "POST", f"{path}/disposal", json=body, wait_out=("frozen",))
        except StoryFailed:
            if self._one.get(case.calls, path)["state"] != "shredded":
                raise
            case.calls[-1].status = 200

    def _request_taken_back(self, case: Case) -> None:
        path = f"/requests/{self._asked(case)}/withdrawal"
        self._one.call(case.calls, "POST", path, json={"channel": "phone", "by": self.words.stem})
        until(lambda: not self._one.get(case.calls, f"/cases/{case.id}")["frozen"], f"case {case.number} released")
        entry = {"kind": "note", "text": f"{self.words.stem} goes on"}
        case.entries.append(self._one.made(case.calls, f"/cases/{case.id}/entries", entry, wait_out=("frozen",)))

    def _forgotten(self, case: Case) -> None:
        self.confirmed(case, self._asked(case))

    def confirmed(self, case: Case, request: str) -> None:
        """A second person confirms, and it goes on to its certificate."""
        self._two.call(case.calls, "POST", f"/requests/{request}/confirmation", json=CHECKED)
        case.confirmed_at = time.monotonic()
        for paper in case.papers:
            self._shredded(case, paper)
        path = f"/requests/{request}"
        until(lambda: self._one.get(case.calls, path)["status"] == "completed", f"erasure of case {case.number}")
        case.completed_at = time.monotonic()
        case.certificate = self._auditor.call(case.calls, "GET", f"{path}/certificate").text
