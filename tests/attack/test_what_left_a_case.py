"""A thief after something has left a case that lives on: people (one had a letter), two scans, a hold and a stop.

Each is deleted by its route, but for one scan: that is moved to another case.

The thief (`thief.py`) has everything on the disks at the moment when nothing waits any more. It opens the rest of the
case. What was deleted opens to it with the roots that were destroyed: so it isn't blind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.local import mongo
from deploy.local.provision import Provision
from deploy.local.stack import Stack
from shared.clock import utc_now
from shared.db.keys.tree import number_of, owner_of
from shared.erasure.case_keys import RESEAL_STEP
from shared.erasure.named_keys import ROTATE_STEP
from shared.events import SERVICES
from shared.ids import new_id
from tests import samples
from tests.attack import story
from tests.attack.story import Told
from tests.attack.thief import Spoils, steal
from tests.helpers import at_end_of_group, eventually, kill
from tests.system import Caller, System

pytestmark = [pytest.mark.xdist_group("attack-left"), pytest.mark.embedded]


@dataclass(frozen=True, kw_only=True)
class Left:
    """stays: the family whose case it is. gone: what was said of it by those who are deleted, and their words.

    spoils: with the roots of then; older: with those of before too. answers: what the services say of the case.
    moved: the title of the scan that is in another case now, and that case.
    """

    stays: Told
    gone: Told
    words: Mapping[str, str]
    spoils: Spoils
    older: Spoils
    moved: tuple[str, str]
    answers: Mapping[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module")
def left(stack: Stack, worker_id: str) -> Left:
    provided = stack.provision(f"left{worker_id}")
    started = stack.start_services(provided)
    at_end_of_group(lambda: kill(started.values()))
    system = System(stack, provided)
    stays = Told()
    gone = story.unlike(stays)
    words = words_of(gone)
    # Given a family's file, with two more people, a second scan, a hold and a stop
    aunt, cousin = people_of(gone)
    story.an_open_file(system, stays, by_intake=True, more=[aunt])
    gone.case_id = stays.case_id
    worker, case = system.caseworker, f"/cases/{stays.case_id}"
    gone.made(worker, f"{case}/people", cousin)
    (aunts,) = (one["id"] for one in worker.read(case)["people"] if one["given_name"] == aunt["given_name"])
    given_by = {"name": "The carer", "person_id": aunts, "capacity": "parental_responsibility"}
    stays.made(worker, "/consents", {"case_id": stays.case_id, **story.a_consent(system, given_by, "casework")})
    eventually(lambda: story.delivered(system, stays.case_id) == ["email", "letter", "letter"])
    story.scanned(gone, system)
    until = (utc_now() + timedelta(days=30)).date().isoformat()
    hold = {"case_id": stays.case_id, "ground": "legal_claim", "until": until, "reason": words["the hold"]}
    held = gone.made(system.data_protection, "/holds", hold)
    stop = {"reason": "court_order", "words": words["the stop"]}
    assert worker.call("PUT", f"{case}/stop-all", json=stop).status_code == 200
    other, title = system.an_open_case(), f"A plan that was misfiled {new_id()}"
    misfiled = filed(worker, stays.case_id, title)
    settled(system, provided, key=1)
    before = roots_of(provided)
    # When all that is deleted, and a scan moved to another case
    answer = worker.post(f"/documents/{misfiled}/move", {"case_id": other, "reason": "Another family's"})
    assert answer.status_code == 200, answer.text
    for person in worker.read(case)["people"]:
        if person["given_name"] in (aunt["given_name"], cousin["given_name"]):
            deleted(worker, f"{case}/people/{person['id']}")
    (scan,) = (one for one in worker.read(f"{case}/documents")["items"] if one["title"] == gone.family.scan_title)
    deleted(worker, f"/documents/{scan['id']}")
    deleted(system.data_protection, f"/holds/{held['id']}")
    assert system.manager.call("DELETE", f"{case}/stop-all").status_code == 204
    settled(system, provided, key=2)
    answers = {
        "people": worker.read(case)["people"],
        "entries": worker.read(f"{case}/entries")["items"],
        "documents": worker.read(f"{case}/documents")["items"],
        "consents": worker.read("/consents", case_id=stays.case_id)["items"],
    }
    (paper,) = answers["documents"]
    answers["scan"] = worker.get(f"/documents/{paper['id']}/content").status_code
    both = story.together(stays, gone)

    def stolen(roots: Mapping[Path, bytes]) -> Spoils:
        return steal(stack.places, stack.ports, provided.prefix, both, also=roots)

    spoils, older = stolen(roots_of(provided)), stolen(before)
    moved = (title, other)
    return Left(stays=stays, gone=gone, words=words, spoils=spoils, older=older, moved=moved, answers=answers)


def people_of(gone: Told) -> tuple[dict[str, Any], dict[str, Any]]:
    """An aunt who comes with the intake, and a cousin who is added later."""
    family, child = gone.family, gone.family.child_born.isoformat()
    aunt = {"role": "carer", "given_name": f"Aunt {new_id()[-6:]}", "family_name": family.surname,
            "address": family.address, "email": family.by_post.email}  # fmt: skip
    cousin = {"role": "child", "given_name": family.child_given_name, "family_name": family.surname,
              "date_of_birth": child, "email": family.by_email.email}  # fmt: skip
    return aunt, cousin


def words_of(gone: Told) -> dict[str, str]:
    family = gone.family
    return {
        "a family name": family.surname,
        "a given name": family.child_given_name,
        "a date of birth": family.child_born.isoformat(),
        "the street": family.address[0],
        "the postcode": family.postcode,
        "the aunt's email address": family.by_post.email,
        "the cousin's email address": family.by_email.email,
        "the scan's title": family.scan_title,
        "the hold": f"The claim that {family.surname} v. Council began",
        "the stop": f"{gone.asker} may not be told where they live",
    }


def filed(caller: Caller, case_id: str, title: str) -> str:
    """Another scan of the case, under a key whose answer is kept; its id."""
    fields = {"kind": "ehc_plan", "source": "family", "title": title}
    files, headers = {"file": ("scan.png", samples.png(), "image/png")}, {"Idempotency-Key": new_id()}
    answer = caller.call("POST", f"/cases/{case_id}/documents", data=fields, files=files, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def deleted(caller: Caller, path: str) -> None:
    etag = caller.get(path).headers["ETag"]
    answer = caller.call("DELETE", path, headers={"If-Match": etag})
    assert answer.status_code == 204, (path, answer.status_code, answer.text)


def settled(system: System, provided: Provision, *, key: int) -> None:
    """Wait until the case has its key of that number or a later one in every service, and no key waits."""
    kinds = {"kind": {"$in": [RESEAL_STEP, ROTATE_STEP]}}

    def waits(admin: Any, service: str) -> bool:
        database, vault = admin[f"{provided.prefix}_{service}"], admin[f"{provided.prefix}_{service}_vault"]
        lacks = key > 1 and database["gates"].count_documents({"key": {"$gte": key}}) == 0
        return bool(
            lacks
            or database["steps"].count_documents(kinds)
            or database["outbox"].count_documents({})
            or vault["doomed"].count_documents({"gone_at": None})
        )

    with mongo.admin_client(system.stack.places, system.stack.ports) as admin:
        eventually(lambda: not any(waits(admin, service) for service in SERVICES))


def roots_of(provided: Provision) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in provided.run.glob("roots-*/*/*.root")}


def test_the_rest_of_the_case_is_there(left: Left) -> None:
    family, answers = left.stays.family, left.answers
    assert [one["family_name"] for one in answers["people"]] == [family.surname] * 3
    assert sorted(one["text"] for one in answers["entries"]) == sorted([family.wish, family.outcome])
    assert [one["title"] for one in answers["documents"]] == [family.scan_title]
    assert answers["scan"] == 200
    assert len(answers["consents"]) == 3


def test_nothing_of_what_was_deleted_opens(left: Left) -> None:
    found = left.spoils.mentioning(left.words.values())
    assert [(part.where, part.place, part.key) for part in found] == []
    assert sorted(str(file.case_id) for file in left.spoils.files) == sorted([left.stays.case_id, left.moved[1]])


def test_what_was_moved_opens_in_its_new_case_alone(left: Left) -> None:
    title, other = left.moved
    found = left.spoils.mentioning([title])
    assert {(part.case_id, owner_of(part.key)) for part in found} == {(other, other)}
    before = {owner_of(part.key) for part in left.older.mentioning([title])}
    assert before == {left.stays.case_id, other}


def test_no_hash_and_no_digest_of_theirs_falls_to_a_dictionary_with_the_right_answer(left: Left) -> None:
    spoils = left.spoils
    assert spoils.tried["search"] >= 8
    theirs = {form for forms in left.gone.dictionary.forms.values() for form in forms}
    theirs |= story.as_guessed(left.gone.bodies) | set(left.words.values())
    fallen = [guess for guess in spoils.guesses if guess.answer in theirs or guess.answer.partition(": ")[2] in theirs]
    assert sorted({(guess.kind, guess.where, guess.secret) for guess in fallen}) == []


def test_the_thief_opens_the_rest_of_the_case(left: Left) -> None:
    spoils, stays = left.spoils, left.stays
    theirs = [part for part in spoils.of(stays.case_id) if owner_of(part.key) == stays.case_id]
    newest = {name: max(number_of(part.key) for part in theirs if part.service == name) for name in SERVICES}
    assert all(number > 1 for number in newest.values())
    under = [part for part in theirs if number_of(part.key) == newest[part.service or ""]]
    assert len(under) > 15
    assert len(under) < len(theirs)
    assert [part for part in theirs if part.opened is not None] == under
    unread = [label for label, word in stays.words.items() if not spoils.mentioning([word])]
    assert set(unread) <= stays.never_stored
    fallen = {guess.answer.partition(": ")[0] for guess in spoils.guesses if guess.kind == "search"}
    assert fallen >= {"family_name", "postcode", "email", "phone"}


def test_with_the_destroyed_roots_it_would_open_what_was_deleted(left: Left) -> None:
    unread = [label for label, word in left.words.items() if not left.older.mentioning([word])]
    assert unread == []
    theirs = {form for forms in left.gone.dictionary.forms.values() for form in forms}
    fallen = {guess.answer.partition(": ")[2] for guess in left.older.guesses if guess.kind == "search"}
    assert len(fallen & theirs) >= 3
