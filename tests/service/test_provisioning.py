"""What provisioning makes on the run's servers, embedded or in containers: accounts that open what is theirs alone."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pika
import pytest
from minio.error import S3Error
from pika.exceptions import ChannelClosedByBroker
from pymongo.errors import OperationFailure

from deploy.local import mongo, objects
from deploy.local.broker import Management
from deploy.local.provision import Provision
from deploy.local.stack import Stack
from deploy.objects.kinds import Kind
from shared.events import SERVICES
from tests.service.accounts_rig import channel_of, mongo_of, store_of

pytestmark = pytest.mark.xdist_group("provisioning")

# Each process of a parallel run provisions names of its own.
_PROCESS = os.environ.get("PYTEST_XDIST_WORKER", "")
ONE, OTHER, GONE = f"one{_PROCESS}", f"other{_PROCESS}", f"gone{_PROCESS}"


@pytest.fixture(scope="module")
def one(stack: Stack) -> Provision:
    return stack.provision(ONE)


@pytest.fixture(scope="module")
def other(stack: Stack) -> Provision:
    return stack.provision(OTHER)


def test_a_services_account_opens_its_own_databases_only(one: Provision, other: Provision) -> None:
    with mongo_of(one, "case") as client:
        client[f"{ONE}_case_vault"]["keys"].insert_one({"n": 1})
        for database in (f"{ONE}_consent", f"{ONE}_consent_vault", f"{OTHER}_case", f"{ONE}_ledger"):
            with pytest.raises(OperationFailure, match="not authorized"):
                client[database]["anything"].find_one()
    with mongo_of(one, "consent") as client:
        client[f"{ONE}_ledger"]["ledger"].insert_one({"_id": 1})


def test_a_service_publishes_its_own_events_under_its_own_name_only(one: Provision) -> None:
    channel = channel_of(one, "case")
    ours = pika.BasicProperties(user_id=f"{ONE}-case")

    channel.basic_publish("fmn.events", "case.created.v1", b"{}", ours, mandatory=True)
    for key, properties in (
        ("consent.given.v1", ours),
        ("erasure.receipt.v1.document", ours),
        ("case.created.v1", pika.BasicProperties(user_id=f"{ONE}-consent")),
    ):
        with pytest.raises(ChannelClosedByBroker):
            channel_of(one, "case").basic_publish("fmn.events", key, b"{}", properties, mandatory=True)
    with pytest.raises(ChannelClosedByBroker):
        channel_of(one, "case").basic_publish("", "fmn.document", b"{}", ours, mandatory=True)
    with pytest.raises(ChannelClosedByBroker):
        channel_of(one, "case").basic_get("fmn.document")


def test_an_event_reaches_every_queue_and_a_receipt_only_the_coordinators(stack: Stack, other: Provision) -> None:
    channel = channel_of(other, "document")
    receipt = pika.BasicProperties(user_id=f"{OTHER}-document", delivery_mode=2)
    channel.basic_publish("fmn.events", "erasure.receipt.v1.document", b"{}", receipt, mandatory=True)
    channel = channel_of(other, "consent")
    started = pika.BasicProperties(user_id=f"{OTHER}-consent", delivery_mode=2)
    channel.basic_publish("fmn.events", "erasure.started.v1", b"{}", started, mandatory=True)

    for service in SERVICES:
        reader = channel_of(other, service)
        reader.queue_declare(f"fmn.{service}", passive=True)
        keys = set()
        while (got := reader.basic_get(f"fmn.{service}", auto_ack=True))[0]:
            keys.add((got[0].routing_key, got[1].user_id))
        expected = {("erasure.started.v1", f"{OTHER}-consent")}
        if service == "consent":
            expected.add(("erasure.receipt.v1.document", f"{OTHER}-document"))
        assert keys == expected
    queues = Management.of(stack.places, stack.ports).call("GET", f"/api/queues/{OTHER}")
    assert {queue["type"] for queue in queues} == {"quorum"}
    (policy,) = Management.of(stack.places, stack.ports).call("GET", f"/api/policies/{OTHER}")
    assert policy["definition"]["overflow"] == "reject-publish"


def test_no_guest_may_enter_the_broker(stack: Stack) -> None:
    names = {user["name"] for user in Management.of(stack.places, stack.ports).call("GET", "/api/users")}
    assert "guest" not in names


def test_a_bucket_keeps_every_version(stack: Stack, one: Provision) -> None:
    store = store_of(stack, one, "document")

    first = store.put_object(f"{ONE}-document", "a/b/1", io.BytesIO(b"first"), 5)
    second = store.put_object(f"{ONE}-document", "a/b/1", io.BytesIO(b"other"), 5)

    versions = {item.version_id for item in store.list_objects(f"{ONE}-document", recursive=True, include_version=True)}
    assert versions == {first.version_id, second.version_id}


def test_a_services_key_pair_opens_its_own_bucket_only(stack: Stack, one: Provision, other: Provision) -> None:
    if objects.kind(stack.places) is Kind.SHARED:
        pytest.skip("this object store has no accounts, so that all share its only key pair")
    store = store_of(stack, one, "document")

    with pytest.raises(S3Error, match="AccessDenied"):
        store.put_object(f"{OTHER}-document", "a/b/1", io.BytesIO(b"first"), 5)
    with pytest.raises(S3Error, match="AccessDenied"):
        store.make_bucket(f"{ONE}-elsewhere")


def test_provisioning_again_changes_no_secret_and_loses_nothing(stack: Stack, one: Provision) -> None:
    before = {path: path.read_bytes() for path in (one.run / "secrets").rglob("*") if path.is_file()}
    with mongo_of(one, "case") as client:
        client[f"{ONE}_case"]["kept"].insert_one({"n": 1})

    again = stack.provision(ONE, one.ports)

    assert before == {path: path.read_bytes() for path in before}
    assert again == one
    with mongo_of(again, "case") as client:
        assert client[f"{ONE}_case"]["kept"].count_documents({}) == 1


def test_names_that_are_dropped_leave_nothing_and_others_alone(stack: Stack, one: Provision) -> None:
    gone = stack.provision(GONE)
    with mongo_of(gone, "case") as client:
        client[f"{GONE}_case"]["probes"].insert_one({"n": 1})
    store_of(stack, gone, "document").put_object(f"{GONE}-document", "a/b/1", io.BytesIO(b"first"), 5)

    stack.deprovision(GONE)

    assert not gone.run.exists()
    assert not Path(gone.env["consent"]["FMN_LEDGER_COPY"]).exists()
    with mongo.admin_client(stack.places, stack.ports) as admin:
        assert not [name for name in admin.list_database_names() if name.startswith(GONE)]
        users = admin.admin.command("usersInfo")["users"]
        assert not [user for user in users if user["user"].startswith(GONE)]
        assert [user for user in users if user["user"] == f"{ONE}-case"]
        roles = {role["role"] for role in admin.admin.command("rolesInfo", 1)["roles"]}
        assert not [role for role in roles if role.startswith(GONE)]
        assert f"{ONE}-ledger-inserts" in roles
    vhosts = {vhost["name"] for vhost in Management.of(stack.places, stack.ports).call("GET", "/api/vhosts")}
    assert GONE not in vhosts
    assert ONE in vhosts
