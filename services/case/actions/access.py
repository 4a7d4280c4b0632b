"""What is checked before a case is read or written: that it is known and hasn't ended, its gate, and its consents."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

from services.case.model.cases import Case
from services.case.store import Stores
from shared.db import Repository
from shared.db.gates import CLOSED, ERASED_SENTENCE, FROZEN, FROZEN_SENTENCE, UNKNOWN_SENTENCE
from shared.db.unit_of_work import Tx
from shared.errors import Erased, Frozen, NotFound
from shared.known_consents import KnownConsents

T = TypeVar("T")


def require_readable(stores: Stores, *, case_id: str, now: datetime) -> None:
    """For reading what a case has. Raises NotFound or Erased.

    Called after the reading: an erasure that began meanwhile must not be answered with half of what there was.
    """
    case = stores.cases.get(case_id)
    gate = stores.unit_of_work.gates.state(case_id)
    if gate == CLOSED or (case is not None and case.has_expired(now)):
        raise Erased(ERASED_SENTENCE)
    if case is None:
        raise NotFound(UNKNOWN_SENTENCE)


def require_writable(stores: Stores, *, case_id: str, now: datetime) -> None:
    """What the case itself refuses, before others are asked on its behalf. Raises NotFound, Frozen or Erased."""
    require_readable(stores, case_id=case_id, now=now)
    if stores.unit_of_work.gates.state(case_id) == FROZEN:
        raise Frozen(FROZEN_SENTENCE)


def enter_case(stores: Stores, *, case_id: str, now: datetime, tx: Tx, frozen_too: bool = False) -> Case:
    """Go through the case's gate as a writer. Raises NotFound, Frozen (unless allowed), or Erased."""
    tx.enter(case_id, frozen_too=frozen_too)
    case = stores.cases.get(case_id, tx=tx)
    if case is None:
        raise NotFound(UNKNOWN_SENTENCE)
    if case.has_expired(now):
        raise Erased(ERASED_SENTENCE)
    return case


def enter_agreed_case(stores: Stores, *, case_id: str, now: datetime, tx: Tx) -> Case:
    """As `enter_case`, for what is personal: raises ConsentRequired too, unless casework stands (P4)."""
    case = enter_case(stores, case_id=case_id, now=now, tx=tx)
    known_consents(stores, case_id, tx=tx).require_casework(now)
    return case


def known_consents(stores: Stores, case_id: str, *, tx: Tx) -> KnownConsents:
    """What stands of the case's consents, as last heard; nothing where nothing was heard."""
    return stores.known_consents.get(case_id, tx=tx) or KnownConsents(case_id=case_id)


def read_page(
    stores: Stores, records: Repository[T], *, case_id: str, after: str | None, limit: int, now: datetime
) -> list[T]:
    """Up to `limit` records of the case, added after that one. Raises NotFound or Erased."""
    found = records.page({"case_id": case_id}, after, limit)
    require_readable(stores, case_id=case_id, now=now)
    return found


def read_one(stores: Stores, records: Repository[T], *, case_id: str, id: str, otherwise: str, now: datetime) -> T:
    """One record of the case. Raises NotFound with the sentence `otherwise` where there is none, or Erased."""
    found = records.get(id, case_id=case_id)
    require_readable(stores, case_id=case_id, now=now)
    if found is None:
        raise NotFound(otherwise)
    return found
