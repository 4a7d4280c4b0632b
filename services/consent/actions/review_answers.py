"""The answer to an annual review: go on with the file, or forget it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from services.consent.actions.automatic_erasures import authority_of, request_erasure
from services.consent.actions.consents import enter_consent
from services.consent.actions.rights import refuse_ending, refuse_parental
from services.consent.actions.tasks import settle_review_tasks
from services.consent.context import Context
from services.consent.model import reviews as v
from services.consent.model import rights
from services.consent.model.consents import Consent, Grant
from services.consent.model.reviews import Answer, Review, State
from services.consent.store import Stores, queries
from shared.db.unit_of_work import Tx
from shared.errors import Conflict, NotFound
from shared.ids import new_id
from shared.known_consents import CASEWORK
from shared.uk.working_days import london_day

NO_REVIEW = "There is no such review here."
_OVER = "This review is over: the consent it was about has ended, or a newer one was given. Nothing was changed."


def answer(
    context: Context,
    *,
    review_id: str,
    decision: Answer,
    channel: str,
    by: str,
    recorded_by: str,
    now: datetime,
) -> Review:
    """Record what a person answered; the same answer again is the first one.

    renew: a consent like theirs, given now, to everything that they agreed to and that stands. forget: an erasure is
    requested, in their name. Raises NotFound, Erased; Conflict for another answer than the first, for a review that
    is over, or on parental authority that has passed; Frozen for renewing while an erasure is asked for.
    """
    stores = context.stores

    def act(tx: Tx) -> Review:
        review = stores.reviews.get(review_id, tx=tx)
        if review is None:
            raise NotFound(NO_REVIEW)
        tx.enter(review.case_id, frozen_too=decision is Answer.FORGET or review.state is State.ANSWERED)
        if review.state is State.ANSWERED:
            if review.decision is decision:
                return review
            raise Conflict("This review was answered before, and differently. Nothing was changed.")
        consents = stores.consents.of_case(review.case_id, tx=tx)
        base = next((one for one in consents if one.id == review.consent_id), None)
        if base is None or review.state is State.OVER:
            raise Conflict(_OVER)
        if decision is Answer.FORGET:
            authority = authority_of(base)
            refuse_ending(stores, tx, review.case_id, authority=authority, person_id=base.person_id, now=now)
        if not rights.is_own_word(base.capacity, base.for_person_id):
            refuse_parental(stores, tx, review.case_id, now)
        answered = replace(
            review,
            state=State.ANSWERED,
            decision=decision,
            answered_at=tx.now,
            channel=channel,
            by=by,
            next_at=None,
        )
        if decision is Answer.FORGET:
            request_id = request_erasure(
                context,
                tx,
                base,
                id=new_id(),
                at=tx.now,
                channel=channel,
                note="Asked for in answer to the annual review.",
                logged_by=recorded_by,
            )
            answered = stores.reviews.save(replace(answered, request_id=request_id), tx=tx)
        else:
            answered = _renew(stores, tx, answered, base, consents, recorded_by=recorded_by)
        settle_review_tasks(stores, tx, review)
        return answered

    return stores.unit_of_work.run(act)


def _renew(
    stores: Stores, tx: Tx, answered: Review, base: Consent, consents: Sequence[Consent], *, recorded_by: str
) -> Review:
    """What was agreed to goes on as it is, with the words that they were shown when they agreed to it."""
    first_adult = queries.first_adult(stores, base.case_id, tx=tx)
    stands = queries.standing(stores, base.case_id, london_day(tx.now), tx=tx)
    theirs = v.standing_of(base, consents, stands, first_adult=first_adult)
    if not any(stand.grant.purpose == CASEWORK for stand in theirs):
        raise Conflict(_OVER)
    grants: dict[Grant, Grant] = {}
    for stand in theirs:
        kept = grants.get(stand.grant)
        if kept is None or (kept.until is not None and (stand.grant.until is None or stand.grant.until > kept.until)):
            grants[stand.grant] = stand.grant
    renewed = replace(
        base,
        id=new_id(),
        channel=str(answered.channel),
        given_at=tx.now,
        grants=tuple(grants.values()),
        evidence=None,
        recorded_at=tx.now,
        recorded_by=recorded_by,
    )
    # The next year's review is reckoned from the time by which they were asked, so this one is answered after it.
    enter_consent(stores, tx, renewed, consents, stands)
    latest = stores.reviews.get(answered.id, tx=tx)
    version = answered.version if latest is None else latest.version
    return stores.reviews.save(replace(answered, version=version), tx=tx)
