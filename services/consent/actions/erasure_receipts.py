"""Answers to the saga: the last letter sealed, receipts checked and kept, and at the end the certificate."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from prometheus_client import Counter

from services.consent.actions import organisations, readings
from services.consent.actions.backups import backups_gone_by
from services.consent.actions.saga import advance, retry_soon
from services.consent.context import Context
from services.consent.model.certificates import CERTIFICATE_TYPE, payload
from services.consent.model.requests import Move, Phase, Receipt, Request, Status, latest, next_move, request_key
from services.consent.store import Stores, queries
from shared import events
from shared.db.unit_of_work import Tx
from shared.erasure.manifest import differences
from shared.erasure.participant import RECEIPT_TYPE
from shared.erasure.readings import claims_of
from shared.errors import Permanent
from shared.fields import misfits
from shared.ids import new_id
from shared.ledger import ERASURE
from shared.messaging.steps import StepRow
from shared.ops.logs import log
from shared.security.signing import BadSignature, PublicKeys, verify

_NOT_CLEAN = Counter("fmn_receipts_not_clean", "Receipts after which an erasure can't go on", ["participant", "reason"])


def letter_sealed(stores: Stores, tx: Tx, *, request_id: str, case_id: str, outcome: str) -> None:
    """The notifier has sealed the last letter, or knows no person to write to."""
    request = stores.requests.get(request_id, case_id=case_id, tx=tx)
    if request is None:
        raise Permanent("letter-of-no-request")
    tx.gates.touch(tx.session, case_id)
    # An answer to what was withdrawn, settled or answered before changes nothing.
    if request.is_open_erasure and request.phase is Phase.PREPARING and request.letter is None:
        advance(stores, tx, stores.requests.save(replace(request, letter=outcome), tx=tx))


def take_receipt(
    stores: Stores, tx: Tx, keys: PublicKeys, *, event: events.Event, request_id: str, service: str, jws: str
) -> None:
    """Check a receipt and keep it; what waited for it goes on.

    Raises Permanent for one that is not that service's, for another request or case, or for an old attempt: it is
    parked, and nothing counts it.
    """
    request = stores.requests.get(request_id, case_id=event.case, tx=tx)
    if request is None or event.source != service:
        raise Permanent("receipt-of-no-request")
    tx.gates.touch(tx.session, request.case_id)
    receipt = _checked(stores, keys, request, service, jws, tx.now)
    if stores.receipts.exists({"request": request_id, "jws": jws}, tx=tx):
        return
    stores.receipts.add(receipt, tx=tx)
    if receipt.fault is not None:
        _raise_alarm(receipt, receipt.fault)
        retry_soon(stores, tx, request)
    advance(stores, tx, request)


def _raise_alarm(receipt: Receipt, reason: str) -> None:
    _NOT_CLEAN.labels(receipt.service, reason).inc()
    about = {"request": receipt.request, "server": receipt.service, "attempt": receipt.attempt}
    log.error("receipt.not_clean", reason=reason, **about)
    missing, unknown = differences(receipt.service, (one["store"] for one in receipt.stores))
    for how, names in (("missing", missing), ("unknown", unknown)):
        for name in names:
            log.error("receipt.store_differs", store=name, state=how, **about)


def _checked(stores: Stores, keys: PublicKeys, request: Request, service: str, jws: str, now: datetime) -> Receipt:
    """The receipt, once everything about its claims is right."""
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
        said = {
            "request": request.id,
            "service": service,
            "attempt": claims["attempt"],
            "outcome": claims["outcome"],
            "stores": claims["stores"],
            "late": claims["late"],
            # A receipt of version 0.2 says neither. It is kept, and its service asked again.
            "root_generation": claims.get("root_generation"),
            "root_destroyed_at": _moment(claims.get("root_destroyed_at")),
            "signed_at": datetime.fromisoformat(claims["signed_at"]),
            "jws": jws,
            "last_letter": claims.get("last_letter"),
            "paper": [{**p, "at": datetime.fromisoformat(p["at"])} for p in claims.get("paper", [])],
            "at": now,
        }
    except (KeyError, TypeError, ValueError) as error:
        raise Permanent("receipt-wrong-shape") from error
    if misfits(stores.receipts.clear, said):
        raise Permanent("receipt-wrong-shape")
    # A check of the certificate asks whether the key was valid when it signed.
    _claims(keys, service, jws, said["signed_at"])
    return Receipt(id=new_id(), case_id=request.case_id, **said)


def _moment(said: str | None) -> datetime | None:
    return None if said is None else datetime.fromisoformat(said)


def _claims(keys: PublicKeys, service: str, jws: str, at: datetime) -> dict[str, Any]:
    """What this service's key says, if it was valid at that time."""
    try:
        return verify(jws, keys, use="receipt", service=service, typ=RECEIPT_TYPE, at=at)
    except BadSignature as error:
        raise Permanent(f"receipt-{error.reason}") from error


def complete_step(context: Context, step: StepRow) -> None:
    """Sign the certificate, write the ledger entry, and only then say completed (step 6)."""
    stores = context.stores
    request = stores.unit_of_work.run(lambda tx: _certified(context, tx, step.key))
    if request is None or request.completed_at is None:
        return
    context.ledger.append(
        kind=ERASURE, about=request.id, case_id=request.case_id, at=request.completed_at, now=step.now
    )

    _say_completed(stores, request, step)


def _say_completed(stores: Stores, request: Request, step: StepRow) -> None:
    def act(tx: Tx) -> None:
        found = stores.requests.get(request.id, tx=tx)
        if found is None or found.status is Status.COMPLETED:
            return
        if stores.keys.doom(tx, request_key(found.id), then=(step.kind, step.key, step.case_id)):
            return
        stores.requests.strip(replace(found, status=Status.COMPLETED, phase=Phase.DONE), tx=tx)
        tx.emit(events.consent.COMPLETED, {"request": found.id, "case": found.case_id})

    stores.unit_of_work.run(act)


def _certified(context: Context, tx: Tx, request_id: str) -> Request | None:
    """The request with its certificate, signed once; None when something still stands in the way.

    Raises BadReading where the stored reading isn't the reader's word of this case, that nothing was found.
    """
    stores = context.stores
    request = stores.requests.get(request_id, tx=tx)
    if request is None or request.certificate is not None:
        return request
    receipts = queries.receipts_of(stores, request_id, tx=tx)
    if next_move(request, receipts, held=False) is not Move.COMPLETE:
        return None
    tx.gates.touch(tx.session, request.case_id)
    reading, digest = stores.readings.get(request.id, tx=tx), readings.digest_that_counts(request, receipts)
    if reading is None or reading.jws is None or not reading.covers(digest):
        readings.ask(stores, tx, request, receipts)
        return None
    expected = {"request": request.id, "case": request.case_id, "receipts_sha256": digest, "found": 0}
    read_at = datetime.fromisoformat(claims_of(reading.jws, context.public_keys, at=tx.now, expected=expected)["at"])
    final = latest(request, receipts)
    # No certificate is older than what it certifies, though the clock of a service may be ahead of this one's.
    completed_at = max(tx.now, read_at, *(receipt.signed_at for receipt in final.values()))
    independent = {"at": read_at.isoformat(), "found": 0, "reading": reading.jws}
    claims = payload(
        request,
        final,
        independent=independent,
        backups_gone_by=backups_gone_by(context),
        completed_at=completed_at,
        organisations_gone_by=organisations.gone_by(stores, tx),
    )
    certificate = context.certificate_signer.sign(claims, typ=CERTIFICATE_TYPE)
    return stores.requests.save(replace(request, certificate=certificate, completed_at=completed_at), tx=tx)
