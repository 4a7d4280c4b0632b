"""The ledger on real servers: each entry once, whatever dies; and whatever is changed behind it, nothing is entered."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from prometheus_client import REGISTRY
from pymongo.errors import OperationFailure
from structlog.testing import capture_logs

from deploy.local import mongo
from deploy.local.stack import Stack
from deploy.ops.ledger import Refused, Side, Sides
from services.consent.store import ledger as store
from services.consent.store import ledger_copy
from services.consent.store.ledger import Ledger
from services.consent.store.ledger_copy import LedgerCopy
from shared.clock import utc_now
from shared.db import KeptRows
from shared.errors import Temporary
from shared.ids import new_id
from shared.ledger import COPY_FILE, HEAD_FILE, read_head
from tests.operator_commands import command
from tests.races.saga_model_system import Coordinator, a_coordinator
from tests.service.accounts_rig import mongo_of
from tests.service.ledger_rig import Place

pytestmark = pytest.mark.xdist_group("ledger")


@pytest.fixture(scope="module")
def coordinator(stack: Stack, worker_id: str) -> Iterator[Coordinator]:
    with a_coordinator(stack, f"ledger{worker_id}") as opened:
        # Alarms are read here.
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
        yield opened


@pytest.fixture
def place(stack: Stack, coordinator: Coordinator, tmp_path: Path) -> Iterator[Place]:
    context = coordinator.opened.context
    with mongo.admin_client(stack.places, stack.ports) as client:
        admin = client[f"{coordinator.runtime.settings.names}_ledger"]["ledger"]
        admin.delete_many({})
        for name in ("copy", "published"):
            (tmp_path / name).mkdir()
        yield Place(
            rows=context.stores.ledger,
            admin=admin,
            signer=coordinator.signer("consent", "ledger.jwk"),
            keys=context.public_keys,
            folder=tmp_path / "copy",
            published=tmp_path / "published" / "head.jws",
        )
        admin.delete_many({})


# Each entry once, whatever dies


class Killed(BaseException):
    """The process died."""


@contextmanager
def dying(owner: Any, name: str, *, side: str) -> Iterator[None]:
    """The process dies just before, or just after, this is called."""
    real = getattr(owner, name)

    def dies(*args: Any, **kwargs: Any) -> Any:
        if side == "after":
            real(*args, **kwargs)
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, dies)
        with pytest.raises(Killed):
            yield


def cut_short(descriptor: int, content: bytes) -> None:
    os.write(descriptor, content[: len(content) // 2])
    raise Killed


MADE_ONCE = "the file is made"
STEPS: dict[str, tuple[Any, str]] = {
    MADE_ONCE: (LedgerCopy, "create"),
    "inserted": (KeptRows, "insert"),
    "copied": (LedgerCopy, "add"),
    "the line is written": (ledger_copy, "write_all"),
    "the head is signed": (store, "sign_head"),
    "the head is written": (LedgerCopy, "write_head"),
    "the head is put in its place": (os, "replace"),
}


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize(
    ("step", "first"), [(step, first) for step in STEPS for first in (True, False) if first or step != MADE_ONCE]
)
def test_a_process_that_dies_at_any_step_enters_it_once(place: Place, step: str, first: bool, side: str) -> None:
    if not first:
        place.enters(place.process())
    about, (owner, name) = new_id(), STEPS[step]
    with dying(owner, name, side=side):
        place.enters(place.process(), about)
    # When another process runs the step again, and one after it enters something else
    place.enters(place.process(), about)
    other = place.enters(place.process())
    # Then
    assert [entry.about for entry in place.whole.entries][-2:] == [about, other]
    assert place.copied == place.entries
    head = read_head(place.copy.head() or "", place.keys)
    assert not place.whole.lacks(head)
    assert head.number == len(place.entries) == (2 if first else 3)


def test_a_line_that_was_cut_short_is_written_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.enters(place.process())
    about = new_id()
    with monkeypatch.context() as patch:
        patch.setattr(ledger_copy, "write_all", cut_short)
        with pytest.raises(Killed):
            place.enters(place.process(), about)
    assert not (place.folder / COPY_FILE).read_bytes().endswith(b"\n")
    place.enters(place.process(), about)
    assert place.copied == place.entries
    assert len(place.whole.entries) == 2


def test_processes_that_enter_at_once_make_one_chain(place: Place) -> None:
    ledgers = [place.process() for _ in range(4)]
    abouts = [new_id() for _ in range(40)]
    with ThreadPoolExecutor(8) as pool:
        # Each is asked for by two.
        list(pool.map(lambda n: place.enters(ledgers[n % 4], abouts[n % 40]), range(80)))
    assert sorted(entry.about for entry in place.whole.entries) == sorted(abouts)
    assert place.copied == place.entries


# What is changed behind it


def truncate(place: Place, lines: int) -> None:
    kept = (place.folder / COPY_FILE).read_bytes().splitlines(keepends=True)[:-lines]
    (place.folder / COPY_FILE).write_bytes(b"".join(kept))


def edit_line(place: Place, number: int) -> None:
    lines = (place.folder / COPY_FILE).read_bytes().splitlines(keepends=True)
    lines[number - 1] = lines[number - 1].replace(place.entries[number - 1].case_id.encode(), new_id().encode())
    (place.folder / COPY_FILE).write_bytes(b"".join(lines))


def cut_both(place: Place) -> None:
    place.admin.delete_many({"_id": {"$gt": 3}})
    truncate(place, 2)


def junk(place: Place, **changed: Any) -> None:
    """With the service's own account, which may insert."""
    place.rows.rows.insert_one(place.entries[0].row | {"about": new_id()} | changed)


TAMPERED: dict[str, tuple[Callable[[Place], object], str]] = {
    "the last two rows are deleted": (lambda p: p.admin.delete_many({"_id": {"$gt": 3}}), "rows_missing"),
    "all rows are deleted": (lambda p: p.admin.delete_many({}), "rows_missing"),
    "the last row is edited": (lambda p: p.admin.update_one({"_id": 5}, {"$set": {"kind": "erasure"}}), "rows_altered"),
    "a row is put after the last": (lambda p: junk(p, _id=6), "rows_altered"),
    "a row is put far after the last": (lambda p: junk(p, _id=600), "rows_altered"),
    "a row with a name for a number": (lambda p: junk(p, _id="z"), "rows_altered"),
    "the copy lost two lines": (lambda p: truncate(p, 2), "copy_short"),
    "the copy lost one line": (lambda p: truncate(p, 1), "copy_short"),
    "the last line is edited": (lambda p: edit_line(p, 5), "differ"),
    "the copy is gone": (lambda p: (p.folder / COPY_FILE).unlink(), "copy_missing"),
    "the copy is something else": (lambda p: (p.folder / COPY_FILE).write_bytes(b"\0" * 100_000), "copy_unreadable"),
    "something follows the copy": (lambda p: (p.folder / COPY_FILE).open("ab").write(b"x"), "copy_unreadable"),
    "both were cut to the same entry": (cut_both, "rows_missing"),
    "the head is something else": (lambda p: (p.folder / HEAD_FILE).write_bytes(b"\xff"), "head"),
    "the head isn't signed": (lambda p: (p.folder / HEAD_FILE).write_text(p.entries[0].signature), "head"),
    "the folder is away": (lambda p: p.folder.rename(p.folder.with_name("away")), "copy_away"),
}
#: What is found when every entry is compared: by a process that starts, and daily.
IN_THE_MIDDLE: dict[str, tuple[Callable[[Place], object], str]] = {
    "a row is edited": (lambda p: p.admin.update_one({"_id": 2}, {"$set": {"case_id": new_id()}}), "rows_altered"),
    "a row is deleted": (lambda p: p.admin.delete_one({"_id": 2}), "rows_altered"),
    "a row is put before the first": (lambda p: junk(p, _id=0), "rows_altered"),
    "a line is edited": (lambda p: edit_line(p, 2), "differ"),
}


def refuses(place: Place, ledger: Ledger, reason: str, *, by: Callable[[Ledger], object]) -> None:
    """It alarms with the reason, and enters nothing."""
    rows = list(place.rows.rows.find())
    with capture_logs() as logs:
        with suppress(Temporary):
            by(ledger)
        # Whatever it was that found it, nothing can be entered from then on.
        with pytest.raises(Temporary):
            place.enters(ledger)
    alarms = [line["reason"] for line in logs if line["event"] == "ledger.refused"]
    assert alarms == [reason]
    assert REGISTRY.get_sample_value("fmn_ledger_refused") == 1
    assert list(place.rows.rows.find()) == rows


@pytest.mark.parametrize("how", TAMPERED)
@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
def test_what_was_changed_is_found_before_anything_is_entered(place: Place, how: str, restarted: bool) -> None:
    tamper, reason = TAMPERED[how]
    ledger = place.process()
    for _ in range(5):
        place.enters(ledger)
    tamper(place)
    refuses(place, place.process() if restarted else ledger, reason, by=place.enters)


@pytest.mark.parametrize("how", IN_THE_MIDDLE)
@pytest.mark.parametrize("daily", [True, False], ids=["a day later", "restarted"])
def test_what_was_changed_in_the_middle_is_found_at_start_and_daily(place: Place, how: str, daily: bool) -> None:
    tamper, reason = IN_THE_MIDDLE[how]
    ledger = place.process()
    for _ in range(5):
        place.enters(ledger)
    tamper(place)
    if daily:
        later = utc_now() + timedelta(days=1)
        refuses(place, ledger, reason, by=lambda one: place.enters(one, now=later))
    else:
        refuses(place, place.process(), reason, by=place.enters)


def test_a_row_that_only_looks_as_if_it_was_entered_is_no_entry(place: Place) -> None:
    ledger, about = place.process(), new_id()
    place.enters(ledger)
    # A row of a number that the quick comparison passes by.
    place.rows.rows.insert_one(place.entries[0].row | {"_id": -1, "about": about})
    refuses(place, ledger, "rows_altered", by=lambda one: place.enters(one, about))


def test_a_running_process_knows_how_far_it_had_come(place: Place) -> None:
    """Rows, copy and head are all put back to an older state, which is whole."""
    ledger = place.process()
    place.enters(ledger)
    before = (place.folder / COPY_FILE).read_bytes(), (place.folder / HEAD_FILE).read_bytes()
    place.enters(ledger)
    place.admin.delete_one({"_id": 2})
    (place.folder / COPY_FILE).write_bytes(before[0])
    (place.folder / HEAD_FILE).write_bytes(before[1])
    refuses(place, ledger, "rows_missing", by=place.enters)


def test_the_published_head_shows_that_all_was_put_back(place: Place) -> None:
    ledger = place.process()
    place.enters(ledger)
    before = (place.folder / COPY_FILE).read_bytes(), (place.folder / HEAD_FILE).read_bytes()
    place.enters(ledger)
    assert ledger.look_after(utc_now())
    place.admin.delete_one({"_id": 2})
    (place.folder / COPY_FILE).write_bytes(before[0])
    (place.folder / HEAD_FILE).write_bytes(before[1])
    refuses(place, place.process(), "rows_missing", by=place.enters)


def test_it_goes_on_by_itself_once_the_folder_is_back(place: Place) -> None:
    ledger = place.process()
    place.enters(ledger)
    place.folder.rename(place.folder.with_name("away"))
    refuses(place, ledger, "copy_away", by=lambda one: one.look_after(utc_now()))
    # Alarms again each time it is looked at
    with capture_logs() as logs:
        assert not ledger.look_after(utc_now())
    assert [line["reason"] for line in logs] == ["copy_away"]
    place.folder.with_name("away").rename(place.folder)
    assert ledger.look_after(utc_now())
    assert REGISTRY.get_sample_value("fmn_ledger_refused") == 0
    place.enters(ledger)
    assert place.copied == list(place.whole.entries)


def test_a_copy_that_is_full_keeps_what_was_entered_and_goes_on(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, about = place.process(), new_id()
    place.enters(ledger)

    def full(descriptor: int, content: bytes) -> None:
        os.write(descriptor, content[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ledger_copy, "write_all", full)
        with pytest.raises(Temporary):
            place.enters(ledger, about)
    # The row is there and its line isn't: it is written before anything else is entered.
    assert ledger.look_after(utc_now())
    assert place.copied == place.entries
    place.enters(ledger, about)
    assert len(place.whole.entries) == 2


# The published head


def test_the_head_is_published_once_a_day(place: Place) -> None:
    ledger, now = place.process(), utc_now()

    def published() -> tuple[int, Any]:
        head = read_head(place.published.read_text().strip(), place.keys)
        return head.number, head.at

    assert ledger.look_after(now)
    assert published() == (0, now)
    place.enters(ledger)
    # Not again on the same day
    assert ledger.look_after(now + timedelta(seconds=1))
    assert published() == (0, now)
    tomorrow = now + timedelta(days=1)
    assert ledger.look_after(tomorrow)
    assert published() == (1, tomorrow)
    assert place.published.stat().st_mode & 0o777 == 0o644


def test_a_head_that_cant_be_published_alarms_and_holds_nothing_up(place: Place) -> None:
    ledger = place.process()
    place.published.parent.rmdir()
    with capture_logs() as logs:
        assert ledger.look_after(utc_now())
    assert [line["event"] for line in logs] == ["ledger.head_not_published"]
    place.enters(ledger)


def test_a_bent_published_head_is_found(place: Place) -> None:
    ledger = place.process()
    assert ledger.look_after(utc_now())
    place.published.write_text("nothing")
    refuses(place, ledger, "head", by=lambda one: one.look_after(utc_now() + timedelta(days=1)))


# The account


def test_the_services_account_may_insert_and_read_alone(coordinator: Coordinator, place: Place) -> None:
    place.enters(place.process())
    provided = coordinator.system.provided
    with mongo_of(provided, "consent") as client:
        database = client[f"{provided.prefix}_ledger"]
        rows: Any = database["ledger"]
        assert rows.count_documents({}) == 1
        for act in (
            lambda: rows.update_one({}, {"$set": {"kind": "erasure"}}),
            lambda: rows.replace_one({}, {}),
            lambda: rows.update_one({"_id": 9}, {"$set": {"kind": "erasure"}}, upsert=True),
            lambda: rows.find_one_and_update({}, {"$set": {"kind": "erasure"}}),
            lambda: rows.delete_one({}),
            lambda: rows.find_one_and_delete({}),
            lambda: rows.drop(),
            lambda: rows.rename("other"),
            lambda: rows.create_index("at", expireAfterSeconds=0),
            lambda: rows.drop_index("kind_1_about_1"),
            lambda: database.command("collMod", "ledger", validator={"_id": {"$lt": 0}}),
            lambda: database.command("convertToCapped", "ledger", size=4096),
            lambda: rows.aggregate([{"$limit": 0}, {"$out": "ledger"}]),
            lambda: rows.aggregate([{"$set": {"kind": "erasure"}}, {"$merge": {"into": "ledger"}}]),
            lambda: client.drop_database(database.name),
            lambda: database["other"].insert_one({}),
            lambda: client.admin.command("grantRolesToUser", f"{provided.prefix}-consent", roles=["root"]),
            lambda: client.admin.command("dropRole", f"{provided.prefix}-ledger-inserts"),
        ):
            with pytest.raises(OperationFailure, match="not authorized"):
                act()
    assert len(place.whole.entries) == 1


# What a person does then


def sides(place: Place) -> Sides:
    heads = {"head beside the copy": place.copy.head_file, "published head": place.published}
    return Sides(rows=place.rows.rows, copy=place.copy, keys=place.keys, heads=heads)


@pytest.mark.parametrize(
    ("how", "side"),
    [
        ("the copy lost two lines", Side.COPY),
        ("the copy lost one line", Side.COPY),
        ("the last line is edited", Side.COPY),
        ("the copy is gone", Side.COPY),
        ("the copy is something else", Side.COPY),
        ("the last two rows are deleted", Side.ROWS),
        ("all rows are deleted", Side.ROWS),
    ],
)
def test_what_was_changed_is_put_back_from_the_other_side(place: Place, how: str, side: Side) -> None:
    ledger = place.process()
    for _ in range(5):
        place.enters(ledger)
    assert sides(place).problems() == []
    entries = place.entries
    TAMPERED[how][0](place)
    assert not ledger.look_after(utc_now())
    assert sides(place).problems() != []
    # Taking the wrong side is refused
    with pytest.raises(Refused):
        sides(place).put_back(Side.ROWS if side is Side.COPY else Side.COPY)
    assert sides(place).put_back(side) == 5
    assert sides(place).problems() == []
    assert place.entries == place.copied == entries
    assert ledger.look_after(utc_now())
    place.enters(ledger)
    if side is Side.COPY and how != "the copy is gone":
        assert len(list(place.folder.glob(f"{COPY_FILE}.*"))) == 1, "what was there before is kept"


def test_altered_rows_are_put_back_once_an_administrator_has_deleted_them(place: Place) -> None:
    ledger = place.process()
    for _ in range(5):
        place.enters(ledger)
    place.admin.update_one({"_id": 4}, {"$set": {"kind": "erasure"}})
    assert not place.process().look_after(utc_now())
    with pytest.raises(Refused, match="another entry 4"):
        sides(place).put_back(Side.ROWS)
    place.admin.delete_many({"_id": {"$gte": 4}})
    assert sides(place).put_back(Side.ROWS) == 5
    assert place.process().look_after(utc_now())


def test_neither_side_is_taken_that_lacks_what_a_head_was_signed_for(place: Place) -> None:
    ledger = place.process()
    for _ in range(5):
        place.enters(ledger)
    cut_both(place)
    for side in Side:
        with pytest.raises(Refused, match=r"lacks? entry 5"):
            sides(place).put_back(side)


def test_the_command_says_what_is_wrong_and_puts_it_back(coordinator: Coordinator, place: Place) -> None:
    provided = coordinator.system.provided
    folder = Path(provided.env["consent"]["FMN_LEDGER_COPY"])
    for file in folder.glob("[!.]*"):
        file.unlink()
    ledger = Ledger(place.rows, place.signer, place.keys, copy=folder, published=None)
    for _ in range(3):
        place.enters(ledger)

    def said(*arguments: str) -> tuple[int, str]:
        answer = command(coordinator.system, "ledger", *arguments)
        return answer.exit_code, answer.output

    exit_code, words = said("check")
    assert exit_code == 0, words
    assert "rows: whole, 3 entries" in words
    assert "copy: whole, 3 entries" in words
    old_head = folder / "old-head"
    old_head.write_bytes((folder / HEAD_FILE).read_bytes())
    jwks = str(provided.public_keys)
    assert said("verify", str(folder), "--jwks", jwks, "--head", str(old_head))[0] == 0
    lines = (folder / COPY_FILE).read_bytes().splitlines(keepends=True)
    (folder / COPY_FILE).write_bytes(b"".join(lines[:1]))
    assert said("verify", str(folder), "--jwks", jwks)[0] == 0
    assert said("verify", str(folder), "--jwks", jwks, "--head", str(old_head)) == (
        1,
        "The copy lacks entry 3, for which the head was signed.\n",
    )
    exit_code, words = said("check")
    assert exit_code == 1
    assert "The rows and the copy differ from entry 2 on." in words
    assert said("put-back", "rows")[0] == 1
    assert said("put-back", "copy") == (0, "copy: 3 entries now. The worker goes on within a minute.\n")
    assert said("check")[0] == 0
    for file in folder.glob("[!.]*"):
        file.unlink()
