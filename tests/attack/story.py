"""A family's case as a thief would like to find it: every kind of record, each request with an Idempotency-Key.

It speaks HTTP alone, so that it can be told to an older version too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from demo.family import Family, random_family
from shared.ids import new_id
from tests import samples
from tests.attack.dictionaries import Dictionary, as_sent, dictionary
from tests.helpers import eventually
from tests.system import Caller, System


@dataclass(kw_only=True)
class Told:
    """One family's case. asker: who asks for its erasure. bodies: what was sent with an Idempotency-Key."""

    family: Family = field(default_factory=random_family)
    asker: str = field(default_factory=lambda: f"{random_family().by_email.name} {new_id()[-6:]}")
    note: str = field(default_factory=lambda: f"They move to {random_family().address[0]}")
    case_id: str = ""
    request_id: str = ""
    bodies: list[Any] = field(default_factory=list)

    @property
    def words(self) -> dict[str, str]:
        """The texts that nobody may read any more, by what they are."""
        words = dict(self.family.words)
        born = {"the child's date of birth": self.family.child_born.isoformat()}
        return {**words, **born, "the requester's name": self.asker, "the request's note": self.note}

    @property
    def people(self) -> list[dict[str, str]]:
        family, child = self.family, self.family.child_born.isoformat()
        adults = [{"email": one.email, "phone": one.phone} for one in (family.by_post, family.by_email)]
        return [*adults, {"family_name": family.surname, "date_of_birth": child, "postcode": family.postcode}]

    @property
    def dictionary(self) -> Dictionary:
        """It contains every right answer, and some others."""
        return together(self)

    @property
    def never_stored(self) -> set[str]:
        """What the words are derived from, but no service was told: other spellings, and what this story leaves out."""
        return set(self.words) - set(self.told)

    @property
    def told(self) -> dict[str, str]:
        """Those of the words that a service was told."""
        said = "\n".join(as_guessed(self.bodies)).casefold()
        return {label: word for label, word in self.words.items() if word.casefold() in said}

    @property
    def personal_bodies(self) -> list[Any]:
        """What was sent that has something of the family in it."""
        words = [word.casefold() for word in self.words.values()]
        return [
            body for body in self.bodies if any(word in next(iter(as_guessed([body]))).casefold() for word in words)
        ]

    def made(self, caller: Caller, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self.bodies.append(dict(body))
        answer = eventually(lambda: _unless_busy(caller.post(path, body, Idempotency_Key=new_id())))
        assert answer.status_code in (200, 201, 202), (path, answer.status_code, answer.text)
        return dict(answer.json())


def together(*all: Told) -> Dictionary:
    """A dictionary with the right answers of all these families."""
    people = [person for told in all for person in told.people]
    words = [word for told in all for word in told.words.values()]
    return dictionary(people, [body for told in all for body in told.bodies], words, more=("ZE9 9ZZ", "SW1A 1AA"))


def as_guessed(bodies: Iterable[Any]) -> set[str]:
    """Bodies as a guess tells them."""
    return {as_sent(body).decode() for body in bodies}


def _unless_busy(answer: Any) -> Any:
    return None if answer.status_code == 503 else answer


def unlike(other: Told) -> Told:
    """A family that shares no word with the other, which chance may give both."""
    while set((told := Told()).words.values()) & set(other.words.values()):
        pass
    return told


def an_open_file(
    system: System, told: Told, *, by_intake: bool = False, more: Sequence[Mapping[str, Any]] = ()
) -> Told:
    """A case with consents, people, entries, a scan and paper, whose opening letter and email have gone.

    by_intake: it begins with one call that says all that the first parent said on the phone; and `more` people.
    """
    family, worker = told.family, system.caseworker
    first = {"role": "parent", "given_name": family.by_post.given_name, "family_name": family.surname,
             "address": family.address, "phone": family.by_post.phone, "preferred_channel": "letter"}  # fmt: skip
    second = {"role": "parent", "given_name": family.by_email.given_name, "family_name": family.surname,
              "email": family.by_email.email, "preferred_channel": "email"}  # fmt: skip
    child = {"role": "child", "given_name": family.child_given_name, "family_name": family.surname,
             "date_of_birth": family.child_born.isoformat()}  # fmt: skip
    given_by = {"name": family.by_post.name, "capacity": "parental_responsibility"}
    if by_intake:
        consent = a_consent(system, {**given_by, "person": 0}, "casework")
        body = {"case": {"channel": "phone"}, "consent": consent, "people": [first, second, child, *more],
                "wishes": [{"text": family.wish}]}  # fmt: skip
        made = told.made(worker, "/intake", body)
        told.case_id, people = made["id"], made["people"]
    else:
        told.case_id = told.made(worker, "/cases", {"channel": "phone"})["id"]
        told.made(worker, "/consents", {"case_id": told.case_id, **a_consent(system, given_by, "casework")})
        eventually(lambda: worker.read(f"/cases/{told.case_id}")["state"] == "open")
        people = [told.made(worker, f"/cases/{told.case_id}/people", person) for person in (first, second, child)]
        told.made(worker, f"/cases/{told.case_id}/entries", {"kind": "wish", "text": family.wish})
    by = {"name": family.by_email.name, "person_id": people[1]["id"], "capacity": "parental_responsibility"}
    told.made(worker, "/consents", {"case_id": told.case_id, **a_consent(system, by, "casework", "email")})
    told.made(worker, f"/cases/{told.case_id}/entries", {"kind": "note", "text": family.outcome})
    scanned(told, system)
    paper = {"location": family.paper_location, "description": family.paper_description}
    told.made(worker, f"/cases/{told.case_id}/paper-files", paper)
    eventually(lambda: delivered(system, told.case_id) == ["email", "letter"])
    return told


def a_consent(system: System, given_by: Mapping[str, Any], *purposes: str) -> dict[str, Any]:
    """What is sent to record a consent, less its case."""
    now = datetime.now(UTC)
    return {
        "decision": "given",
        "given_by": dict(given_by),
        "channel": "phone",
        "informed_at": (now - timedelta(minutes=4)).isoformat(),
        "given_at": now.isoformat(),
        "statement_version": system.caseworker.read("/statement")["version"],
        "purposes": [{"purpose": purpose} for purpose in purposes],
    }


def scanned(told: Told, system: System) -> None:
    """A scan with the family's own title."""
    content, fields = samples.pdf_scan(), {"kind": "ehc_plan", "source": "family", "title": told.family.scan_title}
    sent = {"data": fields, "files": {"file": ("scan.pdf", content, "application/pdf")}}
    headers = {"Idempotency-Key": new_id()}
    answer = eventually(
        lambda: _unless_busy(
            system.caseworker.call("POST", f"/cases/{told.case_id}/documents", headers=headers, **sent)
        )
    )
    assert answer.status_code == 201, answer.text
    identity = [fields, hashlib.sha256(content).hexdigest()]
    told.bodies.append(json.dumps(identity, sort_keys=True, ensure_ascii=False).encode())


def delivered(system: System, case_id: str) -> list[str]:
    """The channels of the letters and emails that have gone."""
    items = system.caseworker.read("/notifications", case_id=case_id)["items"]
    return sorted(item["channel"] for item in items if item["status"] == "delivered")


def asked(system: System, told: Told) -> None:
    """Somebody asks for its erasure, by name; it waits on the colleague who confirms."""
    body = {
        "kind": "erasure",
        "case_id": told.case_id,
        "received_at": datetime.now(UTC).isoformat(),
        "channel": "phone",
        "made_by": {"name": told.asker, "authority": "parental_responsibility"},
        "note": told.note,
    }
    told.request_id = told.made(system.caseworker, "/requests", body)["id"]


def erased(system: System, told: Told) -> None:
    """The request is confirmed, the paper shredded, and everything done: it is completed."""
    checked = {"checked": ["family", "authority", "safeguarding"]}
    answer = system.colleague.post(f"/requests/{told.request_id}/confirmation", checked)
    assert answer.status_code == 200, answer.text
    papers = system.caseworker.read(f"/cases/{told.case_id}/paper-files")["items"]
    shredded = {"method": "shredded", "by": "Ada", "witnessed_by": "Ben"}
    eventually(lambda: system.is_completed(told.request_id) or "paper" in system.waits_on(told.request_id))
    if not system.is_completed(told.request_id):
        for paper in papers:
            eventually(lambda id=paper["id"]: system.caseworker.post(f"/paper-files/{id}/disposal", shredded).ok)
    eventually(lambda: system.is_completed(told.request_id))
