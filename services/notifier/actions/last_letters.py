"""The last letter, until it is sealed: asked for, written, sealed under a key of its own, or cancelled.

A row per request remembers how far it has come, so that whatever comes again is answered as before.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from services.notifier import model as m
from services.notifier.actions.external import Outside
from services.notifier.actions.writing import NOT_WRITABLE, email_to, letter_to
from services.notifier.letters import latest_version
from shared.db.unit_of_work import Row, Tx
from shared.errors import Erased, NotFound
from shared.events import erasure
from shared.ids import new_id
from shared.messaging.steps import StepRow
from shared.ops.logs import log, where

if TYPE_CHECKING:
    from services.notifier.store import Stores

SEAL_STEP = "seal_last_letter"
KEY_STEP = "destroy_letter_key"
_LAST = "last"
_OVER = frozenset({m.LetterState.NOBODY, m.LetterState.CANCELLED, m.LetterState.DONE})


def letter_key(request: str) -> str:
    """The name of the key that the last letters of one request are sealed under."""
    return f"letter:{request}"


def prepare(stores: Stores, tx: Tx, *, request: str, case_id: str, asked_at: datetime | None) -> None:
    """Have the last letter sealed, or answer again as before; a request that was cancelled is ignored."""
    tx.gates.touch(tx.session, case_id)
    row = stores.last_letter(request, tx)
    state = None if row is None else m.LetterState(row["state"])
    if state is None or state is m.LetterState.ASKED:
        stores.put_last_letter(tx, request, case_id, asked_at=asked_at)
        stores.steps.add(tx, SEAL_STEP, request, case_id)
    elif state in (m.LetterState.SEALED, m.LetterState.NOBODY):
        _answer(tx, request, case_id, state)


def cancel(stores: Stores, tx: Tx, *, request: str, case_id: str) -> None:
    """Destroy what was sealed for a request that was withdrawn, refused or voided, and remember not to seal again."""
    tx.gates.touch(tx.session, case_id)
    row = stores.last_letter(request, tx)
    if row is None or row["state"] != m.LetterState.DONE:
        stores.forget_sealed(tx, request)
        stores.put_last_letter(tx, request, case_id, state=m.LetterState.CANCELLED.value, done_at=tx.now)
        stores.steps.add(tx, KEY_STEP, request, case_id)


def destroy_key(stores: Stores, step: StepRow) -> None:
    """Destroy the key of a request whose letters are gone."""
    if stores.still_sealed(step.key) == 0:
        stores.vault.destroy_key(letter_key(step.key))


def seal(stores: Stores, outside: Outside, step: StepRow) -> None:
    """Write the last letter to each adult who agreed to be written to, seal it, and say so.

    The consents are those that stood before the request: nothing is asked again. Raises Unavailable.
    """
    request = step.key
    row = stores.last_letter(request)
    if row is None or row["state"] != m.LetterState.ASKED:
        _drop_key(stores, request, row)
        return
    case_id = str(row["case_id"])
    try:
        letters = _written(stores, outside, row, now=step.now)
        stores.vault.create_key(letter_key(request))
        stores.unit_of_work.run(lambda tx: _seal(stores, tx, request, case_id, letters))
    except (Erased, NotFound):
        # The erasure began without our answer, or the case was never there: there is nobody to write to any more.
        stores.unit_of_work.run(lambda tx: _seal(stores, tx, request, case_id, []))
    _drop_key(stores, request, stores.last_letter(request))


def _seal(stores: Stores, tx: Tx, request: str, case_id: str, letters: list[m.LastLetter]) -> None:
    """Seal and answer in one transaction, unless it was cancelled or settled meanwhile. Raises Erased."""
    row = stores.last_letter(request, tx)
    if row is None or row["state"] != m.LetterState.ASKED:
        return
    if letters:
        tx.enter(case_id, frozen_too=True)
    else:
        tx.gates.touch(tx.session, case_id)
    for letter in letters:
        stores.seal(tx, id=new_id(), case_id=case_id, request=request, letter=letter, key=letter_key(request))
    state = m.LetterState.SEALED if letters else m.LetterState.NOBODY
    stores.put_last_letter(tx, request, case_id, state=state.value)
    _answer(tx, request, case_id, state)


def _drop_key(stores: Stores, request: str, row: Row | None) -> None:
    """A key that was made for a letter that isn't wanted any more goes."""
    if row is None or row["state"] in _OVER:
        stores.vault.destroy_key(letter_key(request))


def _answer(tx: Tx, request: str, case_id: str, state: m.LetterState) -> None:
    outcome = "sealed" if state is m.LetterState.SEALED else "nobody_to_write_to"
    tx.emit(erasure.LETTER_SEALED, {"request": request, "case": case_id, "outcome": outcome})


def _written(stores: Stores, outside: Outside, row: Row, *, now: datetime) -> list[m.LastLetter]:
    """A letter for each adult whose consent stood and who can be reached. Raises NotFound, Erased, Unavailable."""
    case_id = str(row["case_id"])
    known = stores.projection(case_id)
    asked_at = row["asked_at"] or known.frozen_at or row["at"]
    case = outside.case(case_id)
    if case["contact_stopped"]:
        return []
    people = m.people_of(case)
    as_told = m.as_known(people)
    values = {"asked_on": asked_at, "request": row["_id"]}
    letters: list[m.LastLetter] = []
    for person in people:
        if not person.is_adult or not m.agreed(known.stood, "casework", person.id, as_told, asked_at):
            continue
        by_email = person.takes_email and m.agreed(known.stood, "email", person.id, as_told, asked_at)
        if not by_email and not person.address:
            continue
        try:
            letters.append(_letter_to(person, values, outside, by_email=by_email, now=now))
        except NOT_WRITABLE as error:
            log.error("last_letter.not_written", request=row["_id"], case_id=case_id, **where(error))
    return letters


def _letter_to(
    person: m.Person, values: Mapping[str, Any], outside: Outside, *, by_email: bool, now: datetime
) -> m.LastLetter:
    """The email where that was agreed to, and the letter where there is an address: a mailbox may refuse."""
    version, office = latest_version(_LAST), outside.hand_over.office
    personal: dict[str, Any] = {"name": person.name, "address": list(person.address)}
    if by_email:
        personal["to"] = person.email
        personal["email"] = email_to(person, _LAST, version, values, office=office, now=now)
    if person.address:
        personal["pdf"] = letter_to(person, _LAST, version, values, office=office, now=now)
    channel = m.Channel.EMAIL if by_email else m.Channel.LETTER
    return m.LastLetter(person_id=person.id, channel=channel, personal=personal)
