"""Quarantine: what a document is kept closed for (P11, malware), and the ways out. Each step enters its history."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from services.document.model.documents import (
    ACCEPTED,
    MALWARE,
    NO_CONSENT,
    QUARANTINED,
    RETURNED,
    Document,
    QuarantineEntry,
    Returned,
)
from shared.errors import Conflict, ConsentRequired, NotFound

LIFTED, RELEASED = "lifted", "released"
WHATS = (QUARANTINED, LIFTED, RELEASED, RETURNED)
_NO_CONSENT = (
    "This document came from others than the family, without their consent to have it, and is kept closed. "
    "It is opened by itself once they consent; or a manager releases it, or it is returned."
)
_MALWARE = (
    "The scanner found malware in this version, so it is kept closed. A manager can release it where that was a false "
    "alarm; otherwise return or delete the document, or replace it by a clean version."
)
_RETURNED = "This document was returned to its sender, and its content destroyed."
_NOT_QUARANTINED = "This document isn't in quarantine. Nothing was changed."


def screened(document: Document, *, signature: str | None, may_obtain: bool, at: datetime) -> Document:
    """The document after its newest version was looked at.

    signature: the name of the malware that was found in it. may_obtain: whether the family agreed to have it.
    """
    if signature is not None:
        infected = replace(document, infected=(*document.infected, document.number))
        return _quarantined(infected, MALWARE, at=at, words=signature)
    if not may_obtain:
        return _quarantined(document, NO_CONSENT, at=at)
    return lifted(document, at=at)


def closed_without_consent(document: Document, *, at: datetime) -> Document:
    """The document, where it was open, once the family isn't known to have agreed to it: of another kind, or moved."""
    return _quarantined(document, NO_CONSENT, at=at) if document.state == ACCEPTED else document


def taken_up(document: Document) -> Document:
    """What an older version put into quarantine, with its reason and its history."""
    return _quarantined(document, NO_CONSENT, at=document.created_at)


def lifted(document: Document, *, at: datetime) -> Document:
    """The document once nothing keeps it closed any more: the family consented, or a clean version came."""
    if document.closed_for is None:
        return document
    return _accepted(document, LIFTED, at=at)


def released(document: Document, *, by: str, words: str, may_obtain: bool, at: datetime) -> Document:
    """The document after a manager's word that it may be opened. by: their `sub`. Raises Conflict.

    Of malware that says that it was a false alarm: without the family's consent it stays in quarantine for that.
    """
    _require_quarantined(document)
    was_malware = document.closed_for == MALWARE
    open_numbers = tuple(number for number in document.infected if number != document.number)
    after = _accepted(replace(document, infected=open_numbers), RELEASED, at=at, by=by, words=words)
    return _quarantined(after, NO_CONSENT, at=at) if was_malware and not may_obtain else after


def returned(document: Document, *, to: str, by: str, sub: str, at: datetime) -> Document:
    """What stays of a document that was given back: what came, from whom, and where it went. Raises Conflict.

    by: who gave it back; sub: who recorded that. Its title goes, and what it had
    attached, and it is no scan of a paper file any more.
    """
    _require_quarantined(document)
    return replace(
        document,
        state=RETURNED,
        reason=None,
        title=None,
        paper_file_id=None,
        attachments=(),
        history=(*document.history, _entry(document, RETURNED, at=at, by=sub)),
        returned=Returned(to=to, by=by, at=at),
    )


def require_readable(document: Document, number: int) -> None:
    """Raises ConsentRequired or Conflict where this version is kept closed, NotFound once it was returned."""
    if document.state == RETURNED:
        raise NotFound(_RETURNED)
    if document.closed_for == NO_CONSENT:
        raise ConsentRequired(_NO_CONSENT)
    if number in document.infected:
        raise Conflict(_MALWARE)


def require_replaceable(document: Document) -> None:
    """Raises ConsentRequired for a document that is closed for want of consent, Conflict for one that was returned."""
    require_there(document)
    if document.closed_for == NO_CONSENT:
        raise ConsentRequired(_NO_CONSENT)


def _require_quarantined(document: Document) -> None:
    require_there(document)
    if document.closed_for is None:
        raise Conflict(_NOT_QUARANTINED)


def require_there(document: Document) -> None:
    """Raises Conflict for a document that was returned."""
    if document.state == RETURNED:
        raise Conflict(f"{_RETURNED} Nothing was changed.")


def _quarantined(document: Document, reason: str, *, at: datetime, words: str | None = None) -> Document:
    after = replace(document, state=QUARANTINED, reason=reason)
    return replace(after, history=(*after.history, _entry(after, QUARANTINED, at=at, words=words)))


def _accepted(
    document: Document, what: str, *, at: datetime, by: str | None = None, words: str | None = None
) -> Document:
    history = (*document.history, _entry(document, what, at=at, by=by, words=words))
    return replace(document, state=ACCEPTED, reason=None, history=history)


def _entry(
    document: Document, what: str, *, at: datetime, by: str | None = None, words: str | None = None
) -> QuarantineEntry:
    reason = document.closed_for or NO_CONSENT
    return QuarantineEntry(what=what, reason=reason, number=document.number, at=at, by=by, words=words)
