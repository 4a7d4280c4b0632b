"""What an email has attached: which of it is filed, and filing it as a document of its own."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass

from services.document.actions.documents import (
    erased_as_not_found,
    file_document,
    open_version,
    require_document,
    version_to_read,
)
from services.document.actions.incoming import Details, Filed
from services.document.context import Context
from services.document.model.documents import ACCEPTED, EMAIL, Attachment, Document, Version
from services.document.store import Stores
from services.document.store.documents import filed_from
from services.document.upload.readable import CHUNK, Readable
from services.document.upload.spool import Spool
from shared.db.unit_of_work import Tx
from shared.errors import Conflict, NotFound

MOST_TITLE = 200  # characters
_NO_ATTACHMENT = "This document has no such attachment. Nothing was kept."
_FILED = (
    "This attachment is filed as a document already; `attachments` of the email says which. Nothing was kept. "
    "To file it anew, remove that document first."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An attachment of an email, and the document that was filed from it, if one was."""

    attachment: Attachment
    document_id: str | None


def listed(stores: Stores, document: Document) -> tuple[Listed, ...] | None:
    """What the newest version has attached; None of what is no email, or one in quarantine: what it says is closed."""
    if document.media_type != EMAIL or document.state != ACCEPTED:
        return None
    filed = filed_from(stores.documents, document) if document.attachments else {}
    return tuple(
        Listed(attachment=one, document_id=filed.get((document.number, one.number))) for one in document.attachments
    )


def file_attachment(
    context: Context, *, document_id: str, number: int, kind: str, source: str | None, title: str | None
) -> Filed:
    """File an attachment of the email's newest version as a document of its own, as if it had been sent by itself.

    source: the email's without one; title: the attachment's name without one. Raises NotFound, Conflict (it is filed
    already), and as `file_document`; then nothing is kept.
    """
    stores = context.stores
    email = require_document(stores, document_id)
    version = version_to_read(stores, email, number=None)
    attachment = next((one for one in version.attachments if one.number == number), None)
    if attachment is None:
        raise NotFound(_NO_ATTACHMENT)

    def check(tx: Tx | None) -> None:
        # Of two at once one writes the case's gate first, and the other then sees its document.
        found = stores.documents.get(email.id, tx=tx)
        if found is None or found.case_id != email.case_id:
            raise NotFound(_NO_ATTACHMENT)
        if (version.number, number) in filed_from(stores.documents, email, tx=tx):
            raise Conflict(_FILED)

    check(None)
    details = Details(
        kind=kind,
        source=source or email.source,
        title=title or (attachment.name[:MOST_TITLE].strip() if attachment.name else None),
        paper_file_id=None,
        attachment_of=email.id,
        attached_version=version.number,
        attached_number=number,
    )
    with closing(_Incoming(context, version, details)) as incoming, erased_as_not_found():
        return file_document(context, case_id=email.case_id, incoming=incoming, check=check)


class _Incoming:
    """An attachment on its way from a stored email, decrypted into a spool and read apart, to a document."""

    takes_password = False

    def __init__(self, context: Context, version: Version, details: Details) -> None:
        self._context = context
        self._version = version
        self._details = details
        self._open = ExitStack()
        self.fields: Mapping[str, str] = {}
        self.caller: int | None = None

    def open(self) -> _Incoming:
        spool = self._open.enter_context(closing(Spool(self._context.spool)))
        with open_version(self._context.stores, self._version) as stored:
            while piece := stored.read(CHUNK):
                spool.write(piece)
        arguments = {"number": self._details.attached_number}
        self.file: Readable = self._open.enter_context(self._context.sandbox.stream("attachment", spool, arguments))
        return self

    def finish(self) -> Mapping[str, str]:
        """The child process that read it gives its place to the one that inspects it."""
        self.close()
        return self.fields

    def close(self) -> None:
        self._open.close()

    def password(self, fields: Mapping[str, str]) -> str | None:
        """A locked attachment is saved by itself, and filed with its password."""
        return None

    def early_details(self, fields: Mapping[str, str]) -> Details:
        return self._details

    def details(self, fields: Mapping[str, str]) -> Details:
        return self._details

    def claim(self, fields: Mapping[str, str], sha256: str) -> None:
        """The caller's key was claimed with the request's own body."""

    def stop_reading(self) -> None:
        """No read waits for the caller, and a child process ends within its limits."""
