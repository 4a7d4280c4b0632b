"""Receipts: only the right one counts, and one that says something remains is followed by a new attempt (P24)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import jwt
import pytest

from services.consent import consumer
from services.consent.context import Context
from shared.clock import utc_now
from shared.erasure.participant import RECEIPT_TYPE
from shared.events import SERVICES, Event, erasure, write
from shared.ids import new_id
from shared.messaging.deliveries import Delivery
from shared.messaging.inbox import Inbox
from shared.security.signing import PublicKeys, Signer, make_key
from tests.helpers import eventually, soon, stores_listed
from tests.races.inside import Inside, an_inside
from tests.system import System


@pytest.fixture(scope="module")
def inside(system: System) -> Iterator[Inside]:
    with an_inside(system) as opened:
        yield opened


def claims(about: str, of: str, **changed: Any) -> dict[str, Any]:
    """What the case service's receipt would say for this request and case."""
    return {
        "iss": "case",
        "service": "case",
        "request": about,
        "case": of,
        "attempt": 1,
        "outcome": "erased",
        "stores": stores_listed("case"),
        "late": [],
        "signed_at": utc_now().isoformat(),
        **changed,
    }


def _answer(request: str, case_id: str, receipt: str, **changed: Any) -> dict[str, Any]:
    return {"request": request, "case": case_id, "service": "case", "attempt": 1, "receipt": receipt, **changed}


def test_p24_only_the_right_receipt_counts(system: System, inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an erasure that waits for the case service alone, whose worker is away
    case_id, other_case = inside.a_family(), inside.a_family()
    other_request = system.an_erasure(other_case)["id"]
    request = system.an_erasure(case_id)["id"]
    signer = inside.signer("case")
    with inside.stopped("case"):
        system.confirm(request)
        eventually(lambda: system.waits_on(request) == ["case"])

        def signed(by: Signer | None = None, *, typ: str = RECEIPT_TYPE, **changed: Any) -> str:
            said = {k: v for k, v in claims(request, case_id, **changed).items() if v is not None}
            return (by or signer).sign(said, typ=typ)

        right = signed()
        head, body, signature = right.split(".")
        changed_byte = ".".join([head, body[:-4] + ("AAAA" if body[-4:] != "AAAA" else "BBBB"), signature])
        header = {"kid": signer.kid, "typ": RECEIPT_TYPE}
        unsigned = jwt.encode(claims(request, case_id), None, "none", headers=header) + "AA"
        stranger = Signer(make_key("case", "receipt", utc_now())[0])
        wrong = {
            "of an earlier attempt": (signed(attempt=0), "receipt-of-an-old-attempt"),
            "of an attempt nobody asked for": (signed(attempt=2), "receipt-of-an-old-attempt"),
            "of another case": (signed(case=other_case), "receipt-of-another"),
            "of another request": (signed(request=other_request), "receipt-of-another"),
            "in another's name": (signed(iss="document"), "receipt-of-another"),
            "for another service": (signed(service="document"), "receipt-of-another"),
            "signed by another service": (signed(inside.signer("document")), "receipt-wrong-service"),
            "signed by the token key": (signed(inside.signer("case", "token.jwk")), "receipt-wrong-use"),
            "signed by a stranger": (signed(stranger), "receipt-unknown-key"),
            "of another type": (signed(typ="JWT"), "receipt-type"),
            "with a changed byte": (changed_byte, "receipt-signature"),
            "that is none": ("a.b.c", "receipt-malformed"),
            "unsigned": (unsigned, "receipt-algorithm"),
            "without its stores": (signed(stores=None), "receipt-wrong-shape"),
            "with stores that are none": (signed(stores="none at all"), "receipt-wrong-shape"),
            "without a time": (signed(signed_at="yesterday"), "receipt-wrong-shape"),
        }
        # When each is published as the case service's own account would
        sent = {name: _say(inside, request, case_id, jws) for name, (jws, _) in wrong.items()}
        # Then each is parked, and says why
        for name, id in sent.items():
            row = eventually(lambda id=id: inside.row("consent", "parked", _id=id))
            assert row["reason"] == wrong[name][1], name
        # And what comes from nobody, or from somebody who only says to be the case service, is refused whatever it is
        before = len(inside.parked("consent", None))
        from_nobody, from_document = _event(request, case_id, right), _event(request, case_id, right)
        inside.publish_as_nobody("erasure.receipt.v1.case", write(from_nobody))
        inside.publish("document", from_document.id, "erasure.receipt.v1.document", write(from_document))
        eventually(lambda: len(inside.parked("consent", None)) == before + 2)
        assert inside.parked("consent", None)[-2:] == ["forged-sender"] * 2
        # And one outside its key's validity, which only a service with that key installed can see
        assert _refusal(system, inside, monkeypatch, request, case_id) == "receipt-key-validity"
        assert system.waits_on(request) == ["case"]
        assert {r["service"] for r in inside.receipts(request)} == set(SERVICES) - {"case"}
        assert system.auditor.get(f"/requests/{request}/certificate").status_code == 409
    # The right one completes it
    inside.completes(request)
    assert system.waits_on(other_request) == ["confirmation"]
    # And one that comes again changes nothing
    last = next(r["jws"] for r in inside.receipts(request) if r["service"] == "case")
    id = _say(inside, request, case_id, last)
    eventually(lambda: inside.has_settled("consent", id))
    assert len(inside.receipts(request)) == len(SERVICES) + 1


def _event(request: str, case_id: str, receipt: str) -> Event:
    data = _answer(request, case_id, receipt)
    return Event(id=new_id(), type=erasure.RECEIPT, source="case", time=utc_now(), seq=1, data=data)


def _say(inside: Inside, request: str, case_id: str, receipt: str) -> str:
    event = _event(request, case_id, receipt)
    inside.publish("case", event.id, event.routing_key, write(event))
    return event.id


def _refusal(system: System, inside: Inside, monkeypatch: pytest.MonkeyPatch, request: str, case_id: str) -> str:
    """Why the consent service's own inbox, with a key installed that has run out, parks what that key signed."""
    private, public = make_key("case", "receipt", utc_now() - timedelta(days=3), valid_for=timedelta(days=2))
    installed = json.loads(system.provided.public_keys.read_text())["keys"]
    opened = inside.opened("consent", monkeypatch)
    context: Context = replace(opened.context, public_keys=PublicKeys([*installed, public]))
    takes = {erasure.RECEIPT.type: partial(consumer.receipt_sent, context)}
    inbox = Inbox(opened.runtime.register, takes, keys=opened.runtime.keys, names=system.provided.prefix)
    event = _event(request, case_id, Signer(private).sign(claims(request, case_id), typ=RECEIPT_TYPE))
    delivery = Delivery(
        body=write(event),
        user_id=f"{system.provided.prefix}-case",
        message_id=event.id,
        delivery_count=0,
        routing_key=event.routing_key,
    )
    inbox.handle([delivery])
    row = inside.row("consent", "parked", _id=event.id)
    assert row is not None
    return str(row["reason"])


def test_p24_a_service_that_finds_something_left_is_asked_for_a_new_attempt(system: System, inside: Inside) -> None:
    """Somebody who goes round the gate writes between the deletion and the read-back."""
    case_id = inside.a_family()
    request = system.an_erasure(case_id)["id"]
    system.confirm(request)
    soon(lambda: inside.phase(request) == "begun")
    # The case key goes last of all; while it can't, the walk stands between the two.
    with inside.locked(("case_vault", "keys", {"_id": case_id})):
        soon(lambda: inside.rows("case", "people", case_id=case_id) == [])
        row = {"_id": new_id(), "case_id": case_id, "version": 1, "personal": b"x"}
        inside.mongo[f"{inside.names}_case"]["people"].insert_one(row)
    failed = eventually(lambda: [r for r in inside.receipts(request) if r["outcome"] == "failed"])
    assert failed[0]["service"] == "case"
    assert any(store["remaining"] for store in failed[0]["stores"])
    assert "case" in system.waits_on(request)
    inside.completes(request)
    last = [r for r in inside.receipts(request) if r["service"] == "case"][-1]
    assert (last["attempt"], last["outcome"]) == (2, "erased")
    assert all(store["remaining"] == 0 for store in last["stores"])
    assert inside.left_of(case_id) == []
    # The failed one, said again, is one of an old attempt
    id = _say(inside, request, case_id, failed[0]["jws"])
    eventually(lambda: inside.has_settled("consent", id))
    row = inside.row("consent", "parked", _id=id)
    assert row is not None
    assert row["reason"] == "receipt-of-an-old-attempt"


def test_p29_a_second_receipt_that_finds_something_is_followed_by_a_new_attempt(system: System, inside: Inside) -> None:
    """A record that got there while paper was waited for: the second reading-back finds it, and it goes too."""
    case_id = inside.a_family()
    paper = system.caseworker.made(f"/cases/{case_id}/paper-files", {"location": "cabinet 3", "description": "green"})
    request = system.an_erasure(case_id)["id"]
    system.confirm(request)
    eventually(lambda: system.waits_on(request) == ["paper"])
    row = {"_id": new_id(), "case_id": case_id, "version": 1, "personal": b"x"}
    inside.mongo[f"{inside.names}_document"]["documents"].insert_one(row)
    shredded = {"method": "shredded", "by": "Ola", "witnessed_by": "Priya"}
    assert system.caseworker.post(f"/paper-files/{paper['id']}/disposal", shredded).status_code in (200, 201)
    eventually(lambda: [r for r in inside.receipts(request) if r["outcome"] == "failed"])
    inside.completes(request)
    documents = [
        (r["attempt"], r["outcome"], r["late"]) for r in inside.receipts(request) if r["service"] == "document"
    ]
    assert documents == [(1, "erased", ["papers_to_certify"]), (1, "failed", []), (2, "erased", [])]
    assert inside.left_of(case_id) == []


def test_p24_a_receipt_that_leaves_out_a_store_completes_nothing(system: System, inside: Inside) -> None:
    case_id = inside.a_family()
    request = system.an_erasure(case_id)["id"]
    log = system.process("consent-worker").log
    whole = stores_listed("case")
    newer = {"store": "a_newer_store", "found": 0, "deleted": 0, "remaining": 0}
    with inside.stopped("case"):
        system.confirm(request)
        eventually(lambda: system.waits_on(request) == ["case"])
        # When it lists none, or lacks one, or names one that this version doesn't know
        for outcome, stores in (("nothing_held", []), ("erased", whole[1:]), ("nothing_held", [*whole, newer])):
            row = inside.row("consent", "requests", _id=request)
            assert row is not None
            attempt = row["attempts"]["case"]
            said = claims(request, case_id, attempt=attempt, outcome=outcome, stores=stores)
            jws = inside.signer("case").sign(said, typ=RECEIPT_TYPE)
            event = replace(_event(request, case_id, jws), data=_answer(request, case_id, jws, attempt=attempt))
            inside.publish("case", event.id, event.routing_key, write(event))
            # Then it is kept, and its service is asked for a new attempt
            eventually(lambda event=event: inside.has_settled("consent", event.id))
            eventually(lambda n=attempt: inside.rows("consent", "requests", _id=request)[0]["attempts"]["case"] > n)
            assert system.waits_on(request) == ["case"]
        lines = [line for line in log.read_text().splitlines() if request in line]
        assert sum('"receipt.not_clean"' in line and '"reason": "stores"' in line for line in lines) == 3
        assert any('"missing"' in line for line in lines)
        assert any('"unknown"' in line and '"a_newer_store"' in line for line in lines)
    inside.completes(request)


def test_receipts_that_come_in_another_order_count_in_the_order_they_were_signed(
    system: System, inside: Inside
) -> None:
    case_id = inside.a_family()
    request = system.an_erasure(case_id)["id"]
    with inside.stopped("case"):
        system.confirm(request)
        eventually(lambda: system.waits_on(request) == ["case"])
        early = utc_now()
        second = claims(request, case_id, signed_at=(early + timedelta(minutes=2)).isoformat())
        first = claims(request, case_id, signed_at=early.isoformat(), late=["people"])
        for said in (second, first):
            id = _say(inside, request, case_id, inside.signer("case").sign(said, typ=RECEIPT_TYPE))
            eventually(lambda id=id: inside.has_settled("consent", id))
        # It goes on to the independent reader, which sees that the case service has erased nothing yet
        eventually(lambda: (inside.row("consent", "readings", _id=request) or {}).get("found"))
        assert not system.is_completed(request)
    inside.completes(request)
    eventually(lambda: inside.gate("case", case_id) == "closed")
