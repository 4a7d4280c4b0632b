"""The change feed: every change is told, at least once, whoever writes, dies, or has a wrong clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson.timestamp import Timestamp
from pymongo import MongoClient, monitoring

from deploy.local.mongo import admin_client
from deploy.local.stack import Stack
from shared.clock import utc_now
from shared.db import transactions
from shared.db.change_feed import SETTLED_SECONDS, Place, RestoredSince, Settled
from shared.db.changes import What
from shared.db.unit_of_work import Tx
from shared.errors import Invalid
from shared.http.changes import cursor_of, place_in
from shared.ids import new_id
from tests.helpers import eventually
from tests.service.feed_rig import KINDS, Follower, Note, Room, Task, a_room, opened

_PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def room(stack: Stack, worker_id: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with a_room(stack, f"feed{worker_id}", tmp_path_factory.mktemp("roots")) as opened:
        yield opened


def from_now(room: Room) -> Follower:
    """An app that has been told of everything there is."""
    return Follower(room.feed(), place=room.place())


def told(follower: Follower) -> list[tuple[str, str, str]]:
    return [(change.kind, change.id, change.what.value) for change in follower.ask()]


def test_what_was_made_changed_and_removed_is_told_with_ids_kinds_and_times_alone(room: Room) -> None:
    case_id, follower = room.a_case(), from_now(room)
    kept, gone = room.a_note(case_id), room.a_note(case_id)
    other = room.changed(room.a_note(case_id))
    room.removed(gone)
    # Then each is told once, as it was left, in the order of the last writes
    changes = [change for change in follower.ask() if change.case_id == case_id]
    assert [(change.kind, change.id, change.what) for change in changes] == [
        ("note", kept.id, What.CREATED),
        ("note", other.id, What.CHANGED),
        ("note", gone.id, What.REMOVED),
    ]
    assert all(abs(change.at - utc_now()) < timedelta(minutes=5) for change in changes)


def test_a_record_that_is_put_in_anothers_place_is_told(room: Room) -> None:
    case_id, follower = room.a_case(), from_now(room)
    task = Task(id=new_id(), case_id=case_id)
    for count in (1, 2):
        room.unit_of_work.run(
            lambda tx, count=count: room.tasks.put(Task(id=task.id, case_id=case_id, count=count), tx=tx)
        )
        assert ("task", task.id) in {(kind, id) for kind, id, _ in told(follower)}


def test_a_case_that_is_frozen_released_and_erased_is_told(room: Room) -> None:
    case_id, follower = room.a_case(), from_now(room)
    gates, run = room.unit_of_work.gates, room.unit_of_work.run
    for move, what in ((gates.freeze, "changed"), (gates.release, "changed"), (gates.close, "erased")):
        run(lambda tx, move=move: move(tx.session, case_id))
        assert ("case", case_id, what) in told(follower)
    # Also where a batch of messages holds the gate
    held = room.a_case()

    def freeze(tx: Tx) -> None:
        with gates.holding(tx.session, [held]):
            gates.freeze(tx.session, held)

    run(freeze)
    assert ("case", held, "changed") in told(follower)


def test_a_write_takes_not_one_command_more_than_without_the_feed(room: Room) -> None:
    class Commands(monitoring.CommandListener):
        def __init__(self) -> None:
            self.seen: list[str] = []

        def started(self, event: monitoring.CommandStartedEvent) -> None:
            self.seen.append(event.command_name)

        def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

        def failed(self, event: monitoring.CommandFailedEvent) -> None: ...

    case_id, listener = room.a_case(), Commands()
    watched: MongoClient[Any] = MongoClient(room.url, tz_aware=True, event_listeners=[listener])
    other = opened(watched, url=room.url, names=room.names, folder=room.folder)
    # Given a process that has the case's key at hand
    other.a_note(case_id)
    listener.seen.clear()
    other.a_note(case_id)
    assert listener.seen == ["findAndModify", "insert", "commitTransaction"]
    watched.close()


def test_only_the_kinds_that_are_asked_for_are_told_removed_ones_too(room: Room) -> None:
    case_id, feed = room.a_case(), room.feed()
    place = from_now(room).place
    note = room.a_note(case_id)
    room.removed(room.a_note(case_id))
    changes, _ = feed.read(place, {"task", "case"}, limit=50)
    assert [change for change in changes if change.kind == "note"] == []
    changes, _ = feed.read(place, {"note"}, limit=50)
    assert note.id in {change.id for change in changes}
    assert {change.kind for change in changes} == {"note"}


def test_pages_are_as_long_as_asked_for_and_an_empty_one_gives_the_same_place(room: Room) -> None:
    case_id, follower = room.a_case(), from_now(room)
    notes = [room.a_note(case_id).id for _ in range(7)]
    feed, place, seen = room.feed(), follower.place, list[str]()
    for expected in (3, 3, 1):
        changes, place = feed.read(place, {"note"}, limit=3)
        assert len(changes) == expected
        seen += [change.id for change in changes]
    assert seen == notes
    # What is recent is told again, from where the reader began
    assert place == follower.place
    again, _ = feed.read(place, {"note"}, limit=50)
    assert [change.id for change in again] == notes
    end = Place(generation=0, at=Timestamp(2**31, 0), again=Timestamp(2**31, 0))
    assert feed.read(end, KINDS, limit=50) == ([], end)


def test_what_was_written_long_ago_and_commits_now_is_told(room: Room) -> None:
    """A transaction that is open while others commit around it: a reader that only went on would have passed it."""
    case_id, slow_case = room.a_case(), room.a_case()
    feed = room.feed()
    written, go_on = threading.Event(), threading.Event()
    late: list[str] = []

    def slow() -> None:
        def act(tx: Tx) -> str:
            id = new_id()
            tx.enter(slow_case)
            room.notes.add(Note(id=id, case_id=slow_case), tx=tx)
            written.set()
            go_on.wait(2)
            return id

        late.append(room.unit_of_work.run(act))

    follower = Follower(feed, place=from_now(room).place)
    thread = threading.Thread(target=slow)
    thread.start()
    assert written.wait(30)
    room.a_note(case_id)
    with follower:
        eventually(lambda: follower.told)
        go_on.set()
        thread.join()
        eventually(lambda: set(late) <= follower.ids())


def test_a_time_is_settled_once_it_is_ten_seconds_old_by_a_clock_that_only_goes_on() -> None:
    now = [100.0]
    settled = Settled(clock=lambda: now[0])
    first = Timestamp(1_700_000_000, 1)
    a_day = 86_400
    # Until then it is a day ago, by the database's clock
    assert settled.sample(first) == Timestamp(first.time - a_day, 0)
    now[0] += 0.1
    assert settled.sample(Timestamp(first.time + 3600, 1)) == Timestamp(first.time + 3600 - a_day, 0)
    now[0] += SETTLED_SECONDS - 0.2
    # That clock was put right by hours: nothing more is settled by it
    assert settled.sample(Timestamp(first.time + 7200, 1)) < first
    now[0] += 0.2
    assert settled.sample(Timestamp(first.time + 7201, 1)) == first
    # A process that has not read for an hour goes by what it saw then
    now[0] += 3600
    assert settled.sample(Timestamp(first.time + 9000, 1)) == Timestamp(first.time + 7200, 1)


def test_a_time_is_settled_later_than_any_transaction_lasts(stack: Stack) -> None:
    with admin_client(stack.places, stack.ports) as client:
        limit = client.admin.command("getParameter", transactionLifetimeLimitSeconds=1)
    # The server looks for those that have lasted too long at least every half of that
    assert limit["transactionLifetimeLimitSeconds"] * 2 < SETTLED_SECONDS
    assert transactions._TIMEOUT_SECONDS < SETTLED_SECONDS


def test_a_reader_who_begins_with_everything_isnt_sent_back_to_the_beginning(room: Room) -> None:
    long_ago = Timestamp(1_600_000_000, 1)
    note = room.a_note(room.a_case())
    room.notes.rows.update_one({"_id": note.id}, {"$set": {"changed": long_ago}})
    feed = room.feed()
    changes, place = feed.read(None, KINDS, limit=1)
    assert [change.id for change in changes] == [note.id]
    while not place.is_start:
        _, place = feed.read(place, KINDS, limit=50)
    assert place.at > long_ago


def test_after_a_restore_every_older_place_says_to_start_again(room: Room) -> None:
    _, place = room.feed().read(None, KINDS, limit=1)
    restored = room.feed(restored=datetime(2026, 3, 14, 9, 26, tzinfo=UTC))
    with pytest.raises(RestoredSince):
        restored.read(place, KINDS, limit=1)
    _, anew = restored.read(None, KINDS, limit=1)
    restored.read(anew, KINDS, limit=1)
    assert restored.now().generation == anew.generation != 0


def test_a_cursor_says_the_whole_place_and_is_of_one_service() -> None:
    place = Place(generation=1773480360000, at=Timestamp(1_790_000_000, 7), again=Timestamp(1_789_999_990, 2**32 - 1))
    assert place_in(cursor_of(place, "case"), "case") == place
    for wrong in (cursor_of(place, "consent"), "now?", "", "Zoë", cursor_of(place, "case") + "AA", "A" * 38, "🦊"):
        with pytest.raises(Invalid):
            place_in(wrong, "case")


def test_whoever_follows_is_told_of_everything_that_many_writers_commit(room: Room, tmp_path: Path) -> None:
    """Eight processes, some with a clock that is a minute off, two of them killed; two readers."""
    cases = [room.a_case() for _ in range(4)]
    begun = from_now(room).place
    settings = {
        **os.environ,
        "FEED_URL": room.url,
        "FEED_NAMES": room.names,
        "FEED_FOLDER": str(room.folder),
    }

    def writer(number: int) -> subprocess.Popen[bytes]:
        off = {0: "0", 1: "61", 2: "-61"}[number % 3]
        command = [sys.executable, "-m", "tests.service.feed_writer", off, str(tmp_path / str(number)), *cases]
        return subprocess.Popen(command, env=settings, cwd=_PROJECT)

    slow, quick = Follower(room.feed(), limit=5, place=begun), Follower(room.feed(), limit=200, place=begun)
    with slow, quick:
        writers = [writer(number) for number in range(8)]
        try:
            eventually(lambda: all(len(committed(tmp_path / str(n))) > 20 for n in range(8)))
            for one in writers[:2]:
                one.send_signal(signal.SIGKILL)
            time.sleep(2)
        finally:
            for one in writers[2:]:
                one.terminate()
            for one in writers:
                one.wait(60)
        everything = set[str]().union(*(committed(tmp_path / str(n)) for n in range(8)))
        assert len(everything) > 160
        for reader in (quick, slow):
            eventually(lambda reader=reader: everything <= reader.ids())  # type: ignore[misc]
        there = {row["_id"] for row in room.notes.rows.find({"case_id": {"$in": cases}}, {"_id": 1})}
        assert everything <= there
        # What a killed writer had committed before it could say so
        for reader in (quick, slow):
            eventually(lambda reader=reader: there <= reader.ids())  # type: ignore[misc]


def committed(file: Path) -> set[str]:
    """The ids that a writer says it has committed; a line that was cut short is none."""
    return {line for line in file.read_text().splitlines() if len(line) == 36} if file.exists() else set()


def test_a_page_of_a_million_rows_is_read_by_the_index(room: Room) -> None:
    follower = from_now(room)
    room.a_note(room.a_case())
    plan = room.unit_of_work.db.command(
        "explain",
        {
            "aggregate": "notes",
            "pipeline": [
                {"$match": {"changed": {"$gt": follower.place.at}}},  # type: ignore[union-attr]
                {"$sort": {"changed": 1}},
                {"$limit": 50},
            ],
            "cursor": {},
        },
    )
    assert "IXSCAN" in str(plan)
    assert "COLLSCAN" not in str(plan)
    assert "'SORT'" not in str(plan)
