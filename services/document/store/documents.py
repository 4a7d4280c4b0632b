"""What is asked of documents, versions and known consents beyond what a repository answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from services.document.model.documents import REMOVING, Document, Version, object_key
from services.document.store.files import Files
from shared.db import Exported, Repository
from shared.db.unit_of_work import Tx


def mark_removing(
    documents: Repository[Document], versions: Repository[Version], document: Document, *, tx: Tx
) -> None:
    """Its sealed part and what opens its objects go at once: from now on no one can read it. Raises Changed."""
    documents.strip(replace(document, state=REMOVING, reason=None), tx=tx)
    versions.rows.delete_many({"document_id": document.id}, session=tx.session)
    documents.tell_removed(document, tx=tx)


def forget_content(
    documents: Repository[Document], versions: Repository[Version], document: Document, *, tx: Tx
) -> Document:
    """Save a document that was returned, and destroy what opens its objects: no one can read it. Raises Changed."""
    versions.rows.delete_many({"document_id": document.id}, session=tx.session)
    # What was sealed of it, keysets too, is in the operation log still.
    tx.renew_key(document.case_id)
    return documents.save(document, tx=tx)


def delete_removed(documents: Repository[Document], document_id: str) -> None:
    """Delete the row of a document that was being removed, once its objects are gone."""
    documents.rows.delete_one({"_id": document_id, "state": REMOVING})


def scans_of(documents: Repository[Document], paper_file_ids: list[str]) -> dict[str, tuple[str, ...]]:
    """The documents that were scanned from each of these paper files."""
    found: dict[str, tuple[str, ...]] = {}
    where = {"paper_file_id": {"$in": paper_file_ids}, "state": {"$ne": REMOVING}}
    for row in documents.rows.find(where, {"paper_file_id": 1}).sort("_id", 1):
        paper_file_id = str(row["paper_file_id"])
        found[paper_file_id] = (*found.get(paper_file_id, ()), str(row["_id"]))
    return found


def filed_from(documents: Repository[Document], email: Document, *, tx: Tx | None = None) -> dict[tuple[int, int], str]:
    """The documents of its case that were filed from the email's attachments, by its version and their number there."""
    where = {"case_id": email.case_id, "attachment_of": email.id, "state": {"$ne": REMOVING}}
    return {
        (found.attached_version, found.attached_number): found.id
        for found in documents.find(where, tx=tx)
        if found.attached_version is not None and found.attached_number is not None
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A version of which there is a record, and where its object lies."""

    id: str
    case_id: str
    document_id: str
    number: int
    object_key: str


def all_versions(versions: Repository[Version]) -> Iterator[Recorded]:
    """Every version there is a record of; also where its key is gone."""
    for row in versions.rows.find({}, {"case_id": 1, "document_id": 1, "number": 1, "place": 1}):
        case_id, document_id, number = str(row["case_id"]), str(row["document_id"]), int(row["number"])
        key = object_key(case_id, document_id, row.get("place") or number)
        yield Recorded(id=str(row["_id"]), case_id=case_id, document_id=document_id, number=number, object_key=key)


def lying_at(case_id: str, document_id: str, place: int) -> dict[str, Any]:
    """The query, of versions and of uploads, for what lies in the object store at this place."""
    by_number = {"number": place, "place": {"$exists": False}}
    return {"case_id": case_id, "document_id": document_id, "$or": [{"place": place}, by_number]}


def exported_files(
    documents: Repository[Document], versions: Repository[Version], files: Files, case_id: str
) -> Iterator[Exported]:
    """Every version of the case's documents, oldest first; each is opened, and decrypted, as it is read.

    Versions with malware are left out: a family isn't handed that. The document's history says that there was one.
    """
    infected = {(document.id, number) for document in documents.of_case(case_id) for number in document.infected}
    for version in versions.of_case(case_id):
        if (version.document_id, version.number) in infected:
            continue
        fields = {"document_id": version.document_id, "number": version.number, "media_type": version.media_type}
        yield Exported(id=version.id, fields=fields, content=partial(files.open, version))
