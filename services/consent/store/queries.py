"""What is asked of several records together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from services.consent.model import consents
from services.consent.model.consents import Standing
from services.consent.model.organisations import Organisation
from services.consent.model.people import CasePeople
from services.consent.model.requests import Receipt
from services.consent.store import Stores
from shared.db.gates import CLOSED
from shared.db.keys.errors import Altered
from shared.db.repository import session_of
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


def organisation(stores: Stores, id: str, *, tx: Tx | None = None) -> Organisation | None:
    """The organisation, where a case may name it: None also for one that is ending."""
    found = stores.organisations.get(id, tx=tx)
    return None if found is None or found.ending_at is not None else found


def is_named(stores: Stores, id: str, *, but: str | None = None, tx: Tx | None = None) -> bool:
    """Whether a case names the organisation, but for that one, and for those whose erasure has begun."""
    for store, field in ((stores.consents, "grants.party"), (stores.namings, "organisation")):
        for row in store.rows.find({field: id, "case_id": {"$ne": but}}, {"case_id": 1}, session=session_of(tx)):
            if not _is_being_erased(stores, str(row["case_id"]), tx):
                return True
    return False


def _is_being_erased(stores: Stores, case_id: str, tx: Tx | None) -> bool:
    try:
        return stores.unit_of_work.gates.state(case_id, session_of(tx)) == CLOSED
    except Altered:
        # The alarm has gone out. What isn't certain keeps the organisation, and stops no other case's erasure.
        return False


def named_by(stores: Stores, case_id: str, *, tx: Tx) -> list[str]:
    """The organisations that the case names, in a consent or otherwise."""
    parties = {grant.party for consent in stores.consents.of_case(case_id, tx=tx) for grant in consent.grants}
    parties |= {naming.organisation for naming in stores.namings.of_case(case_id, tx=tx)}
    return [id for id in sorted(filter(None, parties)) if stores.organisations.exists({"_id": id}, tx=tx)]


def organisations_before(stores: Stores, id: str) -> Iterator[str]:
    """The ids of organisations that were entered before that id was made, and of which all is known that names them."""
    where = {"_id": {"$lt": id}, "all_known": True}
    return (str(row["_id"]) for row in stores.organisations.rows.find(where, {"_id": 1}))
