"""Fields, errors by field, ETags' parts, traces, logs and settings."""

from __future__ import annotations

import base64
import json
import logging
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import marshmallow as ma
import pytest
import structlog

from shared.http.fields import Body, Choice, DayField, IdField, Line, Moment, Text
from shared.http.problems import field_errors
from shared.http.routes import Blueprint, access_rule_of, allow, takes_query
from shared.http.trace import child_of, trace_id_of
from shared.ids import new_id
from shared.ops import logs
from shared.ops.settings import SettingsError, load
from shared.security.signing import make_key

ID = new_id()


class Everything(Body):
    id = IdField()
    line = Line(most=5)
    text = Text(most=5)
    word = Choice("a", "b")
    at = Moment()
    day = DayField()


@pytest.mark.parametrize(
    ("given", "loaded"),
    [
        ({"id": ID}, {"id": ID}),
        ({"line": " ab "}, {"line": "ab"}),
        ({"text": "a\nb"}, {"text": "a\nb"}),
        ({"word": "a"}, {"word": "a"}),
        ({"at": "2026-11-22T10:00:00+01:00"}, {"at": datetime(2026, 11, 22, 9, tzinfo=UTC)}),
        ({"at": "2026-11-22t10:00:00.1234z"}, {"at": datetime(2026, 11, 22, 10, 0, 0, 123000, tzinfo=UTC)}),
        ({"day": "2024-02-29"}, {"day": date(2024, 2, 29)}),
    ],
)
def test_what_fits_is_loaded(given: dict[str, Any], loaded: dict[str, Any]) -> None:
    assert Everything().load(given) == loaded


@pytest.mark.parametrize(
    "given",
    [
        {"id": "Tomasz"},
        {"id": ID.upper()},
        {"line": "Tomas\nz"},
        {"line": "Tomasz"},
        {"line": " "},
        {"line": ["Tomasz"]},
        {"text": "Tomasz"},
        {"word": "Tomasz"},
        {"at": "2026-11-22T10:00:00"},
        {"at": "2026-11-22"},
        {"at": "2026-13-22T10:00:00Z"},
        {"at": "2026-11-22T10:00:00+25:00"},
        {"at": "0001-01-01T00:00:00+10:00"},
        {"at": 1},
        {"day": "2023-02-29"},
        {"day": "20230201"},
        {"day": "２０２３-02-01"},
        {"Tomasz": 1},
    ],
)
def test_what_does_not_fit_is_refused_without_its_value(given: dict[str, Any]) -> None:
    with pytest.raises(ma.ValidationError) as refused:
        Everything().load(given)
    assert "Tomas" not in json.dumps(field_errors(refused.value.messages))


def test_errors_are_told_by_the_path_of_the_field() -> None:
    messages = {"people": {0: {"email": ["a"]}}, "_schema": ["b"], "Ann Example": ["c"], "x": {"_schema": "d"}}
    assert field_errors(messages) == {"people.0.email": ["a"], "body": ["b"], "other": ["c"], "x": ["d"]}


def test_a_route_says_whom_it_serves_and_whether_it_takes_a_query() -> None:
    blp = Blueprint("b", description="")

    @allow("manager", services=("consent",))
    @blp.arguments(Everything, location="query")
    def view(query: dict[str, Any]) -> None:
        """Nothing."""

    access_rule = access_rule_of(view)
    assert access_rule is not None
    assert (access_rule.allowed.roles, access_rule.allowed.services) == ({"manager"}, {"consent"})
    assert takes_query(view)
    assert access_rule_of(print) is None
    for wrong in ({"services": ("nobody",)}, {}):
        with pytest.raises(ValueError, match="no such role or service"):
            allow("king", **wrong)


def test_a_trace_goes_on_or_begins_anew() -> None:
    given = f"00-{'ab' * 16}-{'cd' * 8}-01"
    child = child_of(given)
    assert trace_id_of(child) == "ab" * 16
    assert child != given
    for wrong in (None, "", "00-x-y-01", f"00-{'0' * 32}-{'cd' * 8}-01", f"ff-{'ab' * 16}-{'cd' * 8}-01"):
        assert trace_id_of(child_of(wrong)) not in (None, "ab" * 16)


# Logs


@pytest.fixture
def _quiet_afterwards() -> Any:
    import sys
    import threading

    root = logging.getLogger()
    before = (list(root.handlers), root.level, sys.excepthook, threading.excepthook, sys.unraisablehook)
    yield
    root.handlers[:], level, sys.excepthook, threading.excepthook, sys.unraisablehook = before
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("_quiet_afterwards")
def test_logs_keep_fields_of_the_list_and_their_types_alone(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(service="case", process="api")
    logs.log.info("answered", status=200, case_id=ID, name="Tomasz", reason="Tomasz Żak")
    logs.log.warning("Tomasz has called")
    logging.getLogger("pymongo").warning("Tomasz %s", "Żak")
    logging.getLogger("pymongo").info("Tomasz")
    try:
        raise ValueError("Tomasz")
    except ValueError as error:
        logging.getLogger("x").exception("Tomasz")
        logs.log.error("failed", **logs.where(error))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "Tomasz" not in json.dumps(lines)
    assert [line["event"] for line in lines] == ["answered", "unnamed", "library", "library", "failed"]
    assert (lines[0]["case_id"], lines[0]["dropped"], lines[0]["service"]) == (ID, 2, "case")
    assert lines[2]["logger"] == "pymongo"
    assert (lines[3]["type"], lines[4]["type"]) == ("ValueError", "ValueError")
    assert lines[4]["line"] > 0


# Settings


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    roots = [tmp_path / "roots-1", tmp_path / "roots-2"]
    for folder in roots:
        folder.mkdir()
    private, public = make_key("case", "token", datetime.now(UTC))
    for name in ("token.jwk", "receipt.jwk"):
        (tmp_path / name).write_text(json.dumps(private))
    (tmp_path / "jwks").write_text(json.dumps({"keys": [public]}))
    (tmp_path / "search.key").write_text(base64.b64encode(bytes(32)).decode())
    (tmp_path / "mongo-url").write_text("mongodb://user:secret@127.0.0.1/\n")
    (tmp_path / "amqp-url").write_text("amqp://user:secret@127.0.0.1/")
    given = {
        "SERVICE": "case",
        "SECRETS": str(tmp_path),
        "ROOTS": ",".join(map(str, roots)),
        "PUBLIC_KEYS": str(tmp_path / "jwks"),
        "OFFICE_NAME": "SENDIASS",
        "OFFICE_PHONE": "1",
        "OFFICE_EMAIL": "a@b.example",
        "OFFICE_ADDRESS": "1 High Street | Town|AB1 2CD",
        "CONTROLLER": "Council",
        "DPO_CONTACT": "dpo",
        "HELPLINE": "help",
        "OFFICE_CLOSURES": "2026-12-28, 2026-12-29@2026-10-01",
        **{f"{name}_URL": f"http://{name.lower()}/" for name in ("CASE", "DOCUMENT", "CONSENT", "NOTIFIER")},
    }
    for name, value in given.items():
        monkeypatch.setenv(f"FMN_{name}", value)
    return tmp_path


@pytest.mark.usefixtures("environment")
def test_settings_are_read_whole_and_show_no_secret() -> None:
    settings = load()
    assert settings.mongo_url == "mongodb://user:secret@127.0.0.1/"
    assert settings.office.address == ("1 High Street", "Town", "AB1 2CD")
    assert [closure.day for closure in settings.calendar.closures] == [date(2026, 12, 28), date(2026, 12, 29)]
    assert settings.calendar.closures[1].published == date(2026, 10, 1)
    assert settings.service_urls["case"] == "http://case"
    assert (settings.shell_days, settings.upload_limit_bytes, settings.time_travel) == (7, 104857600, False)
    assert [folder.name for folder in settings.roots] == ["roots-1", "roots-2"]
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("FMN_SERVICE", "nobody", "FMN_SERVICE must be one of"),
        ("FMN_OFFICE_NAME", None, "FMN_OFFICE_NAME"),
        ("FMN_OFFICE_EMAIL", "Office <office@sendias.example>", "FMN_OFFICE_EMAIL must be one bare email address"),
        ("FMN_OFFICE_EMAIL", "office@☃.example", "FMN_OFFICE_EMAIL must be one bare email address"),
        ("FMN_SAFEGUARDING_EMAIL", "lead@sendias.example, other@x.example", "FMN_SAFEGUARDING_EMAIL must be one"),
        ("FMN_SAFEGUARDING_EMAIL", "zoë@sendias.example", "mail relay can't write to"),
        ("FMN_SMTP_UTF8", "yes", "FMN_SMTP_UTF8 must be on or off"),
        ("FMN_SHELL_DAYS", "0", "FMN_SHELL_DAYS must be 1 or more"),
        ("FMN_SHELL_DAYS", "many", "FMN_SHELL_DAYS"),
        ("FMN_TIME_TRAVEL", "yes", "FMN_TIME_TRAVEL must be on or off"),
        ("FMN_OFFICE_CLOSURES", "Christmas", "FMN_OFFICE_CLOSURES must be dates"),
        ("FMN_OIDC_ISSUER", "https://id.example", "go together"),
        ("FMN_CASE_URL", "case:8401", "must be URLs"),
        ("FMN_PUBLIC_KEYS", "/nowhere", "FMN_PUBLIC_KEYS must be a JWKS file"),
        ("FMN_SECRETS", "/nowhere", "run the set-up that makes the secrets"),
        ("FMN_SERVICE", "consent", "READER_URL"),
        ("FMN_ROOTS", None, "FMN_ROOTS"),
        ("FMN_ROOTS", "/tmp", "FMN_ROOTS must be two folders or more"),
        ("FMN_ROOTS", "/tmp,/tmp", "FMN_ROOTS must be two folders or more"),
        ("FMN_ROOTS", "/nowhere,/neither", "The folders of FMN_ROOTS are missing"),
    ],
)
@pytest.mark.usefixtures("environment")
def test_a_missing_or_wrong_setting_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str | None, said: str
) -> None:
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=said) as refused:
        load()
    assert "\n" not in str(refused.value)
