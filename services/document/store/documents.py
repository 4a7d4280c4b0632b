"""Documents, their versions, and the projection of the consent that they need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from services.document.model.documents import (
    ACCEPTED,
    KINDS,
    NO_CASEWORK,
    QUARANTINED,
    REMOVING,
    STATES,
    Casework,
    Content,
    Document,
    Version,
)
from shared.db import Disposal, Record, Register
from shared.db.unit_of_work import Tx
from shared.fields import Count, Field, Flag, Id, Optional, Time, one_of

DOCUMENT: Mapping[str, Field] = {
    "kind": one_of(*KINDS),
    "state": one_of(*STATES),
    "number": Count(),
    "paper_file_id": Optional(Id()),
    "created_at": Time(),
}
VERSION: Mapping[str, Field] = {"document_id": Id(), "number": Count(), "at": Time()}
PROJECTION: Mapping[str, Field] = {"casework": Flag(), "until": Optional(Time())}


class Documents:
    """Documents and versions. Where each came from, its title, size, type and hash are sealed."""

    def __init__(self, register: Register) -> None:
        self.documents = register.collection(
            "documents", clear=DOCUMENT, disposal=Disposal.ERASE, indexes=(("paper_file_id",),)
        )
        self.versions = register.collection(
            "versions", clear=VERSION, disposal=Disposal.ERASE, unique=(("document_id", "number"),)
        )

    def get(self, document_id: str, *, tx: Tx | None = None) -> Document | None:
        """The document, unless it is being removed."""
        record = self.documents.get(document_id, tx=tx)
        return None if record is None or record.clear["state"] == REMOVING else _document(record)

    def of_case(self, case_id: str, *, after: str | None, limit: int) -> list[Document]:
        where = {"case_id": case_id, "state": {"$in": [ACCEPTED, QUARANTINED]}}
        return [_document(record) for record in self.documents.find(where, after=after, limit=limit)]

    def scans_of(self, paper_file_ids: list[str]) -> dict[str, list[str]]:
        """The documents that were scanned from each of these paper files."""
        found: dict[str, list[str]] = {}
        where = {"paper_file_id": {"$in": paper_file_ids}, "state": {"$in": [ACCEPTED, QUARANTINED]}}
        for row in self.documents.rows.find(where, {"paper_file_id": 1}).sort("_id", 1):
            found.setdefault(str(row["paper_file_id"]), []).append(str(row["_id"]))
        return found

    def version(self, document_id: str, number: int) -> Version | None:
        record = self.versions.first({"document_id": document_id, "number": number})
        return None if record is None else _version(record)

    def has_version(self, version_id: str) -> bool:
        """Whether the upload of this id was completed; also when its key is gone."""
        return self.versions.rows.count_documents({"_id": version_id}, limit=1) > 0

    def has_object(self, document_id: str, number: int) -> bool:
        """Whether a record speaks of this version's object; also when its key is gone."""
        where = {"document_id": document_id, "number": number}
        return self.versions.rows.count_documents(where, limit=1) > 0

    def all_versions(self) -> Iterator[tuple[str, str, int]]:
        """(case, document, number) of every version there is a record of."""
        for row in self.versions.rows.find({}, {"case_id": 1, "document_id": 1, "number": 1}):
            yield str(row["case_id"]), str(row["document_id"]), int(row["number"])

    def add(self, tx: Tx, document: Document, version: Version) -> Document:
        self.documents.insert(
            tx,
            id=document.id,
            case_id=document.case_id,
            clear={
                "kind": document.kind,
                "state": document.state,
                "number": document.number,
                "paper_file_id": document.paper_file_id,
                "created_at": document.created_at,
            },
            personal=_sealed(document.title, document.source, document.content),
        )
        self._add_version(tx, version)
        return document

    def add_version(self, tx: Tx, before: Document, version: Version) -> Document:
        """The document with this version as its newest. Raises Changed when it isn't as `before` any more."""
        record = self._record(before)
        after = self.documents.change(
            tx,
            record,
            clear={"number": version.number},
            personal=_sealed(before.title, before.source, version.content),
        )
        self._add_version(tx, version)
        return _document(after)

    def mark_removing(self, tx: Tx, before: Document) -> None:
        """From now on it isn't there: its sealed part and what opens its objects go at once. Raises Changed."""
        self.documents.change(tx, self._record(before), clear={"state": REMOVING}, personal={})
        self.versions.rows.delete_many({"document_id": before.id}, session=tx.session)

    def forget(self, document_id: str) -> None:
        """Delete the row of a document that was being removed, once its objects are gone."""
        self.documents.rows.delete_one({"_id": document_id, "state": REMOVING})

    def _add_version(self, tx: Tx, version: Version) -> None:
        self.versions.insert(
            tx,
            id=version.id,
            case_id=version.case_id,
            clear={"document_id": version.document_id, "number": version.number, "at": version.at},
            personal={**asdict(version.content), "keyset": version.keyset},
        )

    @staticmethod
    def _record(document: Document) -> Record:
        return Record(
            id=document.id,
            case_id=document.case_id,
            version=document.etag,
            clear={
                "kind": document.kind,
                "state": document.state,
                "number": document.number,
                "paper_file_id": document.paper_file_id,
                "created_at": document.created_at,
            },
            personal=_sealed(document.title, document.source, document.content),
        )


class Projections:
    """What the family agreed to, as the consent service last told it."""

    def __init__(self, register: Register) -> None:
        self.rows = register.collection("projections", clear=PROJECTION, disposal=Disposal.ERASE)

    def casework(self, case_id: str, *, tx: Tx | None = None) -> Casework:
        record = self.rows.get(case_id, tx=tx)
        if record is None:
            return NO_CASEWORK
        return Casework(given=bool(record.clear["casework"]), until=record.clear["until"])

    def put_casework(self, tx: Tx, case_id: str, casework: Casework) -> None:
        clear: dict[str, bool | datetime | None] = {"casework": casework.given, "until": casework.until}
        self.rows.put(tx, id=case_id, case_id=case_id, clear=clear)


def _sealed(title: str | None, source: str, content: Content) -> dict[str, Any]:
    return {"title": title, "source": source, **asdict(content)}


def _content(personal: Mapping[str, Any]) -> Content:
    return Content(
        media_type=str(personal["media_type"]),
        size=int(personal["size"]),
        sha256=str(personal["sha256"]),
        pages=int(personal["pages"]),
    )


def _document(record: Record) -> Document:
    return Document(
        id=record.id,
        case_id=str(record.case_id),
        etag=record.version,
        kind=record.clear["kind"],
        state=record.clear["state"],
        source=record.personal["source"],
        title=record.personal["title"],
        paper_file_id=record.clear["paper_file_id"],
        number=record.clear["number"],
        content=_content(record.personal),
        created_at=record.clear["created_at"],
    )


def _version(record: Record) -> Version:
    return Version(
        id=record.id,
        case_id=str(record.case_id),
        document_id=record.clear["document_id"],
        number=record.clear["number"],
        content=_content(record.personal),
        keyset=bytes(record.personal["keyset"]),
        at=record.clear["at"],
    )
