"""Below the disk floor: every route has chosen, what is inward is refused, and what forgets goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.routing import Rule

from shared.events import SERVICES
from shared.http.app import _READING
from shared.http.kernel import Kernel
from shared.http.pages import PUBLIC_PATHS
from shared.http.routes import Inward, access_rule_of
from shared.ids import new_id
from shared.ops.disks import LOW, OK, UNKNOWN, DiskLow, Disks, Room, ask_at
from tests.system import System

# What takes something new in. A route that isn't named here has chosen, or chooses, to go on.
INWARD = {
    "POST /cases",
    "PUT /cases/<case_id>/state",
    "POST /cases/<case_id>/people",
    "PATCH /cases/<case_id>/people/<person_id>",
    "POST /cases/<case_id>/entries",
    "POST /cases/<case_id>/documents",
    "PUT /documents/<document_id>/content",
    "PATCH /documents/<document_id>",
    # It makes a second copy, before the first one is purged.
    "POST /documents/<document_id>/move",
    "POST /documents/<document_id>/attachments/<number>",
    "POST /cases/<case_id>/paper-files",
    "POST /organisations",
    "POST /intake",
    "POST /notifications",
    "POST /cases/<case_id>/contacts",
}
# A decline, and a disclosure for safeguarding, go on; of an intake the shell is asked for by a service alone.
BY_BODY = {"POST /consents", "POST /cases/<case_id>/disclosures", "POST /cases/<case_id>/intake/shell"}
# What a family's wish to be forgotten, or its no, needs.
GOES_ON = {
    "POST /requests",
    "POST /requests/<request_id>/confirmation",
    "POST /requests/<request_id>/identity",
    "POST /requests/<request_id>/withdrawal",
    "POST /requests/<request_id>/refusal",
    "POST /requests/<request_id>/void",
    "POST /requests/<request_id>/last-letter",
    "POST /requests/<request_id>/elsewhere",
    "POST /consents/<consent_id>/withdrawal",
    "POST /holds",
    "DELETE /holds/<hold_id>",
    "POST /cases/<case_id>/ending",
    "POST /ending-grants/<case_id>",
    "POST /cases/<case_id>/intake",
    "POST /organisations/<organisation_id>/namings",
    "DELETE /cases/<case_id>/people/<person_id>",
    "DELETE /documents/<document_id>",
    "PATCH /paper-files/<paper_file_id>",
    "POST /paper-files/moves",
    "POST /paper-files/<paper_file_id>/movements",
    "POST /documents/<document_id>/release",
    "POST /documents/<document_id>/return",
    "POST /paper-files/<paper_file_id>/disposal",
    "POST /notifications/<notification_id>/cancellation",
    "POST /notifications/<notification_id>/returned",
    "POST /cases/search",
    "POST /templates/<name>/preview",
    "PUT /cases/<case_id>/people/<person_id>/safe-contact",
    "PUT /cases/<case_id>/stop-all",
    "DELETE /cases/<case_id>/stop-all",
    "POST /disclosures",
    "POST /disclosures/<disclosure_id>/review",
    "PUT /disclosures/<disclosure_id>/hold",
    "DELETE /disclosures/<disclosure_id>/hold",
    "POST /tasks/<task_id>/done",
    "POST /helpline-calls",
    "POST /alerts",
    "POST /ledger-heads",
    "POST /cases/expiry",
    "POST /clock",
    "POST /reviews/<review_id>/answer",
}
FULL = Room(free=9, total=100)


def writing(app: Flask) -> Iterator[tuple[str, Rule, Inward | None]]:
    """Every route of an app that isn't only read: its name, its rule, and what it chose."""
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) - _READING:
            access_rule = access_rule_of(app.view_functions[rule.endpoint])
            assert rule.rule in PUBLIC_PATHS or access_rule is not None
            yield f"{method} {rule.rule.removeprefix('/v1')}", rule, access_rule.inward if access_rule else None


def test_every_route_that_writes_has_chosen_and_chose_as_is_promised(apps: dict[str, Flask]) -> None:
    chosen = {name: inward for app in apps.values() for name, _, inward in writing(app)}
    assert {name for name, inward in chosen.items() if inward is Inward.YES} == INWARD
    assert {name for name, inward in chosen.items() if inward is Inward.BY_BODY} == BY_BODY
    assert {name for name, inward in chosen.items() if inward is Inward.NO} == GOES_ON


@pytest.mark.parametrize("service", SERVICES)
def test_below_the_floor_what_is_inward_is_refused_before_its_body_is_read(
    service: str, apps: dict[str, Flask], system: System
) -> None:
    app = apps[service]
    kernel: Kernel = app.extensions["forgetmenot"]
    low = Disks(0.10, {"rabbitmq": lambda: FULL})
    low.measure("rabbitmq")
    object.__setattr__(kernel, "disks", low)
    client = app.test_client()
    headers = {"Authorization": f"Bearer {system.token('caseworker', 'manager', 'data_protection')}"}
    for name, rule, inward in writing(app):
        path = str(rule.rule)
        for argument in rule.arguments:
            path = path.replace(f"<{argument}>", new_id())
        answer = client.open(path, method=name.split()[0], headers=headers, data=b"{ no JSON")
        said = (answer.status_code, (answer.get_json() or {}).get("detail", ""))
        refused = said == (503, DiskLow().detail)
        assert refused == (inward is Inward.YES), (name, said)
        if refused:
            assert answer.headers["Retry-After"] == "60"
            assert answer.get_json()["type"] == "urn:fmn:problem:unavailable"


def test_a_consent_is_refused_below_the_floor_and_a_no_is_heard(apps: dict[str, Flask], system: System) -> None:
    app = apps["consent"]
    low = Disks(0.10, {"mongodb": lambda: FULL})
    low.measure("mongodb")
    object.__setattr__(app.extensions["forgetmenot"], "disks", low)
    client, case_id = app.test_client(), system.a_shell()
    headers = {"Authorization": f"Bearer {system.token('caseworker')}"}
    given = {
        "case_id": case_id,
        "decision": "given",
        "given_by": {"name": "Żaneta Okonkwo", "capacity": "parental_responsibility"},
        "channel": "phone",
        "informed_at": "2026-11-20T10:00:00Z",
        "given_at": "2026-11-20T10:05:00Z",
        "statement_version": system.caseworker.read("/statement")["version"],
        "purposes": [{"purpose": "casework"}],
    }
    refused = client.post("/v1/consents", json=given, headers=headers)
    assert (refused.status_code, refused.get_json()["detail"]) == (503, DiskLow().detail)
    heard = client.post("/v1/consents", json={**given, "decision": "declined"}, headers=headers)
    assert heard.status_code == 200, heard.get_json()
    assert system.caseworker.get(f"/cases/{case_id}").status_code == 410


def test_unknown_is_not_full_and_a_number_is_believed_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now, room = [1000.0], [Room(free=50, total=100)]

    def ask() -> Room:
        if not room:
            raise OSError("nobody answers")
        return room[0]

    monkeypatch.setattr("shared.ops.disks.time.monotonic", lambda: now[0])
    disks = Disks(0.10, {"objects": ask})
    assert disks.shown["objects"] == {"state": UNKNOWN, "free": None}
    assert disks.low == ()
    seen = []
    for free in (50, 10, 9, None, None, 40, None, None):
        room[:] = [] if free is None else [Room(free=free, total=100)]
        now[0] += 20
        disks.measure("objects")
        seen.append(disks.shown["objects"]["state"])
    assert seen == [OK, OK, LOW, LOW, UNKNOWN, OK, OK, UNKNOWN]
    assert disks.low == ()
    assert disks.shown["mongodb"]["state"] == UNKNOWN


def test_a_folder_is_asked_as_somebody_without_roots_reserve(tmp_path: Path) -> None:
    with_comma = tmp_path / "a, folder"
    with_comma.mkdir()
    room = ask_at(with_comma.as_uri())()
    assert 0 < room.free <= room.total
