"""P24: an erasure isn't completed while the independent reader finds the case anywhere that nothing should be left."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import pytest
from bson import Binary

from deploy.local import objects
from deploy.ops.certificate import InvalidCertificate, check
from shared.clock import utc_now
from shared.erasure.readings import READING_TYPE
from shared.events import SERVICES
from shared.ids import new_id
from shared.security.signing import PublicKeys
from tests.helpers import eventually, kill, start
from tests.journeys.test_p24_forgotten import certificate_of
from tests.races.inside import Inside, an_inside
from tests.system import System

Row = dict[str, Any]
_PASSING = (".steps", ".outbox", ".deferred", ".trying")


@pytest.fixture(scope="module")
def inside(system: System) -> Iterator[Inside]:
    with an_inside(system) as opened:
        yield opened


@contextmanager
def a_row(inside: Inside, database: str, collection: str, row: Row) -> Iterator[None]:
    where = inside.mongo[f"{inside.names}_{database}"]
    is_new = collection not in where.list_collection_names()
    where[collection].insert_one(row)
    try:
        yield
    finally:
        where[collection].delete_one({"_id": row["_id"]})
        if is_new:
            where[collection].drop()


@contextmanager
def an_object(inside: Inside, key: str, *, hidden: bool = False, unfinished: bool = False) -> Iterator[None]:
    store = objects.admin(inside.system.stack.places, inside.system.stack.ports).s3
    bucket = f"{inside.names}-document"
    if unfinished:
        upload = store._create_multipart_upload(bucket, key, {})
    else:
        version = store.put_object(bucket, key, BytesIO(b"sealed"), 6).version_id
        marker = None
        if hidden:
            store.remove_object(bucket, key)
            listed = store.list_objects(bucket, key, include_version=True)
            marker = next(item.version_id for item in listed if item.is_delete_marker)
    try:
        yield
    finally:
        if unfinished:
            store._abort_multipart_upload(bucket, key, upload)
        else:
            store.remove_object(bucket, key, version_id=version)
            if marker is not None:
                store.remove_object(bucket, key, version_id=marker)


Plant = Callable[[Inside, str], Any]
#: How the case may be named where no register looks, and the services that the request then waits for.
PLANTED: dict[str, tuple[Plant, list[str]]] = {
    "a row of an unknown collection, deep in a list": (
        lambda i, c: a_row(i, "case", "copy_of_people", {"_id": new_id(), "kept": [{"about": {"of": f"x:{c}:y"}}]}),
        ["case"],
    ),
    "a row of which the case is a field's name": (
        lambda i, c: a_row(i, "document", "counts", {"_id": new_id(), "pages": {c: 3}}),
        ["document"],
    ),
    "a row whose id is the case, as bytes": (
        lambda i, c: a_row(i, "notifier", "drafts", {"_id": Binary(UUID(c).bytes, 4)}),
        ["notifier"],
    ),
    "a row of a collection that is called after a person": (
        lambda i, c: a_row(i, "case", "Jane Canary's file", {"_id": new_id(), "of": c}),
        ["case"],
    ),
    "a sealed row in a vault": (
        lambda i, c: a_row(i, "consent_vault", "spare_keys", {"_id": c, "wrapped": Binary(b"\0" * 48)}),
        ["consent"],
    ),
    "a sealed part in a collection that is kept": (
        lambda i, c: a_row(i, "notifier", "audit", {"_id": new_id(), "case_id": c, "personal": Binary(b"x" * 40)}),
        ["notifier"],
    ),
    "a row in a database of its own": (
        lambda i, c: a_row(i, "backup_of_monday", "rows", {"_id": new_id(), "text": f"{c.upper()}"}),
        list(SERVICES),
    ),
    "an object under another name": (lambda i, c: an_object(i, f"copies/{c}.pdf"), ["document"]),
    "an object under a delete marker": (lambda i, c: an_object(i, f"old/{c}/9", hidden=True), ["document"]),
    "an unfinished upload": (lambda i, c: an_object(i, f"old/{c}/9", unfinished=True), ["document"]),
}


def test_p24_a_case_of_which_nothing_is_left_is_certified_with_the_readers_word(system: System, inside: Inside) -> None:
    case_id = inside.a_family()
    request = system.an_erasure(case_id)["id"]
    system.confirm(request)
    inside.completes(request)
    # Then the certificate says so, and that word is the reader's own
    keys = PublicKeys.load(system.provided.public_keys)
    content = system.auditor.get(f"/requests/{request}/certificate").content
    claims = check(content, keys).claims
    assert claims["independent"]["found"] == 0
    read = _claims_of(claims["independent"]["reading"])
    assert (read["case"], read["request"], read["found"], read["leftovers"]) == (case_id, request, 0, {})
    # It read the services' databases and vaults, and what stays by design is named
    assert read["read"]["collections"] > 50
    assert read["read"]["buckets"] >= 1
    assert {f"{service}.gates" for service in SERVICES} | {"consent.receipts"} <= set(read["kept"])
    assert {"admin", "config", "local"} <= set(read["unread"])
    # It began after every receipt was signed, and no service can put its own word in its place
    assert all(read["at"] >= _claims_of(receipt)["signed_at"] for receipt in claims["receipts"])
    for forger in (inside.signer("consent", "certificate.jwk"), inside.signer("consent"), inside.signer("case")):
        forged = forger.sign(read, typ=READING_TYPE)
        anew = {**claims, "independent": {**claims["independent"], "reading": forged}}
        certificate = inside.signer("consent", "certificate.jwk").sign(anew, typ="fmn-certificate")
        with pytest.raises(InvalidCertificate, match="independent reading"):
            check(certificate.encode(), keys)


def _claims_of(jws: str) -> Row:
    return dict(jwt.decode(jws, options={"verify_signature": False}))


@pytest.mark.parametrize("what", PLANTED)
def test_p24_a_leftover_that_no_register_knows_holds_the_erasure_up(system: System, inside: Inside, what: str) -> None:
    plant, waits = PLANTED[what]
    case_id = inside.a_family()
    log = system.process("consent-worker").log
    with plant(inside, case_id):
        request = system.an_erasure(case_id)["id"]
        system.confirm(request)
        # When every receipt is there and clean, and the last letter has gone
        eventually(lambda: (inside.row("consent", "readings", _id=request) or {}).get("found"), what=what)
        assert system.waits_on(request) == waits
        # Then it isn't completed: there is no certificate, and an alarm that names the place
        assert not system.is_completed(request)
        assert system.auditor.get(f"/requests/{request}/certificate").status_code == 409
        row = inside.row("consent", "readings", _id=request)
        assert row is not None
        assert row["found"] == 1
        said = [json.loads(line) for line in log.read_text().splitlines() if request in line]
        [place] = {line["store"] for line in said if line["event"] == "erasure.leftover"}
        [found] = _claims_of(row["jws"])["leftovers"]
        assert place == ("<another-name>" if "Canary" in found else found)
        assert "Canary" not in log.read_text()
    # And once it is gone, it is completed by itself
    inside.completes(request)
    assert certificate_of(system, request)["independent"]["found"] == 0
    assert system.waits_on(request) == []


def test_p24_while_the_reader_is_away_an_erasure_waits_and_then_goes_on(system: System, inside: Inside) -> None:
    case_id = inside.a_family()
    reader, log = system.process("reader"), system.process("consent-worker").log
    kill([reader])
    try:
        request = system.an_erasure(case_id)["id"]
        # It is due within the hour
        inside.change("consent", "requests", {"_id": request}, due_at=utc_now() + timedelta(hours=1))
        system.confirm(request)
        eventually(lambda: system.waits_on(request) == list(SERVICES) and inside.phase(request) == "verified")
        eventually(lambda: '"erasure.not_read"' in log.read_text())
        assert not system.is_completed(request)
    finally:
        start([reader])
    inside.completes(request)
    assert certificate_of(system, request)["independent"]["found"] == 0


def test_p24_what_a_wrong_clock_wrote_does_not_hold_the_erasure_up(system: System, inside: Inside) -> None:
    # Given an erasure that waits for the reader, asked for by a process whose clock was an hour ahead
    case_id, reader = inside.a_family(), system.process("reader")
    kill([reader])
    try:
        request = system.an_erasure(case_id)["id"]
        system.confirm(request)
        eventually(lambda: system.waits_on(request) == list(SERVICES) and inside.phase(request) == "verified")
        ahead = utc_now() + timedelta(hours=1)
        inside.change("consent", "readings", {"_id": request}, since=ahead, next_at=ahead)
        inside.change("consent", "receipts", {"request": request}, at=ahead)
    finally:
        start([reader])
    # When the reader is back, Then it doesn't wait for that hour
    inside.completes(request)


def test_p24_a_root_that_cannot_be_destroyed_holds_the_erasure_up(system: System, inside: Inside) -> None:
    case_id = inside.a_family()
    place = Path(system.provided.env["case"]["FMN_ROOTS"].split(",")[1])
    log, away = system.process("case-worker").log, place.with_name(f"{place.name}.away")
    before = log.read_text().count('"kind": "rotate_keys"')
    place.rename(away)
    try:
        request = system.an_erasure(case_id)["id"]
        system.confirm(request)
        # When the case service has deleted everything, and can't destroy the root that the case's key hung on
        eventually(lambda: (inside.row("case", "erasures", _id=request) or {}).get("walked"))
        eventually(lambda: system.waits_on(request) == ["case"])
        # Then it signs no receipt, and there is an alarm
        eventually(lambda: log.read_text().count('"kind": "rotate_keys"') > before)
        assert "case" not in {receipt["service"] for receipt in inside.receipts(request)}
        assert not system.is_completed(request)
    finally:
        away.rename(place)
    inside.completes(request)
    assert inside.left_of(case_id) == []


def test_p24_a_forged_reading_completes_nothing(system: System, inside: Inside) -> None:
    """What a service could write into its own database isn't the reader's word."""
    case_id = inside.a_family()
    with a_row(inside, "case", "copy_of_people", {"_id": new_id(), "of": case_id}):
        request = system.an_erasure(case_id)["id"]
        system.confirm(request)
        eventually(lambda: (inside.row("consent", "readings", _id=request) or {}).get("found") == 1)
        row = inside.row("consent", "readings", _id=request)
        assert row is not None
        said = {**_claims_of(row["jws"]), "found": 0, "leftovers": {}}
        forged = inside.signer("consent", "receipt.jwk").sign(said, typ=READING_TYPE)
        inside.change("consent", "readings", {"_id": request}, found=0, jws=forged)
        _run_complete_step(inside, request, case_id)
        assert not system.is_completed(request)
        inside.change("consent", "readings", {"_id": request}, found=1, jws=row["jws"], next_at=utc_now())
    inside.completes(request)


def _run_complete_step(inside: Inside, request: str, case_id: str) -> None:
    """Ask for the step as the service does, and wait until it was tried and has failed."""
    runtime = inside.runtime("consent")
    runtime.unit_of_work.run(lambda tx: runtime.steps.add(tx, "complete", request, case_id))
    tried = {"_id": f"complete:{request}", "attempts": {"$gt": 0}}
    eventually(lambda: inside.mongo[f"{inside.names}_consent"]["steps"].find_one(tried))


def test_p24_workers_and_reader_killed_while_it_reads(system: System, inside: Inside) -> None:
    cases = [inside.a_family() for _ in range(2)]
    requests = [system.an_erasure(case_id)["id"] for case_id in cases]
    victims = [system.process("reader"), *inside.workers("consent")]
    try:
        for request in requests:
            system.confirm(request)
            eventually(lambda request=request: inside.row("consent", "readings", _id=request), look_every=0.001)
            kill(victims)
            start(victims)
    finally:
        start(victims)
    for case_id, request in zip(cases, requests, strict=True):
        inside.completes(request)
        assert certificate_of(system, request)["independent"]["found"] == 0
        assert inside.left_of(case_id) == []


def test_nothing_is_said_of_what_stands_apart_because_a_person_was_at_risk(system: System, inside: Inside) -> None:
    """P15: a certificate is the same with and without such a record."""
    read = []
    for there_is_one in (True, False):
        case_id = inside.a_family()
        if there_is_one:
            worry = {"recipient": "the duty desk", "what": "a bruise", "basis": "safeguarding"}
            assert system.caseworker.post(f"/cases/{case_id}/disclosures", worry).status_code in (201, 202)
        request = system.an_erasure(case_id)["id"]
        system.confirm(request)
        inside.completes(request)
        read.append(_claims_of(certificate_of(system, request)["independent"]["reading"]))
    # Messages and steps that are just being worked come and go.
    with_it, without = ({place for place in one["kept"] if not place.endswith(_PASSING)} for one in read)
    assert with_it == without
    assert [one["leftovers"] for one in read] == [{}, {}]
