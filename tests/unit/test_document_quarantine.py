"""Quarantine's rules: what closes a document, what opens it, and what its history says (P11, malware)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.document.model.documents import (
    ACCEPTED,
    FAMILY,
    MALWARE,
    NO_CONSENT,
    QUARANTINED,
    RETURNED,
    Document,
    QuarantineEntry,
    Returned,
)
from services.document.model.quarantine import (
    lifted,
    released,
    require_readable,
    require_replaceable,
    returned,
    screened,
)
from shared.errors import Conflict, ConsentRequired, NotFound
from shared.ids import new_id

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
SIGNATURE = "Fmn.Test.Harmless-1"


def a_document(*, signature: str | None = None, may_obtain: bool = True) -> Document:
    """A document of one version, as it is filed."""
    new = Document(
        id=new_id(),
        case_id=new_id(),
        kind="report",
        state=ACCEPTED,
        source=FAMILY,
        title="Zoë’s report",
        paper_file_id=new_id(),
        number=1,
        created_at=NOW,
        media_type="application/pdf",
        size=10,
        sha256="0" * 64,
        pages=1,
    )
    return screened(new, signature=signature, may_obtain=may_obtain, at=NOW)


def steps(document: Document) -> list[tuple[str, str]]:
    return [(entry.what, entry.reason) for entry in document.history]


def test_a_clean_document_that_the_family_agreed_to_has_no_history() -> None:
    document = a_document()
    assert (document.state, document.closed_for, document.history) == (ACCEPTED, None, ())
    require_readable(document, 1)


def test_p11_without_consent_it_is_closed_until_consent_lifts_it() -> None:
    document = a_document(may_obtain=False)
    assert (document.state, document.closed_for) == (QUARANTINED, NO_CONSENT)
    with pytest.raises(ConsentRequired):
        require_readable(document, 1)
    with pytest.raises(ConsentRequired):
        require_replaceable(document)
    opened = lifted(document, at=LATER)
    assert (opened.state, opened.closed_for) == (ACCEPTED, None)
    require_readable(opened, 1)
    assert opened.history[-1] == QuarantineEntry(what="lifted", reason=NO_CONSENT, number=1, at=LATER)


def test_malware_outweighs_consent_and_names_its_signature() -> None:
    for may_obtain in (True, False):
        document = a_document(signature=SIGNATURE, may_obtain=may_obtain)
        assert (document.closed_for, document.infected) == (MALWARE, (1,))
        assert (document.history[-1].words, document.history[-1].by) == (SIGNATURE, None)
        with pytest.raises(Conflict):
            require_readable(document, 1)


def test_a_version_with_malware_closes_itself_and_a_clean_one_opens_the_document_again() -> None:
    document = a_document()
    second = screened(replace(document, number=2), signature=SIGNATURE, may_obtain=True, at=NOW)
    assert (second.state, second.closed_for) == (QUARANTINED, MALWARE)
    require_readable(second, 1)
    with pytest.raises(Conflict):
        require_readable(second, 2)
    require_replaceable(second)
    third = screened(replace(second, number=3), signature=None, may_obtain=True, at=LATER)
    assert (third.state, third.closed_for, third.infected) == (ACCEPTED, None, (2,))
    require_readable(third, 3)
    with pytest.raises(Conflict):
        require_readable(third, 2)
    assert steps(third) == [("quarantined", MALWARE), ("lifted", MALWARE)]


def test_a_release_says_who_and_why_and_opens_the_newest_version() -> None:
    document = a_document(may_obtain=False)
    opened = released(document, by="manager-1", words="Agreed to by letter", may_obtain=False, at=LATER)
    assert (opened.state, opened.closed_for) == (ACCEPTED, None)
    entry = opened.history[-1]
    assert (entry.what, entry.by, entry.words, entry.at) == ("released", "manager-1", "Agreed to by letter", LATER)
    with pytest.raises(Conflict):
        released(opened, by="manager-1", words="again", may_obtain=True, at=LATER)


def test_a_false_alarm_opens_only_what_the_family_agreed_to() -> None:
    document = a_document(signature=SIGNATURE, may_obtain=False)
    still = released(document, by="manager-1", words="A false alarm", may_obtain=False, at=LATER)
    assert (still.closed_for, still.infected) == (NO_CONSENT, ())
    assert steps(still) == [("quarantined", MALWARE), ("released", MALWARE), ("quarantined", NO_CONSENT)]
    opened = released(document, by="manager-1", words="A false alarm", may_obtain=True, at=LATER)
    assert (opened.state, opened.infected) == (ACCEPTED, ())


def test_a_false_alarm_about_one_version_opens_no_other() -> None:
    document = a_document(signature=SIGNATURE)
    third = replace(screened(replace(document, number=2), signature=None, may_obtain=True, at=NOW), number=3)
    third = screened(third, signature=SIGNATURE, may_obtain=True, at=NOW)
    opened = released(third, by="manager-1", words="A false alarm", may_obtain=True, at=LATER)
    assert opened.infected == (1,)


def test_of_what_was_returned_stays_what_came_from_whom_and_where_it_went() -> None:
    document = a_document(may_obtain=False)
    gone = returned(document, to="Marlow Vale Primary", by="Ama Mensah", sub="worker-1", at=LATER)
    assert (gone.state, gone.title, gone.paper_file_id, gone.closed_for) == (RETURNED, None, None, None)
    assert gone.returned == Returned(to="Marlow Vale Primary", by="Ama Mensah", at=LATER)
    assert (gone.kind, gone.source, gone.sha256) == (document.kind, document.source, document.sha256)
    assert gone.history[-1] == QuarantineEntry(what="returned", reason=NO_CONSENT, number=1, at=LATER, by="worker-1")
    with pytest.raises(NotFound):
        require_readable(gone, 1)
    with pytest.raises(Conflict):
        require_replaceable(gone)
    with pytest.raises(Conflict):
        returned(gone, to="Marlow Vale Primary", by="Ama Mensah", sub="worker-1", at=LATER)
    with pytest.raises(Conflict):
        returned(a_document(), to="Marlow Vale Primary", by="Ama Mensah", sub="worker-1", at=LATER)


def test_since_when_is_when_it_last_came_into_quarantine() -> None:
    document = a_document(may_obtain=False)
    assert document.quarantined_at == NOW
    again = screened(replace(lifted(document, at=NOW), number=2), signature=SIGNATURE, may_obtain=True, at=LATER)
    assert again.quarantined_at == LATER


def test_what_an_older_version_stored_in_quarantine_lacked_consent() -> None:
    older = replace(a_document(), state=QUARANTINED)
    assert (older.reason, older.history, older.closed_for) == (None, (), NO_CONSENT)
    assert older.quarantined_at == NOW
    assert steps(lifted(older, at=LATER)) == [("lifted", NO_CONSENT)]
