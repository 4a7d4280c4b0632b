"""What is not gone once an erasure is completed: what, where, who could read it, until when. Told in every certificate.

Only what is true of this case is listed, where its receipts say so. What they can't say is told in general.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from services.consent.model.requests import Receipt, Request

_UNSENT = ("undeliverable", "nobody")


def what_remains(
    request: Request,
    final: Mapping[str, Receipt],
    *,
    backups_gone_by: datetime | None,
    organisations_gone_by: datetime | None = None,
) -> list[dict[str, Any]]:
    """[{what, where, readable, gone_by}]. final: the last receipt of every service. backups_gone_by: when the last copy
    that could open anything is gone, where that is known. organisations_gone_by: when those are that no case names now.

    readable: whether anyone can read anything of the family there. gone_by: RFC 3339; None for as long as it takes.
    """
    return [
        *_rows(),
        *_sealed(backups_gone_by),
        *_outside(request, final),
        *_of_others(request, final, organisations_gone_by),
    ]


def _item(what: str, where: str, *, readable: bool, gone_by: datetime | None = None) -> dict[str, Any]:
    return {
        "what": what,
        "where": where,
        "readable": readable,
        "gone_by": None if gone_by is None else gone_by.isoformat(),
    }


def _rows() -> Iterator[dict[str, Any]]:
    """What stays by design, and names nobody."""
    yield _item(
        "tombstones, audit, receipts, readings and the request without its words: ids, counts and times, nothing "
        "personal; the office reads them",
        "the databases of the four services",
        readable=True,
    )
    yield _item(
        "the ledger, which says that this case was erased and when, so that no restored copy brings it back",
        "the consent service's ledger and its copy, which the office reads",
        readable=True,
    )
    yield _item(
        "messages that were handled or parked, and lines of logs: ids, kinds and times. A message that could not be "
        "read, should there ever have been one, is sealed; operators can open it until its key is destroyed, 30 days "
        "after it came",
        "the broker's disk, the databases of the four services, and the logs",
        readable=True,
    )


def _sealed(backups_gone_by: datetime | None) -> Iterator[dict[str, Any]]:
    """What is encrypted under keys that no longer exist here."""
    yield _item(
        "sealed records, and the wrapped keys that were deleted: nothing opens them, since the roots that they hung on "
        "were destroyed before the receipts were signed",
        "the databases' operation log and journals, until newer writes take their place",
        readable=False,
    )
    yield _item(
        "search hashes of names, dates of birth, postcodes, telephone numbers and addresses of email: nobody can try "
        "words against them, since their key hung on the same roots",
        "the databases' operation log and journals, until newer writes take their place",
        readable=False,
    )
    yield _item(
        "sealed contents of files: nothing opens them, their keys were sealed with the case",
        "the object store's volumes, in blocks that are not reused yet",
        readable=False,
    )
    yield _item(
        "the roots that were destroyed: overwritten once and deleted. A drive may keep an older block, which takes its "
        "firmware and the key of the disk's encryption to read",
        "the two disks with the services' roots",
        readable=False,
    )
    yield _item(
        "copies of the data that were made before the erasure. Who has one together with the roots or keys of its time "
        "reads the family's file in it",
        "backups, wherever the office keeps them",
        readable=True,
        gone_by=backups_gone_by,
    )


def _outside(request: Request, final: Mapping[str, Receipt]) -> Iterator[dict[str, Any]]:
    """What has left the system, or was never in it."""
    notifier, document = final["notifier"], final["document"]
    if _found(notifier, "notifications") or notifier.last_letter not in _UNSENT:
        yield _item("letters and emails that were sent", "with the people who received them", readable=True)
        yield _item(
            "what the mail relay keeps of emails: its log, and its copies where it makes any; its operator reads them",
            "the office's mail relay",
            readable=True,
        )
        yield _item(
            "letters that were handed to the printer and are not cleared from its folder or its queue; who prints them "
            "reads them" + _certified(request),
            "the printer and its folder",
            readable=True,
        )
    methods = {str(item["method"]) for item in document.paper}
    if "returned" in methods:
        yield _item("paper files that were returned", "with the people who took them", readable=True)
    if "not_found" in methods:
        yield _item(
            "paper files that could not be found; who finds one reads it, and it is destroyed when it is found",
            "not known",
            readable=True,
        )
    if _found(final["case"], "disclosures"):
        yield _item("what was shared with others while consent stood", "with those who received it", readable=True)


def _of_others(
    request: Request, final: Mapping[str, Receipt], organisations_gone_by: datetime | None
) -> Iterator[dict[str, Any]]:
    """What belongs to no case, or to another one."""
    if organisations_gone_by is not None:
        yield _item(
            "organisations that no family names any more, with name and address: they are being removed, with their "
            "keys. One of them may be of this family",
            "the consent service's list of organisations",
            readable=True,
            gone_by=organisations_gone_by,
        )
    left = request.organisations_left
    # Not known of a request that had begun before organisations were counted.
    if left or (left is None and _found(final["consent"], "consents")):
        yield _item(
            f"organisations that the family named{_so_many(left)}, with name and address: other "
            "families name them too. The office reads them until none does; that this family did is gone",
            "the consent service's list of organisations",
            readable=True,
        )
    yield _item(
        "words about this family in another family's file, if somebody wrote any there; who works on that file reads "
        "them, until it is erased",
        "the other family's file",
        readable=True,
    )
    # Said of every erasure alike, because there may be one or none, and no other reader may know which (P15).
    yield _item(
        "a record of what was told to others because a person was at risk, if there ever was one",
        "a store of its own, under keys of its own, for the safeguarding lead and data protection alone",
        readable=True,
    )


def _so_many(count: int | None) -> str:
    return "" if count is None else f": {count}"


def _certified(request: Request) -> str:
    places = ", ".join(sorted(request.elsewhere_certified))
    return f". Places that were certified to be emptied: {places}" if places else ""


def _found(receipt: Receipt, store: str) -> bool:
    """Whether the service found anything of the case there. A receipt that doesn't tell is taken for yes."""
    return all(one["found"] for one in receipt.stores if one["store"] == store)
