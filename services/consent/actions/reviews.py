"""Annual reviews: begun with each consent to a file, written about, reminded of, and what nobody answering leads to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from services.consent.actions.tasks import open_task, settle_task
from services.consent.actions.unanswered_reviews import expire_silent, settle_tasks
from services.consent.model import reviews as v
from services.consent.model.consents import CASEWORK, Consent
from services.consent.model.histories import same_person
from services.consent.model.reviews import Around, Do, Letter, Review, State, Windows
from services.consent.model.tasks import Kind
from services.consent.store import Stores
from shared import events
from shared.db.gates import OPEN
from shared.db.unit_of_work import Tx
from shared.ids import new_id
from shared.uk.working_days import london_day

LOOK_STEP = "look_at_review"
_ADULTS = frozenset({"parent", "carer", "young_person"})
#: How long the office has for what a review opens.
_TO_DO_WITHIN = timedelta(days=7)


def clock_time(stores: Stores, now: datetime, tx: Tx | None = None) -> datetime:
    """The time that reviews go by: `now`, or that of the clock's last run where time travel took it ahead."""
    return max(now, stores.clock_runs.last(tx) or now)


def schedule(stores: Stores, tx: Tx, case_id: str) -> None:
    """Each person whose consent to the file stands has a review of it, a year after their last; nobody else has one.

    For whoever changed a consent, in their transaction, at the gate of the case.
    """
    today, first_adult = london_day(tx.now), stores.first_adult(case_id, tx)
    consents = stores.consents_of(case_id, tx)
    wanted = {one.id: one for one in v.bases(consents, stores.standing(case_id, today, tx), first_adult=first_adult)}
    given = {one.id: one for one in consents}
    known = stores.reviews.of_case(case_id, tx)
    answered: list[Consent] = []
    for review in known:
        if review.state in v.OPEN and review.consent_id not in wanted:
            stores.reviews.save(tx, replace(review, state=State.OVER, next_at=None))
            settle_tasks(stores, tx, review)
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
        stores.reviews.add(tx, replace(new, next_at=v.begins_at(due_on)))


def look_again(stores: Stores, tx: Tx, case_id: str) -> None:
    """Something about the people changed: who couldn't be reached may be now."""
    for review in stores.reviews.of_case(case_id, tx):
        if review.state is State.ASKED and (review.unreached or review.returned_at is not None):
            stores.steps.add(tx, LOOK_STEP, review.id, case_id)


def restart(stores: Stores, tx: Tx, case_id: str) -> None:
    """No erasure is asked for any more: the file goes on, so whoever had been asked is asked again.

    In the transaction that releases the case, which has its gate. Were it done later, the clock or a letter that waited
    could come first, and the same person be written to twice.
    """
    if tx.gates.state(case_id, tx.session) != OPEN:
        return
    for review in stores.reviews.of_case(case_id, tx):
        asked_for = review.request_id is not None and review.state in (State.SILENT, State.ANSWERED)
        if asked_for or review.state in v.OPEN:
            _ask_anew(stores, tx, review)
    # Whoever has withdrawn meanwhile is not.
    schedule(stores, tx, case_id)
    if not any(stand.grant.purpose == CASEWORK for stand in stores.standing(case_id, london_day(tx.now), tx)):
        # The last of them withdrew, and then the erasure was taken back: nobody agrees, so somebody must ask.
        due_on = london_day(clock_time(stores, tx.now, tx) + _TO_DO_WITHIN)
        open_task(stores, tx, case_id=case_id, kind=Kind.CONSENT_EXPIRED, due_on=due_on)


def hear_stop(stores: Stores, tx: Tx, *, case_id: str, stopped: bool, at: datetime) -> None:
    """All contact has stopped, so silence is paused; or it goes on, and whoever had been asked is asked again.

    at: when that was. Whoever was asked since it went on, before this was heard, isn't written to twice.
    """
    tx.enter(case_id, frozen_too=True)
    before = stores.clock_runs.said_at(at)
    for review in stores.reviews.of_case(case_id, tx):
        if not stopped and review.state is State.ASKED and review.asked_at is not None and review.asked_at <= before:
            _ask_anew(stores, tx, review)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What the notifier says of one letter of a review."""

    review_id: str
    letter: Letter
    round: int
    at: datetime


def heard_in(data: Mapping[str, Any]) -> Heard:
    return Heard(
        review_id=str(data["review"]),
        letter=Letter(data["letter"]),
        round=int(data["round"]),
        at=datetime.fromisoformat(data["at"]),
    )


def hear_hand_over(stores: Stores, tx: Tx, windows: Windows, *, case_id: str, heard: Heard) -> None:
    """A letter of this round has gone: from now on silence may count."""
    review = _heard_of(stores, tx, case_id, heard)
    if review is None:
        return
    if heard.letter is Letter.REVIEW and review.handed_at is None and review.asked_at is not None:
        review = replace(review, handed_at=v.counts_from(heard.at, asked_at=review.asked_at))
    elif heard.letter is Letter.REMINDER and review.reminder_handed_at is None and review.reminded_at is not None:
        review = replace(review, reminder_handed_at=v.counts_from(heard.at, asked_at=review.reminded_at))
    else:
        return
    # It was thought to have failed, by another process than the one that handed it over after all.
    review = replace(review, unreached=False, next_at=None)
    settle_task(stores, tx, case_id=case_id, kind=Kind.CALL, subject_id=review.id)
    stores.reviews.save(tx, replace(review, next_at=v.looked_at(review, windows=windows)))


def hear_failure(stores: Stores, tx: Tx, *, case_id: str, heard: Heard) -> None:
    """A letter won't go, or nobody knows whether it has: somebody calls, and silence doesn't count.

    One that is known to be handed over had failed before that: it is heard late.
    """
    review = _heard_of(stores, tx, case_id, heard)
    if review is None:
        return
    known = review.handed_at if heard.letter is Letter.REVIEW else review.reminder_handed_at
    if known is not None:
        return
    _open(stores, tx, review, Kind.CALL)
    stores.reviews.save(tx, replace(review, unreached=True, next_at=None))


def hear_return(stores: Stores, tx: Tx, windows: Windows, *, case_id: str, heard: Heard) -> None:
    """A letter came back: a task, and silence counts from a second address, or in another 28 days (P21)."""
    review = _heard_of(stores, tx, case_id, heard)
    if review is None or review.returned_at is not None:
        return
    returned = replace(review, returned_at=max(heard.at, clock_time(stores, tx.now, tx)))
    _open(stores, tx, returned, Kind.RETURNED_POST)
    stores.reviews.save(tx, replace(returned, next_at=v.looked_at(replace(returned, next_at=None), windows=windows)))


def _heard_of(stores: Stores, tx: Tx, case_id: str, heard: Heard) -> Review | None:
    """The review, if it still waits for what this round leads to."""
    tx.enter(case_id, frozen_too=True)
    review = stores.reviews.get(heard.review_id, tx)
    if review is None or review.state is not State.ASKED or review.round != heard.round:
        return None
    return review


def around(
    review: Review, case: Mapping[str, Any], *, first_adult: str | None, last_entry_at: datetime | None
) -> Around:
    """What the case service's answer means for a review. Only a digest of an address is made of it, nothing is kept."""
    who = review.person_id or first_adult
    person = next((one for one in case["people"] if one["id"] == who and one["role"] in _ADULTS), None)
    reach = next((one for one in case["reach"] if one["person_id"] == who), None)
    ways = None
    if person is not None and reach is not None and (reach["post"] != "no" or reach["email"] != "no"):
        address = [str(line) for line in person.get("address") or ()] if reach["post"] != "no" else []
        email = str(person.get("email") or "") if reach["email"] != "no" else ""
        ways = sha256("\n".join((*address, "", email)).encode()).hexdigest()
    return Around(ways=ways, stopped=bool(case["contact_stopped"]), last_entry_at=last_entry_at)


def look(
    stores: Stores, windows: Windows, *, review_id: str, around: Around, elsewhere: tuple[str, ...], now: datetime
) -> None:
    """Do what is to be done about one review now. Nothing while its case is frozen; may be done again."""

    def act(tx: Tx) -> None:
        review = stores.reviews.get(review_id, tx)
        if review is None or review.state not in v.OPEN:
            return
        tx.enter(review.case_id, frozen_too=True)
        if tx.gates.state(review.case_id, tx.session) != OPEN:
            # It is looked at again once the case is released (`restart`).
            stores.reviews.save(tx, replace(review, next_at=None))
            return
        step = v.next_step(review, around, now=now, windows=windows)
        match step.do:
            case Do.WRITE:
                _write(stores, tx, review, around, windows, now)
            case Do.REMIND:
                reminded = replace(review, reminded_at=now, next_at=None)
                stores.reviews.save(tx, reminded)
                _ask_for(stores, tx, reminded, Letter.REMINDER, now, windows.after_reminder)
            case Do.EXPIRE:
                expire_silent(stores, tx, review, windows, elsewhere, now)
            case Do.ASK_BY_PHONE:
                _open(stores, tx, review, Kind.ASK_BY_PHONE)
                stores.reviews.save(tx, replace(review, next_at=step.look_at))
            case Do.CALL:
                _open(stores, tx, review, Kind.CALL)
                stores.reviews.save(tx, replace(review, next_at=step.look_at))
            case Do.WAIT:
                stores.reviews.save(tx, replace(review, next_at=step.look_at))

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


def _ask_anew(stores: Stores, tx: Tx, review: Review) -> None:
    """Nothing that was asked before counts any more; the clock finds it when it is due, or at once."""
    stores.reviews.save(tx, replace(_begun_anew(review), next_at=v.begins_at(review.due_on)))


def _write(stores: Stores, tx: Tx, review: Review, around: Around, windows: Windows, now: datetime) -> None:
    settle_tasks(stores, tx, review)
    anew = _begun_anew(review)
    asked = replace(anew, state=State.ASKED, asked_at=now, ways=around.ways, next_at=None)
    stores.reviews.save(tx, asked)
    _ask_for(stores, tx, asked, Letter.REVIEW, now, windows.window)


def _ask_for(stores: Stores, tx: Tx, review: Review, letter: Letter, now: datetime, window: timedelta) -> None:
    person = review.person_id or stores.first_adult(review.case_id, tx)
    if person is None:
        raise RuntimeError("a review was to be written about to nobody")
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


def _open(stores: Stores, tx: Tx, review: Review, kind: Kind) -> None:
    due_on = london_day(clock_time(stores, tx.now, tx) + _TO_DO_WITHIN)
    before = stores.tasks.about(tx, review.case_id, kind, review.id)
    if before is None or before.done_at is not None:
        open_task(stores, tx, case_id=review.case_id, kind=kind, subject_id=review.id, due_on=due_on)
