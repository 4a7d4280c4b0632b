"""A restore brings nobody back and writes to no address that was refused meanwhile; everybody else is whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import pytest

from deploy.backup import catalogue, keys
from deploy.backup.archives import Reader
from deploy.backup.installation import Installation
from deploy.local.stack import Stack
from shared.events import SERVICES
from tests.helpers import eventually, refused
from tests.journeys.test_p24_forgotten import certificate_of
from tests.races.inside import an_inside
from tests.restore.office import Office, an_office, settled

pytestmark = pytest.mark.xdist_group("backup")

# Where a restore dies, once at each.
_DEATHS = (
    "deploy.restore.loading:_load_root",
    "deploy.restore.loading:_load_collection",
    "deploy.restore.ledger:complete",
    "deploy.restore.replay:replay",
    "deploy.restore.replay:_forget",
    "deploy.restore.replay:tell_again",
    "deploy.restore.replay:change_every_key",
    "deploy.restore.restore:_mark_done",
)


@dataclass(kw_only=True)
class Story:
    """What was before the backup, what came after it, and what became of it. Cases by name."""

    office: Office
    cases: dict[str, str] = field(default_factory=dict)
    requests: dict[str, str] = field(default_factory=dict)
    consents: dict[str, str] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)
    cursors: dict[str, str] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)
    refusals: list[str] = field(default_factory=list)
    closed: list[set[int]] = field(default_factory=list)
    output: str = ""


def _a_family(story: Story, name: str, *purposes: dict[str, Any]) -> str:
    system = story.office.system
    case_id = system.a_shell()
    purposes = purposes or ({"purpose": "casework"},)
    story.consents[name] = system.a_consent(case_id, *purposes)["id"]
    eventually(lambda: system.caseworker.read(f"/cases/{case_id}")["state"] == "open")
    system.a_person(case_id, email=f"{name}@family.example", phone=None)
    system.caseworker.made(f"/cases/{case_id}/entries", {"kind": "wish", "text": f"words of {name}"})
    scan = system.a_scan(case_id)
    assert scan.status_code == 201, scan.text
    story.cases[name] = case_id
    return case_id


def _before(story: Story) -> None:
    """What there is when the backup is made."""
    system = story.office.system
    for name in ("bystander", "erased", "moved", "stopped-all"):
        _a_family(story, name)
    left = _a_family(story, "left")
    story.cases["left-person"] = system.a_person(left, given_name="Gone")["id"]
    answer = system.a_scan(left)
    assert answer.status_code == 201, answer.text
    story.cases["left-document"] = answer.json()["id"]
    _a_family(story, "withdrawn", {"purpose": "casework"}, {"purpose": "email"})
    # Asked before, and completed after
    story.requests["midway"] = system.an_erasure(_a_family(story, "midway"))["id"]
    # Begun before, and waits for its paper
    case_id = _a_family(story, "paper")
    paper = {"location": "cabinet 3", "description": "a green folder"}
    story.cases["paper-file"] = system.caseworker.made(f"/cases/{case_id}/paper-files", paper)["id"]
    story.requests["paper"] = system.an_erasure(case_id)["id"]
    system.confirm(story.requests["paper"])
    eventually(lambda: system.waits_on(story.requests["paper"]) == ["paper"])
    story.cases["shell"] = system.a_shell()
    settled(story.office)
    # A letter that waits, of which it isn't known later whether it went
    _a_family(story, "waiting")
    where = {"case_id": story.cases["waiting"]}
    with an_inside(system) as inside:
        eventually(
            lambda: [row["status"] for row in inside.rows("notifier", "notifications", **where)] == ["delivered"]
        )
        inside.change("notifier", "notifications", where, status="created", done_at=None)


def _something_leaves_a_case(story: Story) -> None:
    """A person and a document are deleted from a case: its key, which the data archive needs, is destroyed."""
    system, case_id = story.office.system, story.cases["left"]
    paths = (f"/cases/{case_id}/people/{story.cases['left-person']}", f"/documents/{story.cases['left-document']}")
    with an_inside(system) as inside:
        for path in paths:
            headers = {"If-Match": system.caseworker.get(path).headers["ETag"]}
            assert system.caseworker.call("DELETE", path, headers=headers).status_code == 204

        def is_destroyed(service: str) -> bool:
            gone = inside.row(f"{service}_vault", "doomed", _id=case_id)
            return gone is not None and gone["gone_at"] is not None

        for service in ("case", "document"):
            eventually(lambda service=service: is_destroyed(service), what=service)
    settled(story.office)
    story.told["left"] = story.office.told(case_id)


def _after(story: Story) -> None:
    """What comes after the backup, and is in the ledger and its copy alone."""
    system, cases = story.office.system, story.cases
    story.requests["erased"] = system.an_erasure(cases["erased"])["id"]
    for name in ("erased", "midway"):
        system.confirm(story.requests[name])
        eventually(lambda name=name: system.is_completed(story.requests[name]))
    body = {"channel": "phone", "by": "the parent", "purposes": [{"purpose": "email"}]}
    system.caseworker.made(f"/consents/{story.consents['withdrawn']}/withdrawal", body)
    declined = {"case_id": cases["shell"], "decision": "declined"}
    assert system.caseworker.post("/consents", declined).status_code == 200
    (person,) = system.caseworker.read(f"/cases/{cases['moved']}/people")["items"]
    path = f"/cases/{cases['moved']}/people/{person['id']}"
    etag = system.caseworker.get(path).headers["ETag"]
    new = {"address": ["2 Refuge Row", "Exampleton", "EX4 4PL"]}
    assert system.caseworker.call("PATCH", path, json=new, headers={"If-Match": etag}).status_code == 200
    stop = f"/cases/{cases['stopped-all']}/stop-all"
    assert system.caseworker.call("PUT", stop, json={"reason": "court_order"}).status_code == 200
    eventually(lambda: system.caseworker.get(f"/cases/{cases['shell']}").status_code == 410)
    wanted = ("erasure", "withdrawal", "shell_ended", "contact_changed")
    copy = story.office.ledger_copy
    eventually(lambda: all(f'"{kind}"' in copy.read_text() for kind in wanted), what="the ledger's entries")
    eventually(lambda: copy.read_text().count('"contact_changed"') >= 2)
    # Letters that were under way go, and the archives don't know it
    for name in ("under-way", "without-key"):

        def delivered(case_id: str = cases[name]) -> bool:
            items = system.caseworker.read("/notifications", case_id=case_id)["items"]
            return [item["status"] for item in items] == ["delivered"]

        eventually(delivered)
    settled(story.office)


def _refused(story: Story) -> None:
    """With the ledger's copy bent, cut, or gone, nothing is restored."""
    copy = story.office.ledger_copy
    content = copy.read_bytes()
    lines = content.splitlines(keepends=True)
    bent = content.replace(lines[0][30:40], b"0123456789", 1)
    # Bent, cut short to what the backup knows or further, with a hole, emptied
    for wrong in (bent, b"".join(lines[:-1]), b"".join(lines[:1]), b"".join(lines[:2] + lines[3:]), b""):
        copy.write_bytes(wrong)
        done = story.office.restores()
        story.refusals.append(done.stderr if done.exit_code == 1 else f"restored: {done.output}")
    copy.unlink()
    done = story.office.restores()
    story.refusals.append(done.stderr if done.exit_code == 1 else f"restored: {done.output}")
    copy.write_bytes(content)


@contextmanager
def _its_key_goes_before_keys_are_archived(story: Story) -> Iterator[None]:
    """Between the two archives the key of a case goes in one service, as if something was deleted from the case."""
    make = keys.make

    def make_later(installation: Installation, *more: Any) -> Reader:
        member = installation["document"]
        member.client[member.vault]["keys"].delete_one({"_id": story.cases["without-key"]})
        return make(installation, *more)

    with patch.object(keys, "make", make_later):
        yield


@pytest.fixture(scope="module")
def story(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A backup, what came after it, the loss of all servers, a restore that dies at every step, and one that ends."""
    with an_office(stack, tmp_path_factory.mktemp("restore") / "backups") as office:
        story = Story(office=office)
        _before(story)
        with office.system.away("notifier-worker"):
            # What is said of this family is under way to the notifier when the backup is made, and in no archive
            _a_family(story, "under-way")
            story.told = {name: office.told(story.cases[name]) for name in ("bystander", "withdrawn", "under-way")}
            _a_family(story, "without-key")
            with _its_key_goes_before_keys_are_archived(story):
                office.backs_up()
        _something_leaves_a_case(story)
        office.archives_its_keys()
        _after(story)
        story.sent = office.sent()
        for service in SERVICES:
            story.cursors[service] = office.system.manager.read(f"{service}:/v1/changes", after="now")["next"]
        office.loses_its_servers()
        _refused(story)
        office.starts()
        eventually(office.is_open)
        for at in _DEATHS:
            code, story.output = office.restores_and_dies(at)
            assert code == -9, (at, story.output)
            # At the last one some of them go on already.
            wanted = {503} if at != _DEATHS[-1] else {200, 503}
            eventually(lambda wanted=wanted: office.statuses() == wanted, what=f"closed after a death at {at}")
            story.closed.append(office.statuses())
        done = office.restores()
        assert done.exit_code == 0, done.output
        eventually(office.is_open)
        yield story


def test_without_a_whole_ledger_nothing_is_restored(story: Story) -> None:
    assert len(story.refusals) == 6
    for refusal in story.refusals:
        assert "Nothing was restored: without it people who were erased since the backup would come back" in refusal


def test_the_services_are_closed_until_a_restore_has_ended(story: Story) -> None:
    assert story.closed == [{503}] * (len(_DEATHS) - 1) + [{200, 503}]


def test_a_family_that_was_erased_after_the_backup_isnt_brought_back(story: Story) -> None:
    office = story.office
    for name in ("erased", "midway"):
        assert office.remembered(story.cases[name]) == {}
        with an_inside(office.system) as inside:
            eventually(lambda name=name, inside=inside: inside.left_of(story.cases[name]) == [])
    # One whose request the backup has is certified anew, and its last letter isn't written twice
    eventually(lambda: office.system.is_completed(story.requests["midway"]))
    assert certificate_of(office.system, story.requests["midway"])["last_letter"] == "unknown"
    # Of the other one the operator is told
    assert story.requests["erased"] in story.output


def test_an_erasure_that_waited_for_its_paper_goes_on(story: Story) -> None:
    system, request = story.office.system, story.requests["paper"]
    assert story.office.system.caseworker.get(f"/cases/{story.cases['paper']}").status_code == 410
    eventually(lambda: system.waits_on(request) == ["paper"])
    done = {"method": "shredded", "by": "Ola", "witnessed_by": "Priya"}
    answer = system.caseworker.post(f"/paper-files/{story.cases['paper-file']}/disposal", done)
    assert answer.status_code in (200, 201), answer.text
    eventually(lambda: system.is_completed(request))
    assert certificate_of(system, request)["last_letter"] == "unknown"


def test_a_shell_that_was_ended_after_the_backup_isnt_brought_back(story: Story) -> None:
    case_id = story.cases["shell"]
    assert story.office.system.caseworker.get(f"/cases/{case_id}").status_code == 410
    with an_inside(story.office.system) as inside:
        eventually(lambda: inside.left_of(case_id) == [])


def test_a_consent_that_was_withdrawn_after_the_backup_stays_withdrawn(story: Story) -> None:
    read, case_id = story.office.system.caseworker.read, story.cases["withdrawn"]
    allowed = {
        purpose: read("/decisions", case_id=case_id, purpose=purpose)["allowed"] for purpose in ("casework", "email")
    }
    assert allowed == {"casework": True, "email": False}
    # And the rest of the case is as it was
    now = story.office.told(case_id)
    for door in ("/people", "/entries", "/documents", "content"):
        assert now[door] == story.told["withdrawn"][door]


@pytest.mark.parametrize("name", ["moved", "stopped-all"])
def test_contact_stops_where_the_way_to_a_family_changed_until_a_person_has_confirmed_it(
    story: Story, name: str
) -> None:
    system, case_id = story.office.system, story.cases[name]
    assert system.caseworker.read(f"/cases/{case_id}")["contact_stopped"] is True
    assert system.caseworker.read(f"/cases/{case_id}/stop-all")["reason"] == "restored"
    (person,) = system.caseworker.read(f"/cases/{case_id}/people")["items"]
    letter = {"case_id": case_id, "person_id": person["id"], "template": "opening", "values": {}}
    assert system.caseworker.post("/notifications", letter).status_code in (400, 409)
    # When a manager has asked them, Then it goes on
    assert system.manager.call("DELETE", f"/cases/{case_id}/stop-all").status_code == 204
    assert system.caseworker.read(f"/cases/{case_id}")["contact_stopped"] is False


def test_the_operator_is_told_of_a_case_whose_key_went_between_the_archives(story: Story) -> None:
    case_id = story.cases["without-key"]
    told = [line for line in story.output.splitlines() if "whose key isn't there any more" in line]
    assert [(case_id in line, "document service" in line) for line in told] == [(True, True)]
    # What the other services have of it is there
    (person,) = story.office.system.caseworker.read(f"/cases/{case_id}/people")["items"]
    assert person["family_name"] == "Okonkwo-Łukasik"


def test_what_left_a_case_after_the_backup_stays_away_and_the_rest_of_the_case_is_whole(story: Story) -> None:
    office, case_id = story.office, story.cases["left"]
    now = office.told(case_id)
    for door in ("/people", "/entries", "/documents", "content"):
        assert now[door] == story.told["left"][door]
    assert len(now["/people"]["items"]) == len(now["/documents"]["items"]) == 1
    assert case_id not in "".join(line for line in story.output.splitlines() if "whose key isn't there" in line)
    with an_inside(office.system) as inside:
        assert not [key for key in inside.objects_of(case_id) if story.cases["left-document"] in key]
    # And goes on
    office.system.caseworker.made(f"/cases/{case_id}/entries", {"kind": "note", "text": "we go on"})
    path = f"/cases/{case_id}/people/{now['/people']['items'][0]['id']}"
    headers = {"If-Match": office.system.caseworker.get(path).headers["ETag"]}
    assert office.system.caseworker.call("DELETE", path, headers=headers).status_code == 204


def test_everybody_else_is_whole(story: Story) -> None:
    office, case_id = story.office, story.cases["bystander"]
    for name in ("bystander", "under-way"):
        assert office.told(story.cases[name]) == story.told[name]
    found = office.system.caseworker.post("/cases/search", {"email": "bystander@family.example"}).json()["items"]
    assert [item["case_id"] for item in found] == [case_id]
    # And goes on
    office.system.caseworker.made(f"/cases/{case_id}/entries", {"kind": "note", "text": "we go on"})
    assert office.system.a_scan(case_id).status_code == 201


def test_nothing_is_sent_by_a_restore_and_a_person_decides_about_what_may_have_gone(story: Story) -> None:
    system = story.office.system

    def letters(name: str) -> list[tuple[str, str | None]]:
        items = system.caseworker.read("/notifications", case_id=story.cases[name])["items"]
        shown = [system.caseworker.read(f"/notifications/{item['id']}") for item in items]
        return [(one["status"], one.get("reason")) for one in shown]

    for name in ("waiting", "under-way"):
        eventually(lambda name=name: letters(name) == [("needs_attention", "restored")], what=name)
    assert letters("bystander") == [("delivered", None)]
    settled(story.office)
    assert story.office.sent() == story.sent


@pytest.mark.parametrize("service", SERVICES)
def test_an_app_that_followed_the_changes_is_told_to_start_again_and_then_hears_of_everybody(
    story: Story, service: str
) -> None:
    manager, path = story.office.system.manager, f"{service}:/v1/changes"
    refused(manager.get(path, after=story.cursors[service]), 410, "start-again")
    page = manager.read(path, limit=200)
    items = list(page["items"])
    while len(page["items"]) == 200:
        page = manager.read(path, limit=200, after=page["next"])
        items += page["items"]
    told = {(item["case_id"], item["what"]) for item in items if item["kind"] == "case"}
    assert (story.cases["erased"], "erased") in told
    assert service != "case" or (story.cases["bystander"], "erased") not in told
    assert any(item["case_id"] == story.cases["bystander"] for item in items)


def test_the_roots_of_the_archive_are_destroyed_and_every_place_has_the_new_one(story: Story) -> None:
    answer = story.office.run("keys", "status")
    assert answer.exit_code == 0, answer.output
    with an_inside(story.office.system) as inside:
        for service in SERVICES:
            assert all(bucket["version"] > 1 for bucket in inside.rows(f"{service}_vault", "buckets"))


def test_the_ledger_goes_on_from_its_copy(story: Story) -> None:
    with an_inside(story.office.system) as inside:
        rows = inside.rows("ledger", "ledger")
    assert len(rows) == len(story.office.ledger_copy.read_bytes().splitlines())


def test_a_restore_is_refused_where_there_are_cases(story: Story) -> None:
    done = story.office.restores()
    assert (done.exit_code, "databases aren't empty" in done.stderr) == (1, True)
    assert story.office.is_open()


def test_an_expired_backup_is_refused(story: Story) -> None:
    folder = story.office.folder
    (data,) = catalogue.listed(folder, "data")
    old = catalogue.Archive(kind="data", folder=folder, began_at=data.began_at, until=data.began_at)
    data.path.rename(old.path)
    try:
        done = story.office.restores()
        assert (done.exit_code, "is over" in done.stderr) == (1, True)
    finally:
        with suppress(FileNotFoundError):
            old.path.rename(data.path)
