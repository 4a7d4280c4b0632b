"""The certificate: what is signed when an erasure is done, and what makes one hold. Nothing in it is personal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from services.consent.model.remains import what_remains
from services.consent.model.requests import Receipt, Request, kept_promise
from shared.erasure.manifest import CASE_KEYS
from shared.events import SERVICES

CERTIFICATE_TYPE = "fmn-certificate"
LETTER_OUTCOMES = frozenset({"sent", "unknown", "undeliverable", "nobody"})


def payload(
    request: Request,
    final: Mapping[str, Receipt],
    *,
    independent: Mapping[str, Any],
    backups_gone_by: datetime | None,
    completed_at: datetime,
    organisations_gone_by: datetime | None = None,
) -> dict[str, Any]:
    """The certificate's claims. final: the last clean receipt of every service, nothing late in any. independent: {at,
    found, reading}, when the independent reader began, how many places it found, and its signed word. backups_gone_by,
    organisations_gone_by: see `what_remains`.
    """
    paper = [dict(item) for item in final["document"].paper]
    # What an earlier request had already found missing is told again, but is no broken promise of this one.
    since = [item for item in paper if item["at"] >= request.received_at]
    return {
        "request": request.id,
        "case": request.case_id,
        "received_at": request.received_at.isoformat(),
        "due_at": request.due_at.isoformat(),
        "completed_at": completed_at.isoformat(),
        "kept_promise": kept_promise(completed_at=completed_at, due_at=request.due_at, paper=since),
        "receipts": [final[service].jws for service in SERVICES],
        "paper": [{**item, "at": item["at"].isoformat()} for item in paper],
        "last_letter": final["notifier"].last_letter,
        "independent": dict(independent),
        "what_remains": what_remains(
            request, final, backups_gone_by=backups_gone_by, organisations_gone_by=organisations_gone_by
        ),
    }


def faults(claims: Mapping[str, Any], receipts: Sequence[Mapping[str, Any]]) -> list[str]:
    """What keeps a certificate from holding, as sentences; empty when it holds.

    receipts: the claims of its receipts, each already known to be signed by the service it names.
    """
    wrong = []
    missing = set(SERVICES) - {str(receipt.get("service")) for receipt in receipts}
    if missing:
        wrong.append(f"there is no receipt of {', '.join(sorted(missing))}")
    for receipt in receipts:
        name = str(receipt.get("service"))
        if receipt.get("request") != claims.get("request") or receipt.get("case") != claims.get("case"):
            wrong.append(f"the receipt of {name} is about another request or case")
        if not receipt.get("stores"):
            wrong.append(f"the receipt of {name} doesn't say which stores it read")
        if receipt.get("outcome") not in ("erased", "nothing_held") or _remains(receipt.get("stores", ())):
            wrong.append(f"the receipt of {name} says that something remains")
        if receipt.get("outcome") == "nothing_held" and any(store.get("found") for store in receipt.get("stores", ())):
            wrong.append(f"the receipt of {name} says that it held nothing, and what it found")
        # Receipts of version 0.2 say nothing of roots.
        if _had_key(receipt.get("stores", ())) and receipt.get("root_destroyed_at", "before") is None:
            wrong.append(f"the receipt of {name} doesn't say that the root was destroyed which the case's key hung on")
        if receipt.get("late"):
            wrong.append(f"the receipt of {name} says that something is still late")
    if claims.get("last_letter") not in LETTER_OUTCOMES:
        wrong.append("it does not say how the last letter ended")
    if "independent" not in claims and any("root_destroyed_at" in receipt for receipt in receipts):
        wrong.append("no independent reader looked, though its receipts are of a version that has one")
    return wrong


def _had_key(stores: Iterable[Mapping[str, Any]]) -> bool:
    return any(store.get("found") for store in stores if store.get("store") == CASE_KEYS)


def _remains(stores: Iterable[Mapping[str, Any]]) -> bool:
    return any(store.get("remaining") != 0 for store in stores)
