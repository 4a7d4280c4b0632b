"""P24 against a thief: once an erasure is completed, nothing of the family opens, whatever was left behind.

The thief (`thief.py`) has everything on the disks at one moment after "completed": the database, its oplog and files,
the broker's and the object store's files, the secrets and the roots. It knows the formats. What a family that stays
has stored opens to it, and so does the erased family's with the roots that were destroyed: so it isn't blind.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.provision import Provision
from deploy.local.stack import Stack
from deploy.ops.finder import Needle, needles, piece
from deploy.ops.search import Search, hit_lines
from shared.db.keys.tree import bucket_of
from shared.events import SERVICES
from tests.attack import story
from tests.attack.story import Told
from tests.attack.thief import Spoils, steal, told
from tests.helpers import at_end_of_group, kill
from tests.system import System

pytestmark = [pytest.mark.xdist_group("attack"), pytest.mark.embedded]

_MIN_CHARACTERS = 6


@dataclass(frozen=True, kw_only=True)
class Afterwards:
    """A family that is gone and one that stays, and what a thief has at two moments.

    before: the roots before the erasure was confirmed. since: when it had just been completed. spoils: of that moment.
    again: another request for the erased case, logged with a name; it found nothing. later: when that was completed.
    """

    stack: Stack
    provided: Provision
    gone: Told
    stays: Told
    again: Told
    before: dict[Path, bytes]
    since: dict[Path, bytes]
    spoils: Spoils
    later: Spoils

    def with_older_roots(self) -> Spoils:
        """As if the thief had the roots that were destroyed too."""
        return stolen(self.stack, self.provided, self.gone, roots=self.before)


@pytest.fixture(scope="module")
def afterwards(stack: Stack, worker_id: str) -> Afterwards:
    provided = stack.provision(f"attack{worker_id}")
    started = stack.start_services(provided)
    at_end_of_group(lambda: kill(started.values()))
    system = System(stack, provided)
    gone = story.an_open_file(system, Told(), by_intake=True)
    stays = story.an_open_file(system, story.unlike(gone))
    again = Told(case_id=gone.case_id)
    for one in (gone, stays):
        story.asked(system, one)
    before = roots_of(provided)
    story.erased(system, gone)
    since = roots_of(provided)
    spoils = stolen(stack, provided, gone, stays, roots=since)
    story.asked(system, again)
    story.erased(system, again)
    later = stolen(stack, provided, gone, stays, again, roots=roots_of(provided))
    print("\n".join(told(spoils, gone.words, gone.case_id)))
    return Afterwards(
        stack=stack,
        provided=provided,
        gone=gone,
        stays=stays,
        again=again,
        before=before,
        since=since,
        spoils=spoils,
        later=later,
    )


def stolen(stack: Stack, provided: Provision, *families: Told, roots: dict[Path, bytes]) -> Spoils:
    """All that is on the disks now, and these roots, which may not be there any more."""
    return steal(stack.places, stack.ports, provided.prefix, story.together(*families), also=roots)


def roots_of(provided: Provision) -> dict[Path, bytes]:
    """The files of the roots of every service, less the ids of the stores."""
    return {path: path.read_bytes() for path in provided.run.glob("roots-*/*/*.root")}


def test_the_roots_of_before_are_destroyed_when_it_is_completed(afterwards: Afterwards) -> None:
    before, since = afterwards.before, afterwards.since
    assert {path.parent.name for path in before} == {path.parent.name for path in since} == set(SERVICES)
    assert set(before.values()) & set(since.values()) == set()


def test_nothing_that_was_sealed_for_the_family_opens(afterwards: Afterwards) -> None:
    gone, spoils = afterwards.gone, afterwards.spoils
    theirs = spoils.of(gone.case_id, gone.request_id)
    # Given that their sealed parts are still there, in every service's leavings
    assert {part.service for part in theirs} == set(SERVICES)
    assert len(theirs) > 25
    # Then none of them opens
    assert [(part.where, part.place, part.key) for part in spoils.opened(theirs)] == []
    assert [file for file in spoils.files if file.case_id == gone.case_id] == []


def test_in_nothing_that_opens_can_their_words_be_read(afterwards: Afterwards) -> None:
    for spoils in (afterwards.spoils, afterwards.later):
        found = spoils.mentioning(afterwards.gone.words.values())
        assert [(part.where, part.key, part.place) for part in found] == []


def test_who_asked_for_the_erasure_of_an_erased_case_is_forgotten_too(afterwards: Afterwards) -> None:
    again, later = afterwards.again, afterwards.later
    theirs = later.of(again.case_id, again.request_id)
    assert [part for part in theirs if again.request_id in part.key]
    assert [(part.where, part.place, part.key) for part in later.opened(theirs)] == []
    assert [(part.where, part.key, part.place) for part in later.mentioning(again.told.values())] == []


def test_no_search_hash_of_theirs_falls_to_a_dictionary_with_the_right_answer(afterwards: Afterwards) -> None:
    gone, spoils = afterwards.gone, afterwards.spoils
    assert spoils.tried["search"] >= 8
    assert [guess for guess in spoils.guesses if guess.kind == "search" and guess.case_id == gone.case_id] == []
    right = {form for forms in gone.dictionary.forms.values() for form in forms}
    assert [guess for guess in spoils.guesses if guess.answer.partition(": ")[2] in right] == []


def test_no_digest_of_what_they_sent_falls_to_a_dictionary_with_the_right_answer(afterwards: Afterwards) -> None:
    assert afterwards.later.tried["other"] >= 20
    both = (afterwards.gone, afterwards.again)
    words = {word.casefold() for one in both for word in one.told.values()}
    said = story.as_guessed(body for one in both for body in one.personal_bodies)
    fallen = [guess for guess in afterwards.later.guesses if guess.kind != "search"]
    theirs = [guess for guess in fallen if guess.answer in said or guess.answer.casefold() in words]
    assert sorted({(guess.kind, guess.where, guess.secret) for guess in theirs}) == []


def test_the_thief_opens_what_the_family_has_that_stays(afterwards: Afterwards) -> None:
    stays, spoils = afterwards.stays, afterwards.spoils
    assert spoils.loot.counts["oplog"] > 100
    assert spoils.loot.read_in_files > 0
    theirs = spoils.of(stays.case_id)
    assert {part.service for part in spoils.opened(theirs)} == set(SERVICES)
    assert len(spoils.opened(theirs)) == len(theirs)
    assert [file.case_id for file in spoils.files] == [stays.case_id]
    unread = [label for label, word in stays.words.items() if not spoils.mentioning([word])]
    assert set(unread) <= stays.never_stored
    fallen = {guess.answer.partition(": ")[0] for guess in spoils.guesses if guess.case_id == stays.case_id}
    assert fallen >= {"family_name", "postcode", "email", "phone"}


def test_with_the_destroyed_roots_it_would_open_the_erased_family(afterwards: Afterwards) -> None:
    gone = afterwards.gone
    spoils = afterwards.with_older_roots()
    opened = spoils.opened(spoils.of(gone.case_id))
    assert {part.service for part in opened} == set(SERVICES)
    unread = [label for label, word in gone.words.items() if not any(part.mentions([word]) for part in opened)]
    assert set(unread) <= gone.never_stored
    fallen = [guess for guess in spoils.guesses if guess.kind == "search" and guess.case_id == gone.case_id]
    assert len(fallen) >= 4


def test_neither_their_words_nor_a_destroyed_key_is_in_any_file(afterwards: Afterwards) -> None:
    gone, ours = afterwards.gone, afterwards.with_older_roots()
    keys = {root: f"a root of {path.parent.name}" for path, root in afterwards.before.items()}
    for service, ring in ours.rings.items():
        for key in ring.named.get(gone.case_id, ()):
            keys[key] = f"the case's key in {service}"
        for tree in ring.trees:
            key = tree.keys[bucket_of(gone.case_id)]
            if all(key not in one.keys for one in afterwards.spoils.rings[service].trees):
                keys[key] = f"its bucket's key in {service}"
    assert len(keys) >= 3 * len(SERVICES)
    wanted: list[Needle] = [needle for key, label in keys.items() for needle in forms_of(label, key)]
    for one in (gone, afterwards.again):
        said = one.words.items()
        wanted += [form for label, word in said if len(word) >= _MIN_CHARACTERS for form in needles(label, word)]
    found = Search(wanted, afterwards.stack.places).stack()
    assert found.files > 50
    assert hit_lines(found.hits) == []


def forms_of(label: str, key: bytes) -> list[Needle]:
    """A key as it may lie in a file."""
    text = [base64.b64encode(key), base64.urlsafe_b64encode(key), key.hex().encode()]
    return [piece(label, form.rstrip(b"=")) for form in (key, *text)]
