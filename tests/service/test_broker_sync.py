"""`forgetmenot broker sync` on the run's real broker: what is missing comes, what isn't defined goes, others' stays."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from deploy.local.broker import Management
from deploy.local.provision import Provision
from deploy.local.stack import Stack
from deploy.ops.broker import NOT_IN_LINE
from deploy.ops.main import app
from deploy.rabbitmq.definitions import administrators_permission, password_hash, render
from shared.events import SERVICES
from tests.service.accounts_rig import channel_of

pytestmark = pytest.mark.xdist_group("broker-sync")

# Each process of a parallel run changes a vhost of its own.
NAMES = f"syncs{os.environ.get('PYTEST_XDIST_WORKER', '')}"
IN_LINE = "The broker is in line with its definitions.\n"


@pytest.fixture(scope="module")
def provided(stack: Stack) -> Iterator[Provision]:
    yield stack.provision(NAMES)
    stack.deprovision(NAMES)


@pytest.fixture
def broker(stack: Stack, provided: Provision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Management:
    """The broker, and settings by which the command finds it and its accounts' passwords, as in a container."""
    management = Management.of(stack.places, stack.ports)
    (tmp_path / "admin-password").write_text(management.password)
    for service in SERVICES:
        password = (provided.secrets[service] / "amqp-password").read_text()
        (tmp_path / f"{service}-password").write_text(password)
    monkeypatch.setenv("FMN_NAMES", NAMES)
    monkeypatch.setenv("FMN_BROKER", management.url)
    monkeypatch.setenv("FMN_SECRETS", str(tmp_path))
    assert sync().exit_code == 0
    return management


def sync(*options: str) -> Result:
    return CliRunner().invoke(app, ["broker", "sync", *options])


def define(broker: Management, **sections: list[dict[str, Any]]) -> None:
    broker.apply({section: [{"vhost": NAMES, **item} for item in items] for section, items in sections.items()})


def a_queue(name: str) -> dict[str, Any]:
    return {"name": name, "durable": True, "auto_delete": False, "arguments": {"x-queue-type": "quorum"}}


def a_binding(destination: str, key: str) -> dict[str, Any]:
    ends = {"source": "fmn.events", "destination": destination, "destination_type": "queue"}
    return ends | {"routing_key": key, "arguments": {}}


def names_at(broker: Management, path: str) -> set[str]:
    return {item["name"] for item in broker.call("GET", path)}


def test_a_broker_as_it_was_provisioned_is_in_line(broker: Management) -> None:
    done = sync()
    assert (done.exit_code, done.stdout) == (0, IN_LINE)
    assert (sync("--dry-run").exit_code, sync("--dry-run").stdout) == (0, IN_LINE)


def test_what_is_missing_or_was_changed_comes_back(broker: Management, provided: Provision) -> None:
    broker.call("DELETE", f"/api/bindings/{NAMES}/e/fmn.events/q/fmn.consent/erasure.receipt.%23")
    broker.call("DELETE", f"/api/queues/{NAMES}/fmn.notifier")
    broker.call("DELETE", f"/api/users/{NAMES}-document")
    define(broker, policies=[{"name": "fmn-queues", "pattern": "^fmn", "definition": {"max-length": 5}, "priority": 0}])
    define(broker, permissions=[{"user": f"{NAMES}-case", "configure": ".*", "write": ".*", "read": ".*"}])
    wrong_hash = {"name": f"{NAMES}-notifier", "password_hash": password_hash("another"), "tags": ""}
    broker.apply({"users": [wrong_hash | {"hashing_algorithm": "rabbit_password_hashing_sha256"}]})

    would = sync("--dry-run")
    done = sync()

    assert would.exit_code == NOT_IN_LINE
    expected = {
        "add binding fmn.events -> fmn.consent (erasure.receipt.#)",
        "add queue fmn.notifier",
        f"add user {NAMES}-document",
        f"add permission {NAMES}-document",
        f"add topic permission {NAMES}-document on fmn.events",
        "change policy fmn-queues",
        f"change permission {NAMES}-case",
        f"change user {NAMES}-notifier",
    }
    told = {line.removeprefix("would ") for line in would.stdout.splitlines()}
    bound = {line for line in told if line.startswith("add binding fmn.events -> fmn.notifier")}
    assert told - bound == expected
    defined = render(NAMES, {})["bindings"]
    assert len(bound) == sum(binding["destination"] == "fmn.notifier" for binding in defined)
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, IN_LINE.strip())
    assert {line.removeprefix("done: ") for line in done.stdout.splitlines()[:-1]} == told
    assert sync("--dry-run").exit_code == 0
    for service in ("case", "document", "notifier"):
        channel_of(provided, service).queue_declare(f"fmn.{service}", passive=True)
    assert provided.secrets["case"].joinpath("amqp-password").read_text() not in done.output + would.output


def test_what_is_no_longer_defined_goes(broker: Management) -> None:
    define(broker, queues=[a_queue("fmn.former")], exchanges=[{"name": "fmn.old", "type": "topic", "durable": True}])
    define(broker, bindings=[a_binding("fmn.former", "case.#"), a_binding("fmn.case", "paper.#")])
    define(broker, policies=[{"name": "fmn-old", "pattern": "^x", "definition": {"max-length": 5}, "priority": 0}])
    former = {"name": f"{NAMES}-former", "password_hash": password_hash("x"), "tags": ""}
    broker.apply({"users": [former | {"hashing_algorithm": "rabbit_password_hashing_sha256"}]})
    define(broker, permissions=[{"user": f"{NAMES}-former", "configure": "", "write": ".*", "read": ".*"}])
    stray = {"user": f"{NAMES}-case", "exchange": "fmn.old", "write": ".*", "read": ".*"}
    define(broker, topic_permissions=[stray])

    first = sync("--only-add")
    done = sync()

    assert first.exit_code == NOT_IN_LINE
    assert done.exit_code == 0, done.output
    assert {line for line in done.stdout.splitlines() if line.startswith("done: ")} == {
        "done: remove binding fmn.events -> fmn.former (case.#)",
        "done: remove binding fmn.events -> fmn.case (paper.#)",
        "done: remove queue fmn.former",
        "done: remove exchange fmn.old",
        "done: remove policy fmn-old",
        f"done: remove topic permission {NAMES}-case on fmn.old",
        f"done: remove permission {NAMES}-former",
        f"done: remove user {NAMES}-former",
    }
    assert (sync("--dry-run").exit_code, sync("--dry-run").stdout) == (0, IN_LINE)
    assert "fmn.former" not in names_at(broker, f"/api/queues/{NAMES}")
    assert f"{NAMES}-former" not in names_at(broker, "/api/users")
    rights = broker.call("GET", f"/api/topic-permissions/{NAMES}/{NAMES}-case")
    assert [right["exchange"] for right in rights] == ["fmn.events"]


def test_a_queue_with_messages_is_kept_until_it_is_read_or_they_are_given_up(broker: Management) -> None:
    define(broker, queues=[a_queue("fmn.former")])
    define(broker, bindings=[a_binding("fmn.former", "#")])
    message = {"routing_key": "nobody.listens", "payload": "{}", "payload_encoding": "string", "properties": {}}
    assert broker.call("POST", f"/api/exchanges/{NAMES}/fmn.events/publish", message) == {"routed": True}

    kept = sync()
    still = sync("--dry-run")
    lost = broker.call("POST", f"/api/exchanges/{NAMES}/fmn.events/publish", message)
    dropped = sync("--drop-messages")

    assert kept.exit_code == still.exit_code == NOT_IN_LINE
    assert "The queue fmn.former is kept: it has messages." in kept.stderr
    assert still.stdout == "would remove queue fmn.former\n"
    assert lost == {"routed": False}
    assert dropped.exit_code == 0
    assert "fmn.former" not in names_at(broker, f"/api/queues/{NAMES}")


def test_an_emptied_queue_goes(broker: Management) -> None:
    define(broker, queues=[a_queue("fmn.former")])
    message = {"routing_key": "fmn.former", "payload": "{}", "payload_encoding": "string", "properties": {}}
    assert broker.call("POST", f"/api/exchanges/{NAMES}/amq.default/publish", message) == {"routed": True}
    assert sync().exit_code == NOT_IN_LINE
    taken = {"count": 5, "ackmode": "ack_requeue_false", "encoding": "base64"}
    assert len(broker.call("POST", f"/api/queues/{NAMES}/fmn.former/get", taken)) == 1
    assert sync().exit_code == 0


def test_what_is_not_ours_is_told_of_and_left_alone(broker: Management, stack: Stack) -> None:
    stack.provision("neighbour")
    broker.apply({"queues": [a_queue("fmn.former") | {"vhost": "neighbour"}]})
    define(broker, queues=[a_queue("tap")])
    define(broker, bindings=[a_binding("tap", "#")])
    guest = {"name": "watcher", "password_hash": password_hash("x"), "tags": "monitoring"}
    broker.apply({"users": [guest | {"hashing_algorithm": "rabbit_password_hashing_sha256"}]})
    define(broker, permissions=[{"user": "watcher", "configure": "", "write": "", "read": ".*"}])

    done = sync()

    assert (done.exit_code, done.stdout) == (0, IN_LINE)
    assert sorted(done.stderr.splitlines()) == [
        "The account watcher isn't ours and may do something in our vhost.",
        "The queue tap in our vhost isn't called as ours are.",
        "What isn't ours gets our events: fmn.events -> tap (#).",
    ]
    assert "tap" in names_at(broker, f"/api/queues/{NAMES}")
    assert "fmn.former" in names_at(broker, "/api/queues/neighbour")
    broker.call("DELETE", "/api/users/watcher")
    broker.call("DELETE", f"/api/queues/{NAMES}/tap")
    stack.deprovision("neighbour")


def test_a_queue_of_another_type_is_told_of_and_not_touched(broker: Management) -> None:
    broker.call("DELETE", f"/api/queues/{NAMES}/fmn.case")
    define(broker, queues=[a_queue("fmn.case") | {"arguments": {"x-queue-type": "classic"}}])
    done = sync()
    assert done.exit_code == NOT_IN_LINE
    assert "The queue fmn.case isn't what its definition says, and can't be changed while it exists." in done.stderr
    broker.call("DELETE", f"/api/queues/{NAMES}/fmn.case")
    assert sync().exit_code == 0


def test_a_broker_that_is_away_or_refuses_is_said_in_a_sentence(
    broker: Management, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "admin-password").write_text("wrong")
    refused = sync()
    monkeypatch.setenv("FMN_BROKER", "http://127.0.0.1:1")
    away = sync()
    (tmp_path / "case-password").unlink()
    without = sync()
    assert refused.exit_code == away.exit_code == without.exit_code == 1
    assert "401" in refused.stderr
    assert away.stderr == "The broker's management API can't be reached (ConnectionError).\n"
    assert without.stderr == f"{tmp_path / 'case-password'} can't be read: No such file or directory.\n"


def test_a_lost_vhost_is_made_anew(broker: Management) -> None:
    broker.call("DELETE", f"/api/vhosts/{NAMES}")
    done = sync()
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"done: add vhost {NAMES}\n")
    assert broker.call("GET", f"/api/vhosts/{NAMES}/permissions")[0]["vhost"] == NAMES
    admin = administrators_permission(NAMES, "fmn-admin")
    assert admin in broker.call("GET", f"/api/vhosts/{NAMES}/permissions")
