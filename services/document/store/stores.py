"""Every store of the service, opened once through the register."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from minio import Minio

from services.document.store.documents import Documents, Projections
from services.document.store.files import Files
from services.document.store.papers import Papers
from services.document.store.receiving import Receiving
from services.document.store.watch import Watch
from shared.db import Register
from shared.db.unit_of_work import UnitOfWork
from shared.db.vault import Vault
from shared.erasure.participant import AddsSteps


class AsksConsent(Protocol):
    """What asks the consent service, at this moment, whether something is agreed to."""

    def __call__(self, *, case_id: str, party: str, kind: str) -> bool:
        """Whether documents of this kind may be had from this party. Raises Unavailable: then the answer is no."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """What the service's actions work with."""

    unit_of_work: UnitOfWork
    vault: Vault
    files: Files
    documents: Documents
    papers: Papers
    projections: Projections
    receiving: Receiving
    watch: Watch
    steps: AddsSteps
    may_obtain: AsksConsent
    spool: Path
    upload_limit: int

    @classmethod
    def open(
        cls,
        *,
        unit_of_work: UnitOfWork,
        register: Register,
        client: Minio,
        bucket: str,
        steps: AddsSteps,
        may_obtain: AsksConsent,
        spool: Path,
        upload_limit: int,
    ) -> Stores:
        """upload_limit: bytes of one file."""
        # Objects first: an erasure empties stores in this order, and finds unfinished objects by rows of `receiving`.
        files = Files(register, client, bucket)
        documents = Documents(register)
        papers = Papers(register, register.vault)
        projections = Projections(register)
        receiving = Receiving(register)
        files.objects.unfinished_keys = receiving.keys_of
        return cls(
            unit_of_work=unit_of_work,
            vault=register.vault,
            files=files,
            documents=documents,
            papers=papers,
            projections=projections,
            receiving=receiving,
            watch=Watch(receiving),
            steps=steps,
            may_obtain=may_obtain,
            spool=spool,
            upload_limit=upload_limit,
        )
