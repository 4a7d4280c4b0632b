"""What an annual review without an answer leads to: the person's consents end, or an erasure is requested (P22)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from services.consent.actions.automatic_erasures import request_erasure
from services.consent.actions.standing_events import emit_standing
from services.consent.actions.tasks import settle_review_tasks
from services.consent.context import Context
from services.consent.model import reviews as v
from services.consent.model import rights
from services.consent.model.consents import Ended, Ending, Grant, Standing
from services.consent.model.requests import SYSTEM
from services.consent.model.reviews import Review, State, Windows
from services.consent.store import Stores, queries
from shared import events
from shared.db.unit_of_work import Tx
from shared.ids import new_id
from shared.known_consents import CASEWORK
from shared.uk.working_days import london_day


def expire_unanswered(context: Context, tx: Tx, review: Review, now: datetime) -> None:
    """This person's consents end; or, where no other person's consent stands, an erasure is requested (P22)."""
    stores, case_id, today = context.stores, review.case_id, london_day(tx.now)
    first_adult = queries.first_adult(stores, case_id, tx=tx)
    consents, stands = stores.consents.of_case(case_id, tx=tx), queries.standing(stores, case_id, today, tx=tx)
    base = next(one for one in consents if one.id == review.consent_id)
    theirs = v.standing_of(base, consents, stands, first_adult=first_adult)
    settle_review_tasks(stores, tx, review)
    if _others_stand(stores, tx, review, theirs, stands, context.windows, now):
        by_consent: dict[str, list[Grant]] = {}
        for stand in theirs:
            by_consent.setdefault(stand.consent_id, []).append(stand.grant)
        for consent_id, grants in by_consent.items():
            ending = Ending(
                id=new_id(),
                case_id=case_id,
                consent_id=consent_id,
                kind=Ended.SILENT,
                grants=tuple(grants),
                recorded_at=tx.now,
            )
            stores.endings.add(ending, tx=tx)
        stores.reviews.save(replace(review, state=State.SILENT, next_at=None), tx=tx)
        emit_standing(stores, tx, events.consent.EXPIRED, case_id=case_id, consent_id=base.id, today=today)
        return
    request_id = request_erasure(
        context,
        tx,
        base,
        id=new_id(),
        at=tx.now,
        channel="letter",
        note="The annual review was not answered.",
        logged_by=SYSTEM,
    )
    stores.reviews.save(replace(review, state=State.SILENT, request_id=request_id, next_at=None), tx=tx)


def _others_stand(
    stores: Stores,
    tx: Tx,
    review: Review,
    theirs: tuple[Standing, ...],
    stands: tuple[Standing, ...],
    windows: Windows,
    now: datetime,
) -> bool:
    """Whether another person agrees to the file, whose own review isn't over without an answer."""
    today, mine = london_day(tx.now), {s.consent_id for s in theirs}
    silent = {
        one.consent_id
        for one in stores.reviews.of_case(review.case_id, tx=tx)
        if one.id != review.id and v.due(one, now=now, windows=windows) is v.Due.EXPIRE
    }
    speaking = rights.speaking(stands, stores.rights.of_case(review.case_id, tx=tx), today=today)
    return any(
        s.grant.purpose == CASEWORK and s.consent_id not in mine and s.consent_id not in silent for s in speaking
    )
