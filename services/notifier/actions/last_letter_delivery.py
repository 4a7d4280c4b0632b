"""The last letter, once the erasure is proven: handed over, destroyed, and its outcome told.

`sending` is committed before each hand-over. What nobody can say is `unknown`, and is never repeated. What hasn't
gone when its time is over is destroyed unsent: forgetting comes before telling.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from services.notifier import model as m
from services.notifier.actions.external import Outside
from services.notifier.actions.last_letters import letter_key
from services.notifier.actions.writing import as_email
from services.notifier.outways import Refused, TryAgain, Unknown
from shared.db import Record
from shared.db.unit_of_work import Tx
from shared.erasure.participant import SECOND_STEP
from shared.ids import new_id
from shared.messaging.steps import StepRow
from shared.ops.logs import log

if TYPE_CHECKING:
    from services.notifier.store import Stores

OVER_STEP = "hand_over_last_letter"
_SLOWEST = timedelta(minutes=5)


def verified(stores: Stores, tx: Tx, *, request: str, case_id: str, due_at: datetime) -> None:
    """The erasure is proven: what is sealed may go, until `due_at`."""
    tx.gates.touch(tx.session, case_id)
    stores.put_last_letter(tx, request, case_id, due_at=due_at)
    stores.steps.add(tx, OVER_STEP, request, case_id)


def settle(stores: Stores, tx: Tx, *, request: str, case_id: str, outcome: m.Outcome) -> None:
    """A manager settles how it ended: what is sealed, now or later, is destroyed. What is known already stands."""
    tx.gates.touch(tx.session, case_id)
    row = stores.last_letter(request, tx)
    if row is None or row["outcome"] is None:
        ended = [outcome.value, *(row["ended"] if row is not None else [])]
        if stores.still_sealed(request, state="sending", tx=tx):
            # Being handed over at this moment: nobody will know.
            ended.append(m.Outcome.UNKNOWN.value)
        stores.forget_sealed(tx, request)
        _done(stores, tx, request, case_id, m.outcome_of(ended))
    stores.steps.add(tx, OVER_STEP, request, case_id)


def hand_over(stores: Stores, outside: Outside, step: StepRow) -> datetime | None:
    """Hand over what is sealed for the request; once nothing is, tell the outcome. Returns when to try again."""
    request, case_id = step.key, str(step.case_id)
    row = stores.last_letter(request)
    if row is None:
        return None
    if row["outcome"] is None and row["due_at"] is not None:
        due_at: datetime = row["due_at"]
        for letter in stores.sealed_of(request):
            _send(stores, outside, letter, request=request, due_at=due_at, now=step.now)
        if stores.still_sealed(request):
            return _later(stores, request, case_id, tries=int(row["tries"]) + 1, due_at=due_at, now=step.now)
    stores.vault.destroy_key(letter_key(request))

    def tell(tx: Tx) -> None:
        tx.gates.touch(tx.session, case_id)
        latest = stores.last_letter(request, tx)
        if latest is not None and latest["outcome"] is None:
            _done(stores, tx, request, case_id, m.outcome_of(latest["ended"]))
        stores.steps.add(tx, SECOND_STEP, request, case_id)

    stores.unit_of_work.run(tell)
    return None


def outcome_told(stores: Stores, request: str) -> dict[str, Any]:
    """What the second receipt says of the last letter; nothing while it isn't known."""
    row = stores.last_letter(request)
    return {} if row is None or row["outcome"] is None else {"last_letter": row["outcome"]}


def _done(stores: Stores, tx: Tx, request: str, case_id: str, outcome: m.Outcome) -> None:
    state = m.LetterState.DONE.value
    stores.put_last_letter(tx, request, case_id, state=state, outcome=outcome.value, done_at=tx.now)


def _later(stores: Stores, request: str, case_id: str, *, tries: int, due_at: datetime, now: datetime) -> datetime:
    stores.unit_of_work.run(lambda tx: stores.put_last_letter(tx, request, case_id, tries=tries))
    log.warning("last_letter.not_handed_over", request=request, case_id=case_id, attempt=tries)
    return min(now + min(_SLOWEST, timedelta(seconds=2.0 ** min(tries, 10))), max(due_at, now + timedelta(seconds=1)))


def _send(stores: Stores, outside: Outside, letter: Record, *, request: str, due_at: datetime, now: datetime) -> None:
    """One sealed letter: gone, destroyed unsent, or still sealed for a later try."""
    if letter.clear["state"] == "sending":
        # A process died between `sending` and the outcome; only the printer can tell.
        printed = letter.clear["channel"] == m.Channel.LETTER and outside.hand_over.has_letter(letter.id)
        _end(stores, letter, request, m.Outcome.SENT if printed else m.Outcome.UNKNOWN)
        return
    if now >= due_at:
        _end(stores, letter, request, m.Outcome.UNDELIVERABLE)
        return
    sending = _move(stores, letter, "sending", m.Channel(letter.clear["channel"]))
    if sending is None:
        return
    ended = _hand_over(outside, sending, now)
    if isinstance(ended, m.Outcome):
        _end(stores, sending, request, ended)
        return
    # It certainly hasn't gone: by post where the mailbox refused it, else later.
    back = _move(stores, sending, "sealed", ended)
    if back is not None and ended != sending.clear["channel"]:
        _send(stores, outside, back, request=request, due_at=due_at, now=now)


def _hand_over(outside: Outside, letter: Record, now: datetime) -> m.Outcome | m.Channel:
    """How it ended; or, when it certainly hasn't gone and still may, by which channel."""
    sealed, channel = letter.personal, m.Channel(letter.clear["channel"])
    try:
        if channel is m.Channel.EMAIL:
            outside.hand_over.email(id=letter.id, to=sealed["to"], email=as_email(sealed["email"]), now=now)
        else:
            outside.hand_over.letter(id=letter.id, pdf=sealed["pdf"])
    except TryAgain:
        return channel
    except Refused:
        return m.Channel.LETTER if channel is m.Channel.EMAIL and "pdf" in sealed else m.Outcome.UNDELIVERABLE
    except Unknown:
        return m.Outcome.UNKNOWN
    return m.Outcome.SENT


def _move(stores: Stores, letter: Record, state: str, channel: m.Channel) -> Record | None:
    """Commit where the letter is now; None when it was settled, or taken by another process, meanwhile."""
    attempt = new_id() if state == "sending" else None
    changed = {"state": state, "attempt": attempt, "channel": channel.value}
    done = stores.unit_of_work.run(lambda tx: stores.move_sealed(tx, letter, **changed))
    if not done:
        return None
    return replace(letter, version=letter.version + 1, clear={**letter.clear, **changed})


def _end(stores: Stores, letter: Record, request: str, outcome: m.Outcome) -> None:
    stores.unit_of_work.run(lambda tx: stores.end_sealed(tx, letter, request, outcome))
