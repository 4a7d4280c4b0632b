"""The independent reader's process: what its accounts may do, whom it answers, and what it says when it can't read."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
import requests
from minio import Minio
from minio.error import S3Error
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from urllib3.exceptions import HTTPError

from deploy.local import mongo, objects
from deploy.local.provision import Provision
from deploy.local.stack import Stack
from deploy.objects.kinds import Kind
from reader.reading import Asked, Reader
from reader.settings import load
from shared.clock import utc_now
from shared.erasure.readings import READER, claims_of, digest_of
from shared.events import SERVICES
from shared.ids import new_id
from shared.ops.settings import SettingsError
from shared.security.authentication import service_token
from shared.security.signing import PublicKeys, Signer
from tests.helpers import eventually, kill

pytestmark = pytest.mark.xdist_group("reader")
NAMES = f"read{os.environ.get('PYTEST_XDIST_WORKER', '')}"


@pytest.fixture(scope="module")
def alone(stack: Stack) -> Iterator[Provision]:
    """Names of their own, with a reader and no services."""
    provided = stack.provision(NAMES)
    started = stack.start_services(provided, only=[READER])
    yield provided
    kill(started.values())
    stack.deprovision(NAMES)


@contextmanager
def reader_of(provided: Provision, **env: str) -> Iterator[Reader]:
    with patch.dict(os.environ, {**provided.env[READER], **env}):
        reader = Reader(load())
    try:
        yield reader
    finally:
        reader.close()


def token_of(provided: Provision, service: str, *, called: str = READER, key: str = "token.jwk") -> str:
    signer = Signer(json.loads((provided.secrets[service] / key).read_text()))
    return service_token(signer, caller=service, called=called, now=utc_now())


def ask(provided: Provision, token: str | None, body: Any, path: str = "/v1/readings") -> requests.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = f"http://127.0.0.1:{provided.ports[READER]}{path}"
    return requests.post(url, data=data, headers=headers, timeout=30)


def a_body(*cases: str) -> dict[str, Any]:
    of = [
        {"request": new_id(), "case": case_id, "receipts_sha256": digest_of([new_id()])}
        for case_id in cases or (new_id(),)
    ]
    return {"reading": new_id(), "of": of}


def an_asked(case_id: str) -> Asked:
    return Asked(request=new_id(), case_id=case_id, receipts_sha256=digest_of([]))


def test_its_account_on_mongodb_reads_everything_and_writes_nothing(stack: Stack, alone: Provision) -> None:
    with mongo.admin_client(stack.places, stack.ports) as admin:
        admin[f"{NAMES}_unknown"]["anything"].insert_one({"_id": 1})
        url = (alone.run / "secrets" / READER / "mongo-url").read_text()
        with MongoClient[dict[str, Any]](url) as client:
            assert f"{NAMES}_unknown" in client.list_database_names()
            assert client[f"{NAMES}_unknown"]["anything"].find_one() == {"_id": 1}
            for database in (f"{NAMES}_unknown", f"{NAMES}_case", f"{NAMES}_case_vault", "another"):
                with pytest.raises(OperationFailure, match="not authorized"):
                    client[database]["anything"].insert_one({"_id": 2})
                with pytest.raises(OperationFailure, match="not authorized"):
                    client[database]["anything"].delete_many({})
            for database, collection in (("local", "oplog.rs"), ("admin", "system.users")):
                with pytest.raises(OperationFailure, match="not authorized"):
                    client[database][collection].find_one()
            with pytest.raises(OperationFailure, match="not authorized"):
                client.admin.command("createUser", "mine", pwd="mine", roles=["root"])
        admin.drop_database(f"{NAMES}_unknown")


def test_its_account_on_the_object_store_lists_names_and_opens_nothing(stack: Stack, alone: Provision) -> None:
    if objects.kind(stack.places) is Kind.SHARED:
        pytest.skip("this store has no accounts")
    admin, bucket = objects.admin(stack.places, stack.ports), f"{NAMES}-document"
    admin.s3.put_object(bucket, "a/b/1", io.BytesIO(b"sealed"), 6)
    pair = objects.read_keys(alone.run / "secrets" / READER)
    assert pair is not None
    store = Minio(admin.endpoint, pair.access, pair.secret, secure=False, region="us-east-1")
    assert bucket in {one.name for one in store.list_buckets()}
    assert [item.object_name for item in store.list_objects(bucket, recursive=True, include_version=True)] == ["a/b/1"]
    for what in (
        lambda: store.get_object(bucket, "a/b/1"),
        lambda: store.put_object(bucket, "a/b/2", io.BytesIO(b"x"), 1),
        lambda: store.remove_object(bucket, "a/b/1"),
        lambda: store.make_bucket(f"{NAMES}-mine"),
    ):
        # SeaweedFS reads all accounts anew when tests beside this one add some, and lets a request through meanwhile.
        eventually(lambda what=what: _is_denied(what))
    admin.s3.remove_object(bucket, "a/b/1")


def _is_denied(what: Callable[[], object]) -> bool:
    try:
        what()
    except S3Error as error:
        return error.code == "AccessDenied"
    return False


def test_it_has_no_root_no_queue_and_no_key_but_its_own(alone: Provision) -> None:
    assert {path.name for path in (alone.run / "secrets" / READER).iterdir()} == {
        "mongo-password", "mongo-url", "reading.jwk", "s3-access-key", "s3-secret-key",
    }  # fmt: skip
    assert "FMN_ROOTS" not in alone.env[READER]


def test_it_answers_the_consent_service_alone(alone: Provision) -> None:
    body = a_body()
    assert ask(alone, token_of(alone, "consent"), body).status_code == 200
    for service in SERVICES:
        if service != "consent":
            assert ask(alone, token_of(alone, service), body).status_code == 403
    for wrong in (
        None,
        "",
        "a.b.c",
        token_of(alone, "consent", called="case"),
        token_of(alone, "consent", key="receipt.jwk"),
        token_of(alone, "consent", key="certificate.jwk"),
    ):
        assert ask(alone, wrong, body).status_code == 401
    assert ask(alone, token_of(alone, "consent"), body, "/v1/other").status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"no json", 400),
        (b"[" * 50_000, 400),
        (b"\xff\xfe", 400),
        (b"x" * (256 * 1024 + 1), 413),
        ([], 400),
        ({}, 400),
        ({"reading": "x", "of": []}, 400),
        ({**a_body(), "of": []}, 400),
        ({**a_body(), "of": "cases"}, 400),
        ({**a_body(), "reading": "' or 1"}, 400),
        (a_body("*"), 400),
        (a_body(".*"), 400),
        (a_body(new_id().upper()), 400),
        ({**a_body(), "of": [{"request": None, "case": new_id(), "receipts_sha256": digest_of([])}]}, 400),
        ({**a_body(), "of": [{"request": new_id(), "case": new_id()}]}, 400),
        ({**a_body(), "of": [{"request": new_id(), "case": new_id(), "receipts_sha256": "z" * 64}]}, 400),
        ({**a_body(), "of": [{"request": new_id(), "case": new_id(), "receipts_sha256": ["a" * 64]}]}, 400),
        (a_body(*(new_id() for _ in range(1_001))), 400),
    ],
)
def test_it_refuses_what_is_no_call_and_goes_on(alone: Provision, body: Any, status: int) -> None:
    assert ask(alone, token_of(alone, "consent"), body).status_code == status
    assert ask(alone, token_of(alone, "consent"), a_body()).status_code == 200


def test_it_says_of_each_case_what_it_found_and_signs_that_for_this_call(stack: Stack, alone: Provision) -> None:
    # Given two cases that a row names, one that a kept row names, and one that nothing names
    one, other, kept, gone = (new_id() for _ in range(4))
    keys = PublicKeys.load(alone.public_keys)
    with mongo.admin_client(stack.places, stack.ports) as client:
        client[f"{NAMES}_case"]["people"].insert_many([{"_id": n, "of": [one, other]} for n in range(3)])
        client[f"{NAMES}_case"]["gates"].insert_one({"_id": kept, "state": "closed"})
        client[f"{NAMES}_case"][f"copy_{one}"].insert_one({"_id": 1})
        body = a_body(one, other, kept, gone)
        answer = ask(alone, token_of(alone, "consent"), body).json()["readings"]
        said = [
            claims_of(jws, keys, at=utc_now(), expected={"reading": body["reading"], **asked})
            for jws, asked in zip(answer, body["of"], strict=True)
        ]
        client.drop_database(f"{NAMES}_case")
    assert [claims["leftovers"] for claims in said] == [
        {"case.people": 3, "case.<name-of-a-collection>": 1},
        {"case.people": 3},
        {},
        {},
    ]
    assert [claims["found"] for claims in said] == [2, 1, 0, 0]
    assert [claims["kept"] for claims in said] == [[], [], ["case.gates"], []]


def test_many_cases_are_found_as_few_are(stack: Stack, alone: Provision) -> None:
    cases = [new_id() for _ in range(300)]
    with mongo.admin_client(stack.places, stack.ports) as client, reader_of(alone) as reader:
        rows = [{"_id": new_id(), "case_id": case_id, "personal": os.urandom(200)} for case_id in cases[:250]]
        client[f"{NAMES}_case"]["people"].insert_many(rows)
        said = reader.read(new_id(), [an_asked(case_id) for case_id in cases])
        client.drop_database(f"{NAMES}_case")
    keys = PublicKeys.load(alone.public_keys)
    found = [claims_of(jws, keys, at=utc_now(), expected={})["found"] for jws in said]
    assert found == [1] * 250 + [0] * 50


def test_by_default_it_reads_databases_that_are_no_services_too(stack: Stack, alone: Provision) -> None:
    case_id, keys = new_id(), PublicKeys.load(alone.public_keys)
    asked = [an_asked(case_id)]
    with mongo.admin_client(stack.places, stack.ports) as client:
        client[f"elsewhere{NAMES}"]["rows"].insert_one({"_id": case_id})
        for only_own, found in (("off", 1), ("on", 0)):
            with reader_of(alone, FMN_ONLY_OWN=only_own) as reader:
                claims = claims_of(reader.read(new_id(), asked)[0], keys, at=utc_now(), expected={})
            assert claims["found"] == found
            # What it passes over it says
            assert ("databases of other installations" in claims["unread"]) is (only_own == "on")
        client.drop_database(f"elsewhere{NAMES}")


def test_while_a_server_is_away_it_says_nothing(alone: Provision) -> None:
    with reader_of(alone, FMN_S3_ENDPOINT="127.0.0.1:9") as reader, pytest.raises(HTTPError):
        reader.read(new_id(), [an_asked(new_id())])


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("FMN_SECRETS", "/nowhere", "can't be read"),
        ("FMN_PUBLIC_KEYS", "/nowhere", "FMN_PUBLIC_KEYS must be"),
        ("FMN_BIND", "8000", "FMN_BIND must be host:port"),
        ("FMN_ONLY_OWN", "perhaps", "FMN_ONLY_OWN must be on or off"),
    ],
)
def test_a_wrong_setting_is_one_sentence(alone: Provision, setting: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said), reader_of(alone, **{setting: value}):
        pass
