"""Documents over HTTP."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from services.document.model import quarantine
from services.document.model.documents import (
    ACCEPTED,
    FAMILY,
    KINDS,
    MEDIA_TYPES,
    QUARANTINED,
    REASONS,
    RETURNED,
    WARNINGS,
)
from shared.http import Body, Choice, IdField, Line, Moment, PageArgs, Text
from shared.ids import is_id

PASSWORD = "password"  # noqa: S105 - the name of a field
MOST_PASSWORD_BYTES = 127  # of a PDF (ISO 32000-2, 7.6.4.3)
FIELDS = ("kind", "source", "title", "paper_file_id", PASSWORD)
_MOST_PAGES = 100_000


class Source(ma.fields.String):
    """`family`, or the id of an organisation."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if value != FAMILY and not is_id(value):
            raise ma.ValidationError("This is either the word family or an organisation's id.")
        return str(value)


class DocumentFields(Body):
    """The form's fields beside its file."""

    kind = Choice(*KINDS, required=True)
    source = Source(required=True)
    title = Line(most=200)
    paper_file_id = IdField()


class AttachmentIn(Body):
    """How an attachment is filed. source: the email's without one; title: the attachment's name without one."""

    kind = Choice(*KINDS, required=True)
    source = Source(load_default=None)
    title = Line(most=200, load_default=None)


class DocumentForm(DocumentFields):
    """For the API's description: the whole form."""

    file = ma.fields.Raw(required=True, metadata={"type": "string", "format": "binary"})
    password = ma.fields.String(
        metadata={
            "format": "password",
            "writeOnly": True,
            "description": "Opens a PDF that is locked, at most 127 bytes in UTF-8. It is kept nowhere, and the PDF is "
            "kept opened. A PDF that opens without is kept as it was sent. With a file of another kind it is refused.",
        }
    )


class QuarantineEntryOut(ma.Schema):
    """`by` is a member of staff's `sub`; null where it came about by itself."""

    what = Choice(*quarantine.WHATS, required=True)
    reason = Choice(*REASONS, required=True)
    version = ma.fields.Integer(
        required=True, attribute="number", metadata={"description": "the newest version at that time"}
    )
    at = Moment(required=True)
    by = ma.fields.String(required=True, allow_none=True)
    words = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "why a manager released it, or the name of the malware's signature"},
    )


class ReturnedOut(ma.Schema):
    to = ma.fields.String(required=True)
    by = ma.fields.String(required=True)
    at = Moment(required=True)


class DocumentPatch(Body):
    """What changes of a document; null takes its title away."""

    title = Line(most=200, allow_none=True)
    kind = Choice(*KINDS)


class MoveIn(Body):
    case_id = IdField(required=True, metadata={"description": "where it goes"})
    reason = Text(most=2_000, required=True, metadata={"description": "kept with the document; name no other family"})


class MoveOut(ma.Schema):
    reason = ma.fields.String(required=True)
    by = ma.fields.String(required=True, metadata={"description": "the `sub` of who moved it"})
    at = Moment(required=True)


class AttachmentOut(ma.Schema):
    """What an email has attached, and the document that it was filed as, if it was."""

    n = ma.fields.Integer(required=True, attribute="attachment.number")
    name = ma.fields.String(required=True, attribute="attachment.name", allow_none=True)
    media_type = ma.fields.String(
        required=True, attribute="attachment.media_type", metadata={"description": "as the email says"}
    )
    size = ma.fields.Integer(required=True, attribute="attachment.size", metadata={"description": "bytes"})
    document_id = IdField(metadata={"description": "the document that was filed from it, if one was"})

    @ma.post_dump
    def _without_document(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {name: value for name, value in data.items() if name != "document_id" or value is not None}


class DocumentOut(ma.Schema):
    """A document and its newest version.

    Of one that was returned there is no content any more: size, hash and pages are those that it had. `attachments` is
    there for emails alone, once they may be opened.
    """

    id = IdField(required=True)
    case_id = IdField(required=True)
    version = ma.fields.Integer(required=True, attribute="number")
    kind = Choice(*KINDS, required=True)
    media_type = Choice(*MEDIA_TYPES, required=True)
    size = ma.fields.Integer(required=True, metadata={"description": "bytes"})
    sha256 = ma.fields.String(required=True, metadata={"description": "of the bytes that are kept"})
    sha256_as_sent = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "of the bytes that were sent, where a locked PDF is kept opened"},
    )
    pages = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "null where there are none: text, emails, office documents"},
    )
    warnings = ma.fields.List(
        Choice(*WARNINGS),
        required=True,
        metadata={"description": "what in the file can do more than be shown; such a file is never previewed"},
    )
    previewable = ma.fields.Boolean(required=True)
    state = Choice(ACCEPTED, QUARANTINED, RETURNED, required=True)
    reason = Choice(*REASONS, attribute="closed_for", required=True, allow_none=True)
    source = ma.fields.String(required=True, metadata={"description": "`family`, or an organisation's id"})
    title = ma.fields.String(required=True, allow_none=True)
    paper_file_id = IdField(required=True, allow_none=True)
    attachment_of = IdField(
        required=True, allow_none=True, metadata={"description": "the email that it was attached to"}
    )
    attachments = ma.fields.List(ma.fields.Nested(AttachmentOut))
    created_at = Moment(required=True)
    history = ma.fields.List(
        ma.fields.Nested(QuarantineEntryOut),
        required=True,
        metadata={"description": "of its quarantine, oldest first"},
    )
    returned = ma.fields.Nested(ReturnedOut, required=True, allow_none=True)
    moves = ma.fields.List(
        ma.fields.Nested(MoveOut),
        required=True,
        metadata={"description": "each time it came from another case, oldest first"},
    )


class FiledOut(DocumentOut):
    """A document that was just filed."""

    same_as = IdField(
        metadata={
            "description": "there where the case had these bytes already: its oldest document that has or had them"
        }
    )


class DocumentPage(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(DocumentOut), required=True)
    next = ma.fields.String(required=True, allow_none=True)


class DocumentsQuery(PageArgs):
    state = Choice("quarantined", "returned", required=True)
    reason = Choice(*REASONS, load_default=None, metadata={"description": "of those in quarantine"})


class ReleaseIn(Body):
    reason = Text(most=2_000, required=True)


class ReturnIn(Body):
    to = Line(most=200, required=True)
    by = Line(most=200, required=True)


class ContentQuery(ma.Schema):
    class Meta:
        unknown = ma.RAISE

    version = ma.fields.Integer(load_default=None, validate=ma.validate.Range(min=1, max=2**31))


class PreviewQuery(ContentQuery):
    page = ma.fields.Integer(load_default=1, validate=ma.validate.Range(min=1, max=2**31))
    width = ma.fields.Integer(
        load_default=800, validate=ma.validate.Range(min=16, max=2_000), metadata={"description": "pixels"}
    )
