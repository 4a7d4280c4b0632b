"""Organisations: entered, named by cases, and removed with their keys once no case names them any more.

An organisation may be one person ("Mrs Canary, tutor"). What names it lies here: the consents of a case and, for
records of other services that rest on no consent to it, the case's namings. Both go with the case. So this service
alone knows whether it is named, and other services have it named before they write such a record.

Removing takes two transactions. The first finds it unnamed and marks it as ending, so that nothing may name it any
more. When every transaction is over that may not have seen the mark, the second looks again and removes it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from services.consent.context import Context
from services.consent.model.organisations import (
    SETTLES,
    UNNAMED_KEPT,
    Naming,
    Next,
    Organisation,
    next_of,
    organisation_key,
    with_end,
)
from services.consent.store import Stores, queries
from shared.db.unit_of_work import Tx
from shared.errors import Conflict, NotFound
from shared.ids import first_id_at, new_id
from shared.messaging.steps import StepRow

END_STEP: Final = "end_organisation"
# The step that removes it comes round, and a rotation destroys its key.
_REMOVED_WITHIN: Final = timedelta(minutes=2)
NO_ORGANISATION: Final = "There is no such organisation here."
_ENDING: Final = (
    "An organisation named here is being removed, because no case named it. Nothing was stored. Enter it again, and "
    "use its new id."
)


def add_organisation(stores: Stores, new: Organisation) -> Organisation:
    """Enter an organisation that a consent, a contact or a document can name by its id."""

    def act(tx: Tx) -> Organisation:
        stores.keys.make(tx, organisation_key(new.id))
        return stores.organisations.add(new, tx=tx)

    return stores.unit_of_work.run(act)


def name_organisation(stores: Stores, *, id: str, case_id: str) -> None:
    """Keep the organisation for as long as the case lasts. Raises NotFound, also of one that is ending; as the gate."""

    def act(tx: Tx) -> None:
        tx.enter(case_id)
        if queries.organisation(stores, id, tx=tx) is None:
            raise NotFound(NO_ORGANISATION)
        if not stores.namings.exists({"case_id": case_id, "organisation": id}, tx=tx):
            stores.namings.add(Naming(id=new_id(), case_id=case_id, organisation=id), tx=tx)

    stores.unit_of_work.run(act)


def refuse_ending(stores: Stores, tx: Tx, parties: set[str]) -> None:
    """Raises Conflict where one of these is an organisation that is ending, or has been removed, by now."""
    for party in sorted(parties):
        found = stores.organisations.get(party, tx=tx)
        if stores.keys.was_doomed(tx, organisation_key(party)) if found is None else found.ending_at is not None:
            raise Conflict(_ENDING)


def let_go(stores: Stores, tx: Tx, case_id: str) -> int:
    """Look at what the case names, now that its erasure begins, and remove what no other case names.

    Returns how many organisations stay, because other cases name them.
    """
    stay = 0
    for id in queries.named_by(stores, case_id, tx=tx):
        if queries.is_named(stores, id, but=case_id, tx=tx):
            stay += 1
        else:
            stores.steps.add(tx, END_STEP, id, None)
    return stay


def gone_by(stores: Stores, tx: Tx) -> datetime | None:
    """When the organisations are gone that are being removed now; None where none is."""
    is_ending = stores.organisations.exists({"ending_at": {"$type": "date"}}, tx=tx)
    return tx.now + SETTLES + _REMOVED_WITHIN if is_ending else None


def end_step(context: Context, step: StepRow) -> datetime | None:
    """See `end_unless_named`."""
    return end_unless_named(context.stores, id=step.key, now=step.now)


def end_unless_named(stores: Stores, *, id: str, now: datetime) -> datetime | None:
    """Take the next step of removing it; when to look again, None once it is removed or found to be named."""

    def act(tx: Tx) -> datetime | None:
        found = stores.organisations.get(id, tx=tx)
        if found is None:
            return None
        match next_of(found, named=queries.is_named(stores, id, tx=tx), now=now):
            case Next.KEEP:
                if found.ending_at is not None:
                    stores.organisations.save(with_end(found, None), tx=tx)
                return None
            case Next.END:
                stores.organisations.save(with_end(found, now), tx=tx)
            case Next.REMOVE:
                stores.organisations.remove(found, tx=tx)
                stores.keys.doom(tx, organisation_key(id))
                return None
        return (found.ending_at or now) + SETTLES

    return stores.unit_of_work.run(act)


def end_unnamed(context: Context, now: datetime) -> int:
    """Remove what was entered more than thirty days ago and no case names; how many are looked at for that."""
    stores, count = context.stores, 0
    for id in queries.organisations_before(stores, first_id_at(now - UNNAMED_KEPT)):
        if not queries.is_named(stores, id):
            stores.unit_of_work.run(lambda tx, id=id: stores.steps.add(tx, END_STEP, id, None))  # type: ignore[misc]
            count += 1
    return count
