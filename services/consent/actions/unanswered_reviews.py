"""What nobody answering an annual review leads to: their consents end, or an erasure is asked for (P22)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from services.consent.actions.automatic_erasures import ask_erasure
from services.consent.actions.standing_events import tell
from services.consent.actions.tasks import settle_task
from services.consent.model import reviews as v
from services.consent.model import rights
from services.consent.model.consents import CASEWORK, Ended, Ending, Grant, Standing
from services.consent.model.requests import SYSTEM
from services.consent.model.reviews import Review, State, Windows
from services.consent.model.tasks import Kind
from services.consent.store import Stores
from shared import events
from shared.db.unit_of_work import Tx
from shared.ids import new_id
from shared.uk.working_days import london_day

_ABOUT_A_REVIEW = (Kind.RETURNED_POST, Kind.ASK_BY_PHONE, Kind.CALL)


def expire_silent(
    stores: Stores, tx: Tx, review: Review, windows: Windows, elsewhere: tuple[str, ...], now: datetime
) -> None:
    """Nobody answered: this person's consents end; or, where nobody else's stands, an erasure is asked for (P22)."""
    case_id, today, first_adult = review.case_id, london_day(tx.now), stores.first_adult(review.case_id, tx)
    consents, stands = stores.consents_of(case_id, tx), stores.standing(case_id, today, tx)
    base = next(one for one in consents if one.id == review.consent_id)
    theirs = v.standing_of(base, consents, stands, first_adult=first_adult)
    settle_tasks(stores, tx, review)
    if _others_stand(stores, tx, review, theirs, stands, windows, now):
        by_consent: dict[str, list[Grant]] = {}
        for stand in theirs:
            by_consent.setdefault(stand.consent_id, []).append(stand.grant)
        for consent_id, grants in by_consent.items():
            stores.add_ending(tx, _silent(case_id, consent_id, tuple(grants), tx.now))
        stores.reviews.save(tx, replace(review, state=State.SILENT, next_at=None))
        tell(stores, tx, events.consent.EXPIRED, case_id=case_id, consent_id=base.id, today=today)
        return
    asked = ask_erasure(
        stores,
        tx,
        base,
        id=new_id(),
        at=tx.now,
        channel="letter",
        note="Nobody answered the annual review.",
        logged_by=SYSTEM,
        elsewhere=elsewhere,
    )
    stores.reviews.save(tx, replace(review, state=State.SILENT, request_id=asked, next_at=None))


def _others_stand(
    stores: Stores,
    tx: Tx,
    review: Review,
    theirs: tuple[Standing, ...],
    stands: tuple[Standing, ...],
    windows: Windows,
    now: datetime,
) -> bool:
    """Whether somebody else agrees to the file, and hasn't been silent themselves."""
    today, mine = london_day(tx.now), {s.consent_id for s in theirs}
    silent = {
        one.consent_id
        for one in stores.reviews.of_case(review.case_id, tx)
        if one.id != review.id and v.due(one, now=now, windows=windows) is v.Due.EXPIRE
    }
    speaking = rights.speaking(stands, stores.young_of(review.case_id, tx), today=today)
    return any(
        s.grant.purpose == CASEWORK and s.consent_id not in mine and s.consent_id not in silent for s in speaking
    )


def _silent(case_id: str, consent_id: str, grants: tuple[Grant, ...], at: datetime) -> Ending:
    return Ending(id=new_id(), case_id=case_id, consent_id=consent_id, kind=Ended.SILENT, grants=grants, at=at)


def settle_tasks(stores: Stores, tx: Tx, review: Review) -> None:
    """What was to be done about somebody who wasn't reached needs no doing any more."""
    for kind in _ABOUT_A_REVIEW:
        settle_task(stores, tx, case_id=review.case_id, kind=kind, subject_id=review.id)
