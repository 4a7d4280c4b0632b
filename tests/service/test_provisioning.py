"""What provisioning makes on the run's servers, embedded or in containers: accounts that open what is theirs alone."""

from __future__ import annotations

import io

import pika
import pytest
from minio.error import S3Error
from pika.exceptions import ChannelClosedByBroker
from pymongo.errors import OperationFailure

from deploy.local import mongo, objects
from deploy.local.broker import Management
from deploy.local.places import SERVICES
from deploy.local.provision import Provision
from deploy.local.stack import Stack
from deploy.objects.kinds import Kind
from tests.service.accounts_rig import channel_of, mongo_of, store_of

# One worker of a parallel run has them all: their names are the same in each.
pytestmark = pytest.mark.xdist_group("provisioning")


@pytest.fixture(scope="module")
def one(stack: Stack) -> Provision:
    return stack.provision("one")


@pytest.fixture(scope="module")
def other(stack: Stack) -> Provision:
    return stack.provision("other")


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


def test_a_bucket_keeps_every_version(stack: Stack, one: Provision) -> None:
    store = store_of(stack, one, "document")

    first = store.put_object("one-document", "a/b/1", io.BytesIO(b"first"), 5)
    second = store.put_object("one-document", "a/b/1", io.BytesIO(b"other"), 5)

    versions = {item.version_id for item in store.list_objects("one-document", recursive=True, include_version=True)}
    assert versions == {first.version_id, second.version_id}


def test_a_services_key_pair_opens_its_own_bucket_only(stack: Stack, one: Provision, other: Provision) -> None:
    if objects.kind(stack.places) is Kind.SHARED:
        pytest.skip("this object store has no accounts, so that all share its only key pair")
    store = store_of(stack, one, "document")

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
