"""The last letter, once the erasure is proven: handed over, destroyed, and its outcome told.

`sending` is committed before each hand-over. A hand-over that may have worked is `unknown`, and is never repeated. A
letter that hasn't gone in time is destroyed unsent: forgetting comes before telling.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from services.notifier.actions.last_letters import destroy_sealed
from services.notifier.context import Context
from services.notifier.letters import Email
from services.notifier.model.last_letters import (
    LastLetter,
    LetterState,
    Outcome,
    SealedLetter,
    SealedState,
    letter_key,
    outcome_of,
)
from services.notifier.model.notifications import Channel
from services.notifier.store import Stores, put_last_letter
from services.notifier.transports import Refused, TryAgain, Unknown
from shared.db.unit_of_work import Tx
from shared.erasure.participant import SECOND_STEP
from shared.errors import Changed
from shared.ids import new_id
from shared.messaging.steps import StepRow
from shared.ops.logs import log

DELIVERY_STEP: Final = "hand_over_last_letter"
_SLOWEST: Final = timedelta(minutes=5)


def start(stores: Stores, tx: Tx, *, request: str, case_id: str, due_at: datetime) -> None:
    """The erasure is proven: what is sealed may go, until `due_at`."""
    tx.gates.touch(tx.session, case_id)
    put_last_letter(stores, request, case_id, due_at=due_at, tx=tx)
    stores.steps.add(tx, DELIVERY_STEP, request, case_id)


def settle(stores: Stores, tx: Tx, *, request: str, case_id: str, outcome: Outcome) -> None:
    """End it with this outcome: what is sealed, now or later, is destroyed. An outcome that is known already stands."""
    tx.gates.touch(tx.session, case_id)
    found = stores.last_letters.get(request, tx=tx)
    if found is None or found.outcome is None:
        ended = [outcome, *(found.ended if found is not None else ())]
        if stores.sealed_letters.exists({"request": request, "state": SealedState.SENDING}, tx=tx):
            # Being handed over at this moment: whether it goes will never be known.
            ended.append(Outcome.UNKNOWN)
        destroy_sealed(stores, tx, request)
        _end(stores, tx, request, case_id, ended)
    stores.steps.add(tx, DELIVERY_STEP, request, case_id)


def deliver(context: Context, step: StepRow) -> datetime | None:
    """Hand over what is sealed for the request; once nothing is, tell the outcome. Returns when to try again."""
    stores, request, case_id = context.stores, step.key, str(step.case_id)
    found = stores.last_letters.get(request)
    if found is None:
        return None
    if found.outcome is None and found.due_at is not None:
        for letter in stores.sealed_letters.find({"request": request}):
            _deliver_one(context, letter, due_at=found.due_at, now=step.now)
        if stores.sealed_letters.exists({"request": request}):
            return _retry_at(stores, found, due_at=found.due_at, now=step.now)

    def act(tx: Tx) -> None:
        tx.gates.touch(tx.session, case_id)
        if stores.keys.doom(tx, letter_key(request), then=(step.kind, request, case_id)):
            return
        latest = stores.last_letters.get(request, tx=tx)
        if latest is not None and latest.outcome is None:
            _end(stores, tx, request, case_id, latest.ended)
        stores.steps.add(tx, SECOND_STEP, request, case_id)

    stores.unit_of_work.run(act)
    return None


def receipt_claims(context: Context, case_id: str, request: str, number: int) -> dict[str, Any]:
    """What the second receipt says of the last letter; nothing in the first, or while it isn't known."""
    found = context.stores.last_letters.get(request) if number == 2 else None
    return {} if found is None or found.outcome is None else {"last_letter": found.outcome.value}


def _end(stores: Stores, tx: Tx, request: str, case_id: str, ended: Iterable[Outcome]) -> None:
    outcome = outcome_of(ended)
    put_last_letter(stores, request, case_id, state=LetterState.DONE, outcome=outcome, done_at=tx.now, tx=tx)


def _retry_at(stores: Stores, found: LastLetter, *, due_at: datetime, now: datetime) -> datetime:
    """Count a try that failed; when to try again, at the latest once its time is over."""
    tries = found.tries + 1
    stores.unit_of_work.run(lambda tx: put_last_letter(stores, found.id, found.case_id, tries=tries, tx=tx))
    log.warning("last_letter.not_handed_over", request=found.id, case_id=found.case_id, attempt=tries)
    return min(now + min(_SLOWEST, timedelta(seconds=2.0 ** min(tries, 10))), max(due_at, now + timedelta(seconds=1)))


def _deliver_one(context: Context, letter: SealedLetter, *, due_at: datetime, now: datetime) -> None:
    """One sealed letter: gone, destroyed unsent, or still sealed for a later try."""
    stores = context.stores
    if letter.state is SealedState.SENDING:
        # A process died between `sending` and the outcome; only the printer can tell.
        printed = letter.channel is Channel.LETTER and context.transports.has_printed(letter.id)
        _destroy(stores, letter, Outcome.SENT if printed else Outcome.UNKNOWN)
        return
    if now >= due_at:
        _destroy(stores, letter, Outcome.UNDELIVERABLE)
        return
    sending = _move(stores, replace(letter, state=SealedState.SENDING, attempt=new_id()))
    if sending is None:
        return
    ended = _hand_over(context, sending, now)
    if isinstance(ended, Outcome):
        _destroy(stores, sending, ended)
        return
    # It certainly hasn't gone: by post where the mailbox refused it, else later.
    sealed = _move(stores, replace(sending, state=SealedState.SEALED, attempt=None, channel=ended))
    if sealed is not None and ended is not sending.channel:
        _deliver_one(context, sealed, due_at=due_at, now=now)


def _hand_over(context: Context, letter: SealedLetter, now: datetime) -> Outcome | Channel:
    """How it ended; or, when it certainly hasn't gone and still may, by which channel."""
    content = letter.personal
    try:
        if letter.channel is Channel.EMAIL:
            email = Email(**content.email or {})
            context.transports.send_email(id=letter.id, to=content.to or "", email=email, now=now)
        else:
            context.transports.print_letter(id=letter.id, pdf=content.pdf or b"")
    except TryAgain:
        return letter.channel
    except Refused:
        by_post = letter.channel is Channel.EMAIL and content.pdf is not None
        return Channel.LETTER if by_post else Outcome.UNDELIVERABLE
    except Unknown:
        return Outcome.UNKNOWN
    return Outcome.SENT


def _move(stores: Stores, letter: SealedLetter) -> SealedLetter | None:
    """Commit where the letter is now; None when it was settled, or taken by another process, meanwhile."""
    with suppress(Changed):
        return stores.unit_of_work.run(lambda tx: stores.sealed_letters.save(letter, tx=tx))
    return None


def _destroy(stores: Stores, letter: SealedLetter, outcome: Outcome) -> None:
    """Destroy one sealed letter and note how it ended; nothing when it was settled meanwhile."""

    def act(tx: Tx) -> None:
        stores.sealed_letters.remove(letter, tx=tx)
        found = stores.last_letters.get(letter.request, tx=tx)
        ended = () if found is None else found.ended
        put_last_letter(stores, letter.request, letter.case_id, ended=(*ended, outcome), tx=tx)

    with suppress(Changed):
        stores.unit_of_work.run(act)
