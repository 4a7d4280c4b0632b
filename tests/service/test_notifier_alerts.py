"""The alert of the safeguarding lead: until it has gone, alarmed while it hasn't, and with nothing in it (P15)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import requests

from deploy.local.stack import Stack
from shared.clock import utc_now
from shared.ids import new_id
from shared.security.authentication import service_token
from shared.security.signing import Signer
from tests.helpers import eventually
from tests.service.notifier_rig import Rig, notifier_rig
from tests.system import System

pytestmark = pytest.mark.xdist_group("notifier")

LEAD = "safeguarding@sendias.example"


@pytest.fixture(scope="module")
def rig(stack: Stack, worker_id: str) -> Rig:
    return notifier_rig(stack, worker_id)


def asked(system: System, id: str, *, by: str = "case") -> requests.Response:
    """What a service asks of the notifier."""
    signer = Signer(json.loads((system.provided.secrets[by] / "token.jwk").read_text()))
    token = service_token(signer, caller=by, called="notifier", now=utc_now())
    return system.with_token(token).call("POST", "notifier:/v1/alerts", json={"id": id})


def mails(rig: Rig, id: str) -> list[str]:
    return [mail.as_string() for mail in rig.relay.mails if id in mail.as_string()]


def log_of(rig: Rig) -> str:
    return Path(next(p.log for n, p in rig.processes.items() if n.endswith("notifier-worker"))).read_text()


def test_asked_twice_it_goes_once(rig: Rig) -> None:
    id = new_id()
    assert [asked(rig.system, id).status_code for _ in range(3)] == [202, 202, 202]
    eventually(lambda: mails(rig, id))
    eventually(lambda: rig.database["alerts"].find_one({"_id": id})["sent_at"] is not None)
    assert len(mails(rig, id)) == 1
    assert LEAD in mails(rig, id)[0]


def test_nobody_but_the_case_service_asks_and_a_number_is_all_it_takes(rig: Rig) -> None:
    assert asked(rig.system, new_id(), by="consent").status_code == 403
    for caller in (rig.system.manager, rig.system.lead, rig.system.auditor):
        assert caller.call("POST", "notifier:/v1/alerts", json={"id": new_id()}).status_code == 403
    assert asked(rig.system, "Zoë").status_code == 400


def test_while_the_relay_is_busy_it_alarms_and_waits_and_then_it_goes(rig: Rig) -> None:
    id = new_id()
    with rig.busy_relay():
        asked(rig.system, id)
        eventually(lambda: '"alert.not_sent"' in log_of(rig) and id in log_of(rig))
        assert mails(rig, id) == []
    eventually(lambda: mails(rig, id))


def test_the_audit_of_the_notifier_does_not_tell_of_it(rig: Rig) -> None:
    id = new_id()
    asked(rig.system, id)
    eventually(lambda: mails(rig, id))
    assert rig.database["audit"].count_documents({"record_id": id}) == 0
    assert set(rig.database["alerts"].find_one({"_id": id})) == {"_id", "at", "tries", "sent_at"}
