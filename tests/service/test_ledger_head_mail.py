"""The ledger's signed head is mailed once a day, whoever dies, and whoever keeps it can verify a copy with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import requests
from structlog.testing import capture_logs
from typer.testing import CliRunner

from deploy.local.stack import Stack
from deploy.ops.main import app
from services.consent.actions.ledger import mail_head
from services.notifier.actions.ledger_heads import HEAD_STEP, report_unsent, send_head
from services.notifier.context import Context
from shared.clock import utc_now
from shared.errors import Unavailable
from shared.ledger import read_head, sign_head
from shared.messaging.steps import StepRow
from shared.security.authentication import service_token
from shared.security.signing import Signer
from shared.uk.working_days import london_day
from tests.helpers import eventually, refused
from tests.service.notifier_rig import KEEPER, Rig, notifier_rig
from tests.system import open_with

pytestmark = pytest.mark.xdist_group("notifier")

A_DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def rig(stack: Stack, worker_id: str) -> Rig:
    return notifier_rig(stack, worker_id)


@pytest.fixture
def notifier(rig: Rig) -> Iterator[Context]:
    """The notifier's worker in this process."""
    mail = {"FMN_SMTP_URL": f"smtp://127.0.0.1:{rig.relay.port}", "FMN_LEDGER_HEAD_MAIL": KEEPER}
    with patch.dict(rig.system.provided.env["notifier"], mail):
        opened = open_with(rig.system.provided, "notifier", "worker")
    yield opened.context
    opened.runtime.unit_of_work.client.close()


def a_head(rig: Rig, at: datetime, *, key: str = "ledger.jwk") -> str:
    """As the consent service would sign it at that time, which its key is valid at, over an empty ledger."""
    jwk = json.loads((rig.system.provided.secrets["consent"] / key).read_text())
    return sign_head(Signer(jwk), last=None, at=at)


def asked(rig: Rig, head: str, *, by: str = "consent") -> requests.Response:
    signer = Signer(json.loads((rig.system.provided.secrets[by] / "token.jwk").read_text()))
    token = service_token(signer, caller=by, called="notifier", now=utc_now())
    return rig.system.with_token(token).call("POST", "notifier:/v1/ledger-heads", json={"head": head})


def mails_of(rig: Rig, day: datetime) -> list[EmailMessage]:
    name = f"head-{london_day(day).isoformat()}.jws"
    return [mail for mail in rig.relay.to(KEEPER) if any(part.get_filename() == name for part in mail.walk())]


def attached(mail: EmailMessage) -> str:
    (part,) = mail.iter_attachments()
    assert part.get_content_type() == "application/jose"
    content: bytes = part.get_content()
    return content.decode()


def a_step(day: datetime) -> StepRow:
    return StepRow(kind=HEAD_STEP, key=london_day(day).isoformat(), case_id=None, due=day, attempts=1, now=utc_now())


def row_of(rig: Rig, day: datetime) -> dict[str, Any]:
    return dict(rig.database["ledger_heads"].find_one({"_id": london_day(day).isoformat()}) or {})


def test_the_worker_has_todays_head_mailed_and_it_verifies_a_copy(rig: Rig, tmp_path: Path) -> None:
    now = utc_now()
    # Given that one erasure has begun, so that the ledger has an entry
    (mail,) = eventually(lambda: mails_of(rig, now) or mails_of(rig, utc_now()))
    body = mail.get_body(("plain",))
    assert body is not None
    text = body.get_content()
    jws = attached(mail).strip()
    assert jws in text
    assert str(mail["Subject"]).startswith("Signed head of the ledger, ")
    # The command that the email names holds, with the files that it names
    provided = rig.system.provided
    folder = Path(provided.env["consent"]["FMN_LEDGER_COPY"])
    head = tmp_path / "head.jws"
    head.write_text(attached(mail))
    jwks = tmp_path / "public-keys.json"
    jwks.write_bytes(Path(provided.env["consent"]["FMN_PUBLIC_KEYS"]).read_bytes())
    command = next(line.strip() for line in text.splitlines() if "ledger verify" in line)
    words = {"FOLDER": str(folder), "public-keys.json": str(jwks)}
    arguments = [words.get(word, str(head) if word.endswith(".jws") else word) for word in command.split()[1:]]
    said = CliRunner().invoke(app, arguments)
    assert said.exit_code == 0, said.output
    assert "The copy is whole" in said.output
    assert "and the head" in said.output


def test_asked_for_by_many_workers_one_goes_a_day(rig: Rig) -> None:
    day = utc_now() + 10 * A_DAY
    head = a_head(rig, day)
    assert [asked(rig, head).status_code for _ in range(3)] == [202] * 3
    assert asked(rig, a_head(rig, day + timedelta(seconds=1))).status_code == 202
    eventually(lambda: row_of(rig, day)["sent_at"] is not None)
    assert len(mails_of(rig, day)) == 1
    assert attached(mails_of(rig, day)[0]).strip() == head
    assert set(row_of(rig, day)) == {"_id", "head", "at", "tries", "sent_at"}


def test_while_the_relay_is_busy_it_waits_and_then_goes(rig: Rig) -> None:
    day = utc_now() + 11 * A_DAY
    with rig.busy_relay():
        asked(rig, a_head(rig, day))
        eventually(lambda: row_of(rig, day)["tries"] >= 2)
        assert mails_of(rig, day) == []
    eventually(lambda: mails_of(rig, day))


def test_nobody_but_the_consent_service_asks_and_only_for_what_its_ledger_key_signed(rig: Rig) -> None:
    now = utc_now()
    for other in ("case", "document"):
        assert asked(rig, a_head(rig, now), by=other).status_code == 403
    assert rig.system.manager.call("POST", "notifier:/v1/ledger-heads", json={"head": "x"}).status_code == 403
    for wrong in (a_head(rig, now, key="certificate.jwk"), a_head(rig, now)[:-6] + "AAAAAA", "a.b.c", "Zoë"):
        refused(asked(rig, wrong), 400, "invalid", "head")


def test_a_worker_that_died_before_it_could_say_that_one_went_sends_it_again(rig: Rig, notifier: Context) -> None:
    day = utc_now() + 12 * A_DAY
    asked(rig, a_head(rig, day))
    eventually(lambda: row_of(rig, day)["sent_at"] is not None)
    assert send_head(notifier, a_step(day)) is None
    assert len(mails_of(rig, day)) == 1
    rig.database["ledger_heads"].update_one({"_id": london_day(day).isoformat()}, {"$set": {"sent_at": None}})
    assert send_head(notifier, a_step(day)) is None
    assert len(mails_of(rig, day)) == 2


def test_three_days_without_one_are_an_alarm_and_after_a_week_an_old_one_is_given_up(
    rig: Rig, notifier: Context
) -> None:
    now = utc_now()
    eventually(lambda: mails_of(rig, now) or mails_of(rig, utc_now()))
    with capture_logs() as logs:
        report_unsent(notifier, now + 2 * A_DAY)
    assert logs == []
    with capture_logs() as logs:
        report_unsent(notifier, utc_now() + 3 * A_DAY + timedelta(hours=1))
    assert [(line["event"], line["log_level"]) for line in logs] == [("ledger_head.unsent", "error")]
    # An old one isn't tried for ever
    day = now - 13 * A_DAY
    row = {"_id": london_day(day).isoformat(), "head": a_head(rig, day), "at": now - 8 * A_DAY, "tries": 9}
    rig.database["ledger_heads"].insert_one({**row, "sent_at": None})
    with capture_logs() as logs:
        assert send_head(notifier, a_step(day)) is None
    assert [line["event"] for line in logs] == ["ledger_head.given_up"]
    assert mails_of(rig, day) == []


def test_the_consent_service_asks_again_after_the_notifier_was_away_and_not_while_the_ledger_differs(rig: Rig) -> None:
    with patch.dict(rig.system.provided.env["consent"], {"FMN_LEDGER_HEAD_MAIL": KEEPER}):
        opened = open_with(rig.system.provided, "consent", "worker")
    context, calls = opened.context, list[str]()

    class Away:
        def post(self, service: str, path: str, body: Any) -> None:
            calls.append(body["head"])
            raise Unavailable("away")

    object.__setattr__(context, "calls", Away())
    with capture_logs() as logs:
        mail_head(context, utc_now())
    assert [line["event"] for line in logs] == ["ledger.head_not_taken"]
    assert read_head(calls[0], context.public_keys)
    copy = Path(rig.system.provided.env["consent"]["FMN_LEDGER_COPY"])
    moved = copy.rename(copy.with_name("moved"))
    try:
        mail_head(context, utc_now())
    finally:
        moved.rename(copy)
    assert len(calls) == 1
    # An office without a mailbox asks for nothing
    object.__setattr__(context, "mails_head", False)
    mail_head(context, utc_now())
    assert len(calls) == 1
    opened.runtime.unit_of_work.client.close()
