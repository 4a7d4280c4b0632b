"""Answers to the saga: the last letter sealed, receipts checked and kept, and at the end the certificate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from services.consent.actions.requests import request_key
from services.consent.actions.saga import advance, after_a_failure
from services.consent.model.certificates import CERTIFICATE_TYPE, payload
from services.consent.model.requests import Phase, Request, Status, latest, waiting_on
from services.consent.store import Stores
from shared import events
from shared.db.unit_of_work import Tx
from shared.erasure.participant import RECEIPT_TYPE
from shared.errors import Permanent
from shared.fields import misfits
from shared.ids import new_id
from shared.security.signing import BadSignature, PublicKeys, verify


class Signs(Protocol):
    def sign(self, claims: Mapping[str, Any], *, typ: str) -> str: ...


class Appends(Protocol):
    def append(self, *, kind: str, about: str, case_id: str, at: datetime) -> None: ...


def letter_sealed(stores: Stores, tx: Tx, *, request_id: str, case_id: str, outcome: str) -> None:
    """The notifier has sealed the last letter, or has nobody to write to."""
    request = stores.request(request_id, tx)
    if request is None or request.case_id != case_id:
        raise Permanent("letter-of-no-request")
    tx.gates.touch(tx.session, case_id)
    # An answer to what was withdrawn, settled or answered before changes nothing.
    if request.stands and request.phase is Phase.PREPARING and request.letter is None:
        advance(stores, tx, stores.change_request(tx, request, replace(request, letter=outcome)))


def take_receipt(
    stores: Stores, tx: Tx, keys: PublicKeys, *, event: events.Event, request_id: str, service: str, jws: str
) -> None:
    """Check a receipt and keep it; what waited for it goes on.

    Raises Permanent for one that is not that service's, for another request or case, or for an old attempt: it is
    parked, and nothing counts it.
    """
    request = stores.request(request_id, tx)
    if request is None or request.case_id != event.case or event.source != service:
        raise Permanent("receipt-of-no-request")
    tx.gates.touch(tx.session, request.case_id)
    row = _checked(stores, keys, request, service, jws, tx.now)
    if stores.receipts.rows.find_one({"request": request_id, "jws": jws}, session=tx.session) is not None:
        return
    stores.receipts.insert({"_id": new_id(), **row, "at": tx.now}, session=tx.session)
    kept = [receipt for receipt in stores.receipts_of(request_id, tx) if receipt.jws == jws]
    if not kept[0].clean:
        after_a_failure(stores, tx, request)
    advance(stores, tx, request)


def _checked(
    stores: Stores, keys: PublicKeys, request: Request, service: str, jws: str, now: datetime
) -> dict[str, Any]:
    """The receipt's claims as a row, once everything about it is right."""
    claims = _claims(keys, service, jws, now)
    same = (
        claims.get("iss") == claims.get("service") == service
        and claims.get("request") == request.id
        and claims.get("case") == request.case_id
    )
    if not same:
        raise Permanent("receipt-of-another")
    if claims.get("attempt") != request.attempts.get(service):
        raise Permanent("receipt-of-an-old-attempt")
    try:
        row = {
            "request": request.id,
            "case_id": request.case_id,
            "service": service,
            "attempt": claims["attempt"],
            "outcome": claims["outcome"],
            "stores": claims["stores"],
            "late": claims["late"],
            "signed_at": datetime.fromisoformat(claims["signed_at"]),
            "jws": jws,
            "last_letter": claims.get("last_letter"),
            "paper": [{**p, "at": datetime.fromisoformat(p["at"])} for p in claims.get("paper", [])],
        }
    except (KeyError, TypeError, ValueError) as error:
        raise Permanent("receipt-wrong-shape") from error
    if misfits(stores.receipts.clear, {**row, "at": now}):
        raise Permanent("receipt-wrong-shape")
    # Whoever checks the certificate asks whether the key was valid when it signed.
    _claims(keys, service, jws, row["signed_at"])
    return row


def _claims(keys: PublicKeys, service: str, jws: str, at: datetime) -> dict[str, Any]:
    """What this service's key says, if it was valid at that time."""
    try:
        return verify(jws, keys, use="receipt", service=service, typ=RECEIPT_TYPE, at=at)
    except BadSignature as error:
        raise Permanent(f"receipt-{error.reason}") from error


def complete(stores: Stores, signer: Signs, ledger: Appends, *, request_id: str) -> None:
    """Sign the certificate, write the ledger entry, and only then say completed (step 6)."""
    request = stores.unit_of_work.run(lambda tx: _certified(stores, tx, signer, request_id))
    if request is None or request.completed_at is None:
        return
    ledger.append(kind="erasure", about=request.id, case_id=request.case_id, at=request.completed_at)

    def act(tx: Tx) -> None:
        found = stores.request(request_id, tx)
        if found is None or found.status is Status.COMPLETED:
            return
        done = replace(found, status=Status.COMPLETED, phase=Phase.DONE)
        stores.change_request(tx, found, done)
        stores.requests.strip(tx, request_id)
        tx.emit(events.consent.COMPLETED, {"request": found.id, "case": found.case_id})

    stores.unit_of_work.run(act)
    stores.vault.destroy_key(request_key(request_id))


def _certified(stores: Stores, tx: Tx, signer: Signs, request_id: str) -> Request | None:
    """The request with its certificate, signed once; None when something still stands in the way."""
    request = stores.request(request_id, tx)
    if request is None or request.certificate is not None:
        return request
    receipts = stores.receipts_of(request_id, tx)
    still = waiting_on(request, receipts, held=False)
    if not request.stands or request.phase is not Phase.VERIFIED or still:
        return None
    tx.gates.touch(tx.session, request.case_id)
    final = latest(request, receipts)
    # No certificate is older than what it certifies, though the clock of a service may be ahead of this one's.
    completed_at = max(tx.now, *(receipt.signed_at for receipt in final.values()))
    certificate = signer.sign(payload(request, final, completed_at=completed_at), typ=CERTIFICATE_TYPE)
    return stores.change_request(tx, request, replace(request, certificate=certificate, completed_at=completed_at))


def enter_in_ledger(stores: Stores, ledger: Appends, *, key: str, case_id: str, now: datetime) -> None:
    """Write a withdrawal, or the end of a shell, in the ledger. key: `<kind>:<id>`."""
    kind, _, about = key.partition(":")
    ledger.append(kind=kind, about=about, case_id=case_id, at=now)
