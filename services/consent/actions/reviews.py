"""Annual reviews: begun with each consent to a file, written about, reminded of, and ended without an answer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from services.consent.actions.clock_time import clock_time, clock_time_then
from services.consent.actions.tasks import TO_DO_WITHIN, open_review_task, open_task, settle_review_tasks
from services.consent.actions.unanswered_reviews import expire_unanswered
from services.consent.context import Context
from services.consent.model import reviews as v
from services.consent.model.consents import Consent
from services.consent.model.histories import same_person
from services.consent.model.reviews import Circumstances, Do, Letter, Review, State
from services.consent.model.tasks import Kind
from services.consent.store import Stores, queries
from shared import events
from shared.db.gates import OPEN
from shared.db.unit_of_work import Tx
from shared.errors import Erased, NotFound
from shared.events.case import ADULTS
from shared.ids import new_id
from shared.known_consents import CASEWORK
from shared.messaging.steps import StepRow
from shared.uk.working_days import london_day

REVIEW_STEP = "look_at_review"


def schedule(stores: Stores, tx: Tx, case_id: str) -> None:
    """Each person whose consent to the file stands has a review of it, a year after their last; no other person has.

    Belongs to every change of a consent, in the same transaction, which went through the gate of the case.
    """
    first_adult = queries.first_adult(stores, case_id, tx=tx)
    consents, stands = (
        stores.consents.of_case(case_id, tx=tx),
        queries.standing(stores, case_id, london_day(tx.now), tx=tx),
    )
    wanted = {one.id: one for one in v.bases(consents, stands, first_adult=first_adult)}
    given = {one.id: one for one in consents}
    known = stores.reviews.of_case(case_id, tx=tx)
    answered: list[Consent] = []
    for review in known:
        if review.state in v.OPEN and review.consent_id not in wanted:
            stores.reviews.save(replace(review, state=State.OVER, next_at=None), tx=tx)
            settle_review_tasks(stores, tx, review)
            if review.state is State.ASKED and review.consent_id in given:
                answered.append(given[review.consent_id])
    for base in wanted.values():
        if any(review.consent_id == base.id for review in known):
            continue
        # A clock that time travel took ahead counts a consent from its own time, as it does everything of a review.
        since = base.given_at + (clock_time(stores, tx.now, tx) - tx.now)
        if any(same_person(base, one, first_adult=first_adult) for one in answered):
            # They were asked at the clock's time, so what they said counts from there.
            since = max(base.given_at, clock_time(stores, tx.now, tx))
        due_on = v.a_year_after(london_day(since))
        new = Review(id=new_id(), case_id=case_id, consent_id=base.id, person_id=base.person_id, due_on=due_on)
        stores.reviews.add(replace(new, next_at=v.begins_at(due_on)), tx=tx)


def schedule_unreached(stores: Stores, tx: Tx, case_id: str) -> None:
    """The people changed: a person who couldn't be reached about their review may be reached now."""
    for review in stores.reviews.of_case(case_id, tx=tx):
        if review.state is State.ASKED and (review.unreached or review.returned_at is not None):
            stores.steps.add(tx, REVIEW_STEP, review.id, case_id)


def restart(context: Context, tx: Tx, case_id: str) -> None:
    """No erasure is asked for any more: the file goes on, so each person who had been asked is asked again.

    In the transaction that releases the case, which has its gate. Were it done later, the clock or a letter that waited
    could come first, and the same person be written to twice.
    """
    stores = context.stores
    if tx.gates.state(case_id, tx.session) != OPEN:
        return
    for review in stores.reviews.of_case(case_id, tx=tx):
        asked_for = review.request_id is not None and review.state in (State.SILENT, State.ANSWERED)
        if asked_for or review.state in v.OPEN:
            _begin_anew(stores, tx, review)
    # Not a person who has withdrawn meanwhile.
    schedule(stores, tx, case_id)
    stands = queries.standing(stores, case_id, london_day(tx.now), tx=tx)
    if not any(stand.grant.purpose == CASEWORK for stand in stands):
        # The last of them withdrew, and then the erasure was taken back: no consent stands, so the office must ask.
        due_on = london_day(clock_time(stores, tx.now, tx) + TO_DO_WITHIN)
        open_task(stores, tx, case_id=case_id, kind=Kind.CONSENT_EXPIRED, due_on=due_on)


def record_contact_stop(stores: Stores, tx: Tx, *, case_id: str, stopped: bool, at: datetime) -> None:
    """All contact has stopped, so silence is paused; or it goes on, and each person who had been asked is asked again.

    at: when that was. A person who was asked since it went on, before this was known, isn't written to twice.
    """
    tx.enter(case_id, frozen_too=True)
    before = clock_time_then(stores, at)
    for review in stores.reviews.of_case(case_id, tx=tx):
        if not stopped and review.state is State.ASKED and review.asked_at is not None and review.asked_at <= before:
            _begin_anew(stores, tx, review)


def circumstances_of(
    review: Review, case: Mapping[str, Any], *, first_adult: str | None, last_entry_at: datetime | None
) -> Circumstances:
    """What the case service's answer means for a review. Only a digest of an address is made of it, nothing is kept."""
    who = review.person_id or first_adult
    person = next((one for one in case["people"] if one["id"] == who and one["role"] in ADULTS), None)
    reach = next((one for one in case["reach"] if one["person_id"] == who), None)
    ways = None
    if person is not None and reach is not None and (reach["post"] != "no" or reach["email"] != "no"):
        address = [str(line) for line in person.get("address") or ()] if reach["post"] != "no" else []
        email = str(person.get("email") or "") if reach["email"] != "no" else ""
        ways = sha256("\n".join((*address, "", email)).encode()).hexdigest()
    return Circumstances(ways=ways, stopped=bool(case["contact_stopped"]), last_entry_at=last_entry_at)


def review_step(context: Context, step: StepRow) -> None:
    """Ask the case service how things are, and do what is due about one review."""
    stores = context.stores
    review = stores.reviews.get(step.key)
    if review is None:
        return
    with suppress(NotFound, Erased):
        case = context.calls.get("case", f"/cases/{review.case_id}")
        last = context.calls.get("case", f"/cases/{review.case_id}/last-entry").get("at")
        circumstances = circumstances_of(
            review,
            case,
            first_adult=queries.first_adult(stores, review.case_id),
            # By the clock: where time travel had taken it ahead, an entry was made at its time.
            last_entry_at=None if last is None else clock_time_then(stores, datetime.fromisoformat(last)),
        )
        process_review(context, review_id=review.id, circumstances=circumstances, now=clock_time(stores, step.now))


def process_review(context: Context, *, review_id: str, circumstances: Circumstances, now: datetime) -> None:
    """Do what is to be done about one review now. Nothing while its case is frozen; may be done again."""
    stores = context.stores

    def act(tx: Tx) -> None:
        review = stores.reviews.get(review_id, tx=tx)
        if review is None or review.state not in v.OPEN:
            return
        tx.enter(review.case_id, frozen_too=True)
        if tx.gates.state(review.case_id, tx.session) != OPEN:
            # It is looked at again once the case is released (`restart`).
            stores.reviews.save(replace(review, next_at=None), tx=tx)
            return
        step = v.next_step(review, circumstances, now=now, windows=context.windows)
        match step.do:
            case Do.WRITE:
                _send_review(context, tx, review, circumstances, now)
            case Do.REMIND:
                reminded = replace(review, reminded_at=now, next_at=None)
                stores.reviews.save(reminded, tx=tx)
                _emit_review_asked(stores, tx, reminded, Letter.REMINDER, now, context.windows.after_reminder)
            case Do.EXPIRE:
                expire_unanswered(context, tx, review, now)
            case Do.ASK_BY_PHONE | Do.CALL | Do.WAIT:
                if step.do is not Do.WAIT:
                    open_review_task(stores, tx, review, Kind(step.do))
                stores.reviews.save(replace(review, next_at=step.look_at), tx=tx)

    stores.unit_of_work.run(act)


def _begun_anew(review: Review) -> Review:
    """The same review, not asked yet, and with nothing counting of what was."""
    return replace(
        review,
        state=State.SCHEDULED,
        round=review.round + (1 if review.asked_at is not None else 0),
        asked_at=None,
        handed_at=None,
        reminded_at=None,
        reminder_handed_at=None,
        unreached=False,
        returned_at=None,
        decision=None,
        answered_at=None,
        channel=None,
        request_id=None,
        by=None,
    )


def _begin_anew(stores: Stores, tx: Tx, review: Review) -> None:
    """Nothing that was asked before counts any more; the clock finds it when it is due, or at once."""
    stores.reviews.save(replace(_begun_anew(review), next_at=v.begins_at(review.due_on)), tx=tx)


def _send_review(context: Context, tx: Tx, review: Review, circumstances: Circumstances, now: datetime) -> None:
    settle_review_tasks(context.stores, tx, review)
    anew = _begun_anew(review)
    asked = replace(anew, state=State.ASKED, asked_at=now, ways=circumstances.ways, next_at=None)
    context.stores.reviews.save(asked, tx=tx)
    _emit_review_asked(context.stores, tx, asked, Letter.REVIEW, now, context.windows.window)


def _emit_review_asked(
    stores: Stores, tx: Tx, review: Review, letter: Letter, now: datetime, window: timedelta
) -> None:
    person = review.person_id or queries.first_adult(stores, review.case_id, tx=tx)
    if person is None:
        raise RuntimeError("a review letter has no person to go to")
    tx.emit(
        events.consent.REVIEW_ASKED,
        {
            "case": review.case_id,
            "person": person,
            "review": review.id,
            "letter": str(letter),
            "round": review.round,
            "asked_at": now.isoformat(),
            "days": window.days,
        },
    )
