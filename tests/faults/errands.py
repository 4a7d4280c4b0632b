"""What an office does while something is broken: errands, each sent until it is taken, and what must come of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import requests

from shared.ids import new_id
from tests import samples
from tests.faults.own_stack import OwnStack
from tests.system import Caller

# No caller waits longer than this for an answer, whatever is cut off.
LONGEST_SECONDS = 12.0
WITHDRAWAL = {"channel": "phone", "by": "Ama Mensah", "purposes": [{"purpose": "email"}]}
# What takes something new in, and stops below the disk floor; the others go on.
INWARD = ("open a case", "add an entry", "upload", "add a person")


@dataclass(kw_only=True)
class Errand:
    """One request that is sent until it is taken, under one Idempotency-Key; and how each try was answered."""

    name: str
    send: Callable[[Mapping[str, str]], requests.Response]
    key: str = field(default_factory=new_id)
    statuses: list[int] = field(default_factory=list)
    longest: float = 0.0
    made: Any = None

    def attempt(self) -> bool:
        """Send it once; whether it was taken. Fails on an answer that isn't a clear yes or a clear `later`."""
        begun = time.monotonic()
        try:
            answer = self.send({"Idempotency-Key": self.key})
        except requests.ConnectionError:
            # A kept-alive connection that the API was just closing; the key makes asking again safe.
            answer = self.send({"Idempotency-Key": self.key})
        took = time.monotonic() - begun
        self.longest = max(self.longest, took)
        self.statuses.append(answer.status_code)
        assert took < LONGEST_SECONDS, f"{self.name} took {took:.1f} s: {answer.status_code} {answer.text}"
        if answer.status_code == 503:
            assert "Retry-After" in answer.headers, self.name
            assert answer.json()["type"] == "urn:fmn:problem:unavailable", self.name
            return False
        # A repeat while the first try is still at work.
        if answer.status_code == 409 and len(self.statuses) > 1:
            return False
        assert answer.ok, f"{self.name}: {answer.status_code} {answer.text}"
        self.made = answer.json() if answer.content else {}
        return True

    @property
    def taken(self) -> bool:
        return self.made is not None


def all_at_once(errands: list[Errand]) -> None:
    """Each tried once more, unless it was taken, side by side. The first that failed is raised."""
    failures: list[BaseException] = []

    def run(errand: Errand) -> None:
        try:
            errand.attempt()
        except BaseException as error:  # noqa: BLE001 (raised again below, on the test's own thread)
            failures.append(error)

    threads = [threading.Thread(target=run, args=(errand,)) for errand in errands if not errand.taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def posting(caller: Caller, path: str, body: Any) -> Callable[[Mapping[str, str]], requests.Response]:
    return lambda headers: caller.call("POST", path, json=body, headers=dict(headers))


def erasure_of(case_id: str) -> dict[str, object]:
    return {
        "kind": "erasure",
        "case_id": case_id,
        "received_at": datetime.now(UTC).isoformat(),
        "channel": "phone",
        "made_by": {"name": "Ama Mensah", "authority": "parental_responsibility"},
    }


class Story:
    """What an office does meanwhile: each errand of it once, however often it must be sent."""

    def __init__(self, own: OwnStack) -> None:
        system, inside = own.system, own.inside
        self.own = own
        self.kept = inside.a_family()
        self.leaving = system.an_open_case({"purpose": "casework"}, {"purpose": "email"})
        self.withdrawing = system.an_open_case({"purpose": "casework"}, {"purpose": "email"})
        consents = system.caseworker.read("/consents", case_id=self.withdrawing)["items"]
        self.mailed = system.an_open_case({"purpose": "casework"}, {"purpose": "email"})
        own.seconds_until_drained(within_seconds=20)
        person = {"role": "parent", "given_name": "Ama", "family_name": "Mensah", "preferred_channel": "email",
                  "email": "ama.mensah@family.example", "phone": "07700 900124"}  # fmt: skip
        worker = system.caseworker
        self.errands = [
            Errand(name="open a case", send=posting(worker, "/cases", {"channel": "phone"})),
            Errand(
                name="add an entry",
                send=posting(worker, f"/cases/{self.kept}/entries", {"kind": "wish", "text": "a place nearby"}),
            ),
            Errand(name="upload", send=self._upload),
            Errand(name="add a person", send=posting(worker, f"/cases/{self.mailed}/people", person)),
            Errand(
                name="withdraw",
                send=posting(worker, f"/consents/{consents[0]['id']}/withdrawal", WITHDRAWAL),
            ),
            Errand(name="ask to be forgotten", send=posting(worker, "/requests", erasure_of(self.leaving))),
        ]

    def _upload(self, headers: Mapping[str, str]) -> requests.Response:
        return self.own.system.caseworker.call(
            "POST",
            f"/cases/{self.kept}/documents",
            data={"kind": "ehc_plan", "source": "family"},
            files={"file": ("scan.pdf", samples.pdf_scan(), "application/pdf")},
            headers=dict(headers),
        )

    def tell(self) -> None:
        """Everything that wasn't taken yet, once more."""
        all_at_once(self.errands)

    def is_told_now(self) -> bool:
        self.tell()
        return all(errand.taken for errand in self.errands)

    def ends(self) -> None:
        """The family that asked is forgotten, everybody else has exactly what was sent."""
        own, system, inside = self.own, self.own.system, self.own.inside
        made = {errand.name: errand.made for errand in self.errands}
        request = made["ask to be forgotten"]["id"]
        system.confirm(request)
        inside.completes(request, within_seconds=30)
        assert inside.left_of(self.leaving) == []
        own.seconds_until_drained(within_seconds=10)
        assert system.caseworker.read(f"/cases/{made['open a case']['id']}")["state"] == "shell"
        entries = system.caseworker.read(f"/cases/{self.kept}/entries")["items"]
        assert sorted(entry["text"] for entry in entries) == ["a place at the school nearby", "a place nearby"]
        documents = system.caseworker.read(f"/cases/{self.kept}/documents")["items"]
        assert len(documents) == 2
        kept = {document["id"]: system.caseworker.get(f"/documents/{document['id']}/content") for document in documents}
        assert all(answer.status_code == 200 and answer.content.startswith(b"%PDF") for answer in kept.values())
        allowed = system.caseworker.read("/decisions", case_id=self.withdrawing, purpose="email")["allowed"]
        assert allowed is False
        assert len(inside.rows("consent", "endings", case_id=self.withdrawing, kind="withdrawn")) <= 1
        people = system.caseworker.read(f"/cases/{self.mailed}")["people"]
        assert [person["email"] for person in people] == ["ama.mensah@family.example"]
        self._mail_went_once()
        assert own.parked == []

    def _mail_went_once(self) -> None:
        notifications = self.own.system.caseworker.read("/notifications", case_id=self.mailed)["items"]
        assert len(notifications) == 1
        (mail,) = notifications
        went = [p for p in self.own.provided.mail.glob("*.eml") if mail["id"] in p.read_text(errors="replace")]
        # Whether the relay took it may be unknown, to us; then it isn't sent again.
        assert (mail["status"], len(went)) in (("delivered", 1), ("needs_attention", 0), ("needs_attention", 1)), mail
