"""Every store of the service, opened once through the register."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Self

from minio import Minio

from services.document.model.documents import KINDS, REASONS, STATES, Document, Version
from services.document.model.papers import HELD, METHODS, OUT, PaperFile, PaperToCertify
from services.document.model.papers import STATES as PAPER_STATES
from services.document.store.documents import exported_files
from services.document.store.files import Files
from services.document.store.papers import paper_key
from services.document.store.receiving import Receiving
from shared import known_consents
from shared.db import Disposal, KeptRows, Register, Repository
from shared.db.changes import Feed
from shared.db.unit_of_work import UnitOfWork
from shared.erasure.named_keys import NamedKeys
from shared.fields import Count, Id, Optional, Time, one_of
from shared.known_consents import KnownConsents
from shared.messaging.steps import Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """What the service's actions work with."""

    unit_of_work: UnitOfWork
    keys: NamedKeys
    steps: Steps
    files: Files
    documents: Repository[Document]
    versions: Repository[Version]
    paper_files: Repository[PaperFile]
    papers_to_certify: Repository[PaperToCertify]
    paper_disposals: KeptRows
    cabinet_moves: KeptRows
    counters: KeptRows
    projections: Repository[KnownConsents]
    receiving: Receiving

    @classmethod
    def open(cls, register: Register, steps: Steps, keys: NamedKeys, *, client: Minio, bucket: str) -> Self:
        """Open them in the order in which an erasure empties them.

        Objects come first: unfinished ones are found by the rows of `receiving`.
        """
        files = Files(register, client, bucket)
        stores = cls(
            unit_of_work=register.unit_of_work,
            keys=keys,
            steps=steps,
            files=files,
            documents=register.repository(
                "documents",
                Document,
                clear={
                    "kind": one_of(*KINDS),
                    "state": one_of(*STATES),
                    "number": Count(),
                    "paper_file_id": Optional(Id()),
                    "created_at": Time(),
                    "reason": Optional(one_of(*REASONS)),
                    "attachment_of": Optional(Id()),
                },
                disposal=Disposal.ERASE,
                indexes=(("paper_file_id",), ("state", "_id"), ("attachment_of",)),
                absent_if_none=("reason", "attachment_of"),
                # Why it was moved may name the other family.
                not_exported=("infected", "moves"),
                feed=Feed(kind="document"),
            ),
            versions=register.repository(
                "versions",
                Version,
                clear={"document_id": Id(), "number": Count(), "place": Optional(Count()), "at": Time()},
                disposal=Disposal.ERASE,
                unique=(("document_id", "number"),),
                absent_if_none=("place",),
                not_exported=("keyset", "place"),
            ),
            paper_files=register.repository(
                "paper_files",
                PaperFile,
                clear={"state": one_of(*PAPER_STATES), "number": Optional(Count()), "at": Time()},
                disposal=Disposal.ERASE,
                indexes=(("number",),),
                absent_if_none=("number",),
                not_exported=("number",),
                feed=Feed(kind="paper_file"),
            ),
            papers_to_certify=register.repository(
                "papers_to_certify",
                PaperToCertify,
                clear={"state": one_of(HELD, OUT), "number": Optional(Count()), "at": Time()},
                disposal=Disposal.LATE,
                indexes=(("number",),),
                absent_if_none=("number",),
                key_of=lambda paper: paper_key(paper.case_id),
                late_key=paper_key,
            ),
            paper_disposals=register.keep(
                "paper_disposals",
                clear={"case_id": Id(), "method": one_of(*METHODS), "at": Time()},
                retention=None,
                why="the certificate says how each paper file went, and when",
                indexes=(("case_id", "_id"),),
            ),
            cabinet_moves=register.keep(
                "cabinet_moves",
                clear={"moved": Count(), "at": Time()},
                retention=timedelta(days=2),
                why="a repeat with the same key is told how many paper files were moved; about no case",
            ),
            counters=register.keep(
                "counters",
                clear={"value": Count()},
                retention=None,
                why="the next label of a paper file; about no case",
            ),
            projections=register.repository(
                "projections",
                KnownConsents,
                clear=known_consents.CLEAR,
                disposal=Disposal.ERASE,
            ),
            receiving=Receiving(register),
        )
        files.objects.unfinished_keys = stores.receiving.keys_of
        files.objects.files = partial(exported_files, stores.documents, stores.versions, files)
        return stores
