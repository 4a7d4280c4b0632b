"""The embedded stack with its real servers: start and stop, crash and return, two side by side, names of one's own."""

from __future__ import annotations

import io
import os
import signal
import smtplib
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest
from minio import Minio
from minio.error import S3Error
from pika.exceptions import ChannelClosedByBroker
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from deploy.local import mongo
from deploy.local.broker import Management
from deploy.local.errors import AlreadyRunning, PortTaken
from deploy.local.places import PROJECT, SERVICES, Ports, from_environment, places
from deploy.local.processes import leftovers
from deploy.local.provision import Provision
from deploy.local.stack import Stack

_SPAN = 100
# One worker of a parallel run has them all, so that the servers start once.
pytestmark = pytest.mark.xdist_group("embedded-stack")


def a_port_base() -> int:
    """A hundred ports of which none is in use."""
    offset = os.getpid() % 50 * _SPAN  # two runs at once begin to look in different places
    for base in range(20000 + offset, 32000, _SPAN):
        if all(_is_free(port) for port in Ports(base=base).servers.values()):
            return base
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def a_stack(root: Path) -> Stack:
    """A stack of its own that uses the packages which the project's own stack has unpacked."""
    return Stack(root, a_port_base(), packages=places(from_environment()[0]).packages)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = a_stack(tmp_path_factory.mktemp("stack"))
    with made:
        made.start_servers()
        yield made


@pytest.fixture(scope="module")
def one(stack: Stack) -> Provision:
    return stack.provision("one")


@pytest.fixture(scope="module")
def other(stack: Stack) -> Provision:
    return stack.provision("other")


def secret(provided: Provision, service: str, name: str) -> str:
    return (provided.secrets[service] / name).read_text()


def mongo_of(provided: Provision, service: str) -> MongoClient[dict[str, object]]:
    return MongoClient(secret(provided, service, "mongo-url"), serverSelectionTimeoutMS=3000)


def channel_of(provided: Provision, service: str) -> pika.adapters.blocking_connection.BlockingChannel:
    channel = pika.BlockingConnection(pika.URLParameters(secret(provided, service, "amqp-url"))).channel()
    channel.confirm_delivery()
    return channel


def store_of(stack: Stack, provided: Provision, service: str) -> Minio:
    access, secret_key = secret(provided, service, "s3-access-key"), secret(provided, service, "s3-secret-key")
    return Minio(f"127.0.0.1:{stack.ports['s3']}", access, secret_key, secure=False, region="us-east-1")


def test_everything_listens_on_loopback_alone(stack: Stack) -> None:
    ours = set(stack.ports.servers.values())
    seen = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            address, _, port = fields[1].rpartition(":")
            if fields[3] == "0A" and int(port, 16) in ours:
                seen.add(int(port, 16))
                assert address in ("0100007F", "00000000000000000000000001000000"), f"port {int(port, 16)}"
    assert seen == ours


def test_no_password_can_be_seen_in_the_list_of_processes(stack: Stack, one: Provision) -> None:
    secrets = [path.read_text() for path in stack.places.admin.iterdir()]
    secrets += [secret(one, service, "mongo-password") for service in SERVICES]
    for pid in leftovers(stack.places.root):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        assert not [True for each in secrets if each in command]


def test_every_file_of_the_run_folder_is_its_owners_alone(stack: Stack, one: Provision) -> None:
    for path in stack.places.run.rglob("*"):
        assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path
    assert one.run == stack.places.run / "one"


def test_a_transaction_works_and_lives_three_seconds_at_most(stack: Stack, one: Provision) -> None:
    with mongo_of(one, "case") as client, client.start_session() as session, session.start_transaction():
        client["one_case"]["probes"].insert_one({"n": 1}, session=session)
    with mongo.admin_client(stack.places, stack.ports) as admin:
        answer = admin.admin.command("getParameter", transactionLifetimeLimitSeconds=1)
        settings = admin.admin.command("getCmdLineOpts")["parsed"]["storage"]["wiredTiger"]
    assert answer["transactionLifetimeLimitSeconds"] == 3
    assert settings["collectionConfig"] == {"blockCompressor": "none"}
    assert settings["engineConfig"]["journalCompressor"] == "none"


def test_a_services_account_opens_its_own_databases_only(one: Provision, other: Provision) -> None:
    with mongo_of(one, "case") as client:
        client["one_case_vault"]["keys"].insert_one({"n": 1})
        for database in ("one_consent", "one_consent_vault", "other_case", "one_ledger"):
            with pytest.raises(OperationFailure, match="not authorized"):
                client[database]["anything"].find_one()
    with mongo_of(one, "consent") as client:
        client["one_ledger"]["entries"].insert_one({"n": 1})


def test_a_service_publishes_its_own_events_under_its_own_name_only(one: Provision) -> None:
    channel = channel_of(one, "case")
    ours = pika.BasicProperties(user_id="one-case")

    channel.basic_publish("fmn.events", "case.created.v1", b"{}", ours, mandatory=True)
    for key, properties in (
        ("consent.given.v1", ours),
        ("erasure.receipt.v1.document", ours),
        ("case.created.v1", pika.BasicProperties(user_id="one-consent")),
    ):
        with pytest.raises(ChannelClosedByBroker):
            channel_of(one, "case").basic_publish("fmn.events", key, b"{}", properties, mandatory=True)
    with pytest.raises(ChannelClosedByBroker):
        channel_of(one, "case").basic_publish("", "fmn.document", b"{}", ours, mandatory=True)
    with pytest.raises(ChannelClosedByBroker):
        channel_of(one, "case").basic_get("fmn.document")


def test_an_event_reaches_every_queue_and_a_receipt_only_the_coordinators(stack: Stack, other: Provision) -> None:
    channel = channel_of(other, "document")
    receipt = pika.BasicProperties(user_id="other-document", delivery_mode=2)
    channel.basic_publish("fmn.events", "erasure.receipt.v1.document", b"{}", receipt, mandatory=True)
    channel = channel_of(other, "consent")
    started = pika.BasicProperties(user_id="other-consent", delivery_mode=2)
    channel.basic_publish("fmn.events", "erasure.started.v1", b"{}", started, mandatory=True)

    for service in SERVICES:
        reader = channel_of(other, service)
        reader.queue_declare(f"fmn.{service}", passive=True)
        keys = set()
        while (got := reader.basic_get(f"fmn.{service}", auto_ack=True))[0]:
            keys.add((got[0].routing_key, got[1].user_id))
        expected = {("erasure.started.v1", "other-consent")}
        if service == "consent":
            expected.add(("erasure.receipt.v1.document", "other-document"))
        assert keys == expected
    queues = Management.of(stack.places, stack.ports).call("GET", "/api/queues/other")
    assert {queue["type"] for queue in queues} == {"quorum"}
    (policy,) = Management.of(stack.places, stack.ports).call("GET", "/api/policies/other")
    assert policy["definition"]["overflow"] == "reject-publish"


def test_no_guest_may_enter_the_broker(stack: Stack) -> None:
    names = {user["name"] for user in Management.of(stack.places, stack.ports).call("GET", "/api/users")}
    assert "guest" not in names


def test_a_services_key_pair_opens_its_own_bucket_only_and_keeps_versions(
    stack: Stack, one: Provision, other: Provision
) -> None:
    store = store_of(stack, one, "document")

    first = store.put_object("one-document", "a/b/1", io.BytesIO(b"first"), 5)
    second = store.put_object("one-document", "a/b/1", io.BytesIO(b"other"), 5)

    versions = {item.version_id for item in store.list_objects("one-document", recursive=True, include_version=True)}
    assert versions == {first.version_id, second.version_id}
    for bucket in ("one-case", "other-document"):
        with pytest.raises(S3Error, match="AccessDenied"):
            store.put_object(bucket, "a/b/1", io.BytesIO(b"first"), 5)
    with pytest.raises(S3Error, match="AccessDenied"):
        store.make_bucket("one-elsewhere")


def test_provisioning_again_changes_no_secret_and_loses_nothing(stack: Stack, one: Provision) -> None:
    before = {path: path.read_bytes() for path in (one.run / "secrets").rglob("*") if path.is_file()}
    with mongo_of(one, "case") as client:
        client["one_case"]["kept"].insert_one({"n": 1})

    again = stack.provision("one", one.ports)

    assert before == {path: path.read_bytes() for path in before}
    assert again == one
    with mongo_of(again, "case") as client:
        assert client["one_case"]["kept"].count_documents({}) == 1


def test_names_that_are_dropped_leave_nothing_and_others_alone(stack: Stack, one: Provision) -> None:
    gone = stack.provision("gone")
    with mongo_of(gone, "case") as client:
        client["gone_case"]["probes"].insert_one({"n": 1})
    store_of(stack, gone, "document").put_object("gone-document", "a/b/1", io.BytesIO(b"first"), 5)

    stack.deprovision("gone")

    assert not gone.run.exists()
    with mongo.admin_client(stack.places, stack.ports) as admin:
        assert not [name for name in admin.list_database_names() if name.startswith("gone")]
        users = admin.admin.command("usersInfo")["users"]
        assert not [user for user in users if user["user"].startswith("gone")]
        assert [user for user in users if user["user"] == "one-case"]
    vhosts = {vhost["name"] for vhost in Management.of(stack.places, stack.ports).call("GET", "/api/vhosts")}
    assert "gone" not in vhosts
    assert "one" in vhosts


def test_another_process_can_provision_on_a_stack_that_is_up(stack: Stack) -> None:
    attached = Stack(stack.places.root, stack.ports.base).attach()

    provided = attached.provision("visitor")
    attached.stop()

    assert stack.is_up()
    with mongo_of(provided, "notifier") as client:
        client["visitor_notifier"]["probes"].insert_one({"n": 1})
    stack.deprovision("visitor")


def test_mail_is_written_as_its_recipient_has_it_accents_included(stack: Stack) -> None:
    before = set(stack.places.mail.iterdir())
    with smtplib.SMTP("127.0.0.1", stack.ports["smtp"]) as client:
        message = "Subject: Zażółć\r\n\r\ngęślą jaźń\r\n".encode()
        options = ["SMTPUTF8", "BODY=8BITMIME"]
        client.sendmail("office@example.org", ["żółw@example.org"], message, mail_options=options)
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail("office@example.org", ["refuses-all@example.org"], message)

    (written,) = set(stack.places.mail.iterdir()) - before
    assert message.strip() in written.read_bytes()
    assert "żółw@example.org".encode() in written.read_bytes()
    assert written.suffix == ".eml"


def test_a_second_start_in_the_same_folder_is_refused_and_disturbs_nothing(stack: Stack) -> None:
    with pytest.raises(AlreadyRunning, match="FMN_LOCAL"):
        Stack(stack.places.root, a_port_base()).start_servers()

    assert all(process.running for process in stack.servers.values())


def test_a_second_stack_on_the_same_ports_is_refused_by_naming_the_owner(stack: Stack, tmp_path: Path) -> None:
    with pytest.raises(PortTaken) as refused:
        Stack(tmp_path, stack.ports.base, packages=stack.places.packages).start_servers()

    assert f"held by process {stack.servers['mongodb'].pid} (" in str(refused.value)
    assert leftovers(tmp_path) == []


def test_a_second_stack_runs_beside_it_and_returns_with_its_data_after_a_crash(stack: Stack, tmp_path: Path) -> None:
    """One test of three, since each start takes seconds: side by side; killed with -9; back, on other ports too."""
    beside = a_stack(tmp_path)
    script = (
        "import sys, time; from pathlib import Path; from deploy.local.stack import Stack\n"
        "root, base, packages = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])\n"
        "s = Stack(root, base, packages=packages); s.start_servers(); s.provision('kept')\n"
        "print('up', flush=True); time.sleep(300)"
    )
    arguments = [str(tmp_path), str(beside.ports.base), str(beside.places.packages)]
    supervisor = subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True, cwd=PROJECT
    )
    assert supervisor.stdout is not None
    assert supervisor.stdout.readline() == "up\n"
    assert stack.is_up()
    with MongoClient((tmp_path / "run/kept/secrets/case/mongo-url").read_text()) as client:
        client["kept_case"]["probes"].insert_one({"n": 7})

    supervisor.kill()
    supervisor.wait()
    for pid in leftovers(tmp_path):
        os.kill(pid, signal.SIGKILL)  # and the keepers too: nothing may depend on an orderly end
    moved = Stack(tmp_path, beside.ports.base + 2 * _SPAN, packages=beside.places.packages)
    assert moved.ports != beside.ports
    with moved:
        moved.start_servers()
        provided = moved.provision("kept")
        with mongo_of(provided, "case") as client:
            assert client["kept_case"]["probes"].find_one({}, {"_id": 0}) == {"n": 7}
        store_of(moved, provided, "document").put_object("kept-document", "a/b/1", io.BytesIO(b"first"), 5)
        began = time.monotonic()
    assert time.monotonic() - began < 10
    assert leftovers(tmp_path) == []
    for ports in (beside.ports, moved.ports):
        assert not list(Path("/tmp").glob(f"seaweedfs-*-{ports['s3-grpc']}.sock"))
    assert stack.is_up()
