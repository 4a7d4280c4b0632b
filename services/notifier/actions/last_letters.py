"""The last letter, until it is sealed: asked for, written, sealed under a key of its own, or cancelled.

A row for each request remembers how far it has come, so that an event that comes again is answered as before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from services.notifier.actions import external
from services.notifier.actions.writing import NOT_WRITABLE, email_to, letter_to
from services.notifier.context import Context
from services.notifier.letters import NotPrintable, latest_version
from services.notifier.model.last_letters import (
    LastLetter,
    LetterState,
    Outcome,
    SealedContent,
    SealedLetter,
    letter_key,
)
from services.notifier.model.notifications import Channel
from services.notifier.model.recipients import KnownCase, Person, as_known, has_agreed, people_of
from services.notifier.store import Stores, put_last_letter
from shared.db.unit_of_work import Tx
from shared.errors import Erased, NotFound
from shared.events import erasure
from shared.ids import new_id
from shared.known_consents import CASEWORK, EMAIL
from shared.messaging.steps import StepRow
from shared.ops.logs import log, where

SEAL_STEP: Final = "seal_last_letter"
_LAST: Final = "last"


def prepare(stores: Stores, tx: Tx, *, request: str, case_id: str, asked_at: datetime) -> None:
    """Have the last letter sealed, or answer again as before; a request that was cancelled is ignored."""
    tx.gates.touch(tx.session, case_id)
    found = stores.last_letters.get(request, tx=tx)
    if found is None or found.state is LetterState.ASKED:
        put_last_letter(stores, request, case_id, asked_at=asked_at, tx=tx)
        stores.steps.add(tx, SEAL_STEP, request, case_id)
    elif found.state in (LetterState.SEALED, LetterState.NOBODY):
        _emit_sealed(tx, request, case_id, found.state)


def cancel(stores: Stores, tx: Tx, *, request: str, case_id: str) -> None:
    """Destroy what was sealed for a request that was withdrawn, refused or voided, and remember not to seal again."""
    tx.gates.touch(tx.session, case_id)
    found = stores.last_letters.get(request, tx=tx)
    if found is None or found.state is not LetterState.DONE:
        destroy_sealed(stores, tx, request)
        put_last_letter(stores, request, case_id, state=LetterState.CANCELLED, done_at=tx.now, tx=tx)
        stores.keys.doom(tx, letter_key(request))


def destroy_sealed(stores: Stores, tx: Tx, request: str) -> None:
    """Destroy every sealed letter of that request."""
    stores.sealed_letters.rows.delete_many({"request": request}, session=tx.session)


def seal(context: Context, step: StepRow) -> None:
    """Write the last letter to each adult who agreed to be written to, seal it, and say so.

    It goes by the consents that stood before the request; the consent service isn't asked again. Raises Unavailable.
    """
    stores, request = context.stores, step.key
    found = stores.last_letters.get(request)
    if found is not None and found.state is LetterState.ASKED:
        _write_and_seal(context, found, now=step.now)


def _write_and_seal(context: Context, found: LastLetter, *, now: datetime) -> None:
    stores = context.stores
    try:
        letters, unprintable = _written(context, found, now=now)
        stores.unit_of_work.run(lambda tx: _seal(stores, tx, found, letters, unprintable=unprintable))
    except (Erased, NotFound):
        # The erasure began without this answer, or the case never existed: no one is left to write to.
        stores.unit_of_work.run(lambda tx: _seal(stores, tx, found, ()))


def _seal(stores: Stores, tx: Tx, found: LastLetter, letters: Sequence[SealedLetter], *, unprintable: int = 0) -> None:
    """Seal and answer in one transaction, unless it was cancelled or settled meanwhile. Raises Erased.

    unprintable: to how many people nothing goes because no font can print it. The erasure isn't held for them, and the
    certificate tells it as undeliverable, where no other letter goes.
    """
    latest = stores.last_letters.get(found.id, tx=tx)
    if latest is None or latest.state is not LetterState.ASKED:
        return
    if letters:
        tx.enter(found.case_id, frozen_too=True)
        stores.keys.make(tx, letter_key(found.id))
    else:
        tx.gates.touch(tx.session, found.case_id)
    for letter in letters:
        stores.sealed_letters.add(letter, tx=tx)
    state = LetterState.SEALED if letters else LetterState.NOBODY
    ended = (Outcome.UNDELIVERABLE,) * unprintable
    put_last_letter(stores, found.id, found.case_id, state=state, ended=ended, tx=tx)
    _emit_sealed(tx, found.id, found.case_id, state)


def _emit_sealed(tx: Tx, request: str, case_id: str, state: LetterState) -> None:
    outcome = "sealed" if state is LetterState.SEALED else "nobody_to_write_to"
    tx.emit(erasure.LETTER_SEALED, {"request": request, "case": case_id, "outcome": outcome})


def _written(context: Context, found: LastLetter, *, now: datetime) -> tuple[list[SealedLetter], int]:
    """A letter for each adult whose consent stood and who can be reached; and how many of them no font can print.

    Raises NotFound, Erased, Unavailable.
    """
    known = context.stores.known_cases.get(found.case_id) or KnownCase(case_id=found.case_id)
    asked_at = found.asked_at or known.frozen_at or found.at
    case = external.read_case(context, found.case_id)
    if case["contact_stopped"]:
        return [], 0
    people = people_of(case)
    standing, as_told = known.standing_before_request, as_known(people)
    values = {"asked_on": asked_at, "request": found.id}
    letters: list[SealedLetter] = []
    unprintable = 0
    for person in people:
        if not person.is_adult or not has_agreed(standing, CASEWORK, person.id, as_told, asked_at):
            continue
        by_email = person.takes_email and has_agreed(standing, EMAIL, person.id, as_told, asked_at)
        if not by_email and not person.address:
            continue
        try:
            letters.append(_letter_to(context, found, person, values, by_email=by_email, now=now))
        except (NotPrintable, *NOT_WRITABLE) as error:
            unprintable += isinstance(error, NotPrintable)
            log.error("last_letter.not_written", request=found.id, case_id=found.case_id, **where(error))
    return letters, unprintable


def _letter_to(
    context: Context, found: LastLetter, person: Person, values: Mapping[str, Any], *, by_email: bool, now: datetime
) -> SealedLetter:
    """The email where that was agreed to, and the letter where there is an address: a mailbox may refuse.

    Raises NotPrintable only where no email goes.
    """
    version = latest_version(_LAST)
    pdf = None
    with suppress(*((NotPrintable,) if by_email else ())):
        pdf = letter_to(context, person, _LAST, version, values, now=now) if person.address else None
    content = SealedContent(
        name=person.name,
        address=person.address,
        to=person.email if by_email else None,
        email=email_to(context, person, _LAST, version, values, now=now) if by_email else None,
        pdf=pdf,
    )
    return SealedLetter(
        id=new_id(),
        case_id=found.case_id,
        request=found.id,
        person_id=person.id,
        channel=Channel.EMAIL if by_email else Channel.LETTER,
        personal=content,
    )
