"""The certificate: what is signed when an erasure is done, and what makes one hold. Nothing in it is personal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from services.consent.model.requests import KEYS_STORE, Receipt, Request, kept_promise
from shared.events import SERVICES

CERTIFICATE_TYPE = "fmn-certificate"
LETTER_OUTCOMES = frozenset({"sent", "unknown", "undeliverable", "nobody"})

# Said on every certificate, because it is true of every erasure: what is not gone, who could read it, until when.
WHAT_REMAINS: tuple[Mapping[str, Any], ...] = (
    {
        "what": "tombstones, audit, receipts and ledger: ids, counts and times, nothing personal",
        "where": "the databases of the four services, and the ledger's copy",
        "readable": True,
        "gone_by": None,
    },
    {
        "what": "sealed records, and the wrapped keys that were deleted: nothing opens them, since the roots that they "
        "hung on were destroyed before the receipts were signed",
        "where": "the databases' operation log and journals, and copies of them made before the erasure",
        "readable": False,
        "gone_by": None,
    },
    {
        "what": "sealed file contents in blocks not yet reused: unreadable, their keys were sealed with the case",
        "where": "the object store's volumes, and backups made before the erasure",
        "readable": False,
        "gone_by": None,
    },
    {
        # Said of every erasure alike, because there may be one or none, and no other reader may know which (P15).
        "what": "a record of what was told to others because a person was at risk, if there ever was one",
        "where": "a store of its own, under keys of its own, for the safeguarding lead and data protection alone",
        "readable": True,
        "gone_by": None,
    },
    {
        "what": "letters and emails that were sent",
        "where": "with the people who received them, and in the mail relay's own log",
        "readable": True,
        "gone_by": None,
    },
)


def payload(request: Request, final: Mapping[str, Receipt], *, completed_at: datetime) -> dict[str, Any]:
    """The certificate's claims. final: the last clean receipt of every service, nothing late in any."""
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
        "what_remains": [dict(item) for item in WHAT_REMAINS],
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
        if receipt.get("outcome") not in ("erased", "nothing_held") or _remains(receipt.get("stores", ())):
            wrong.append(f"the receipt of {name} says that something remains")
        # Receipts of version 0.2 say nothing of roots.
        if _had_key(receipt.get("stores", ())) and receipt.get("root_destroyed_at", "before") is None:
            wrong.append(f"the receipt of {name} doesn't say that the root was destroyed which the case's key hung on")
        if receipt.get("late"):
            wrong.append(f"the receipt of {name} says that something is still late")
    if claims.get("last_letter") not in LETTER_OUTCOMES:
        wrong.append("it does not say how the last letter ended")
    return wrong


def _had_key(stores: Iterable[Mapping[str, Any]]) -> bool:
    return any(store.get("found") for store in stores if store.get("store") == KEYS_STORE)


def _remains(stores: Iterable[Mapping[str, Any]]) -> bool:
    return any(store.get("remaining") != 0 for store in stores)
