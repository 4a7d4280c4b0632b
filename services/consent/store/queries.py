"""What is asked of several records together."""

from __future__ import annotations

from datetime import date

from services.consent.model import consents
from services.consent.model.consents import Standing
from services.consent.model.people import CasePeople
from services.consent.model.requests import Receipt
from services.consent.store import Stores
from shared.db.unit_of_work import Tx


def standing(stores: Stores, case_id: str, today: date, *, tx: Tx | None = None) -> tuple[Standing, ...]:
    """What was agreed to and stands on that London day, whether or not its giver may still speak for the file."""
    given, endings = stores.consents.of_case(case_id, tx=tx), stores.endings.of_case(case_id, tx=tx)
    return consents.standing(given, endings, today=today)


def people_of(stores: Stores, case_id: str, *, tx: Tx | None = None) -> CasePeople:
    """The people of the case as last heard; none of them where nothing was heard yet."""
    return stores.people.get(case_id, tx=tx) or CasePeople(case_id=case_id)


def first_adult(stores: Stores, case_id: str, *, tx: Tx | None = None) -> str | None:
    return people_of(stores, case_id, tx=tx).first_adult


def receipts_of(stores: Stores, request_id: str, *, tx: Tx | None = None) -> list[Receipt]:
    """The receipts of a request, in the order they were kept."""
    return stores.receipts.find({"request": request_id}, sort=(("at", 1), ("_id", 1)), tx=tx)


def is_held(stores: Stores, case_id: str, day: date, *, tx: Tx | None = None) -> bool:
    """Whether a hold stands on any erasure of the case that day."""
    return any(hold.holds_on(day) for hold in stores.holds.of_case(case_id, tx=tx))
