"""The case service's two parts of an intake: the shell before the family has agreed, people and wishes after.

The consent service leads it (docs/decisions/0024). Both parts may be repeated, and a process may die between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from services.case.actions.access import known_consents
from services.case.actions.cases import begin_shell, draw_shell
from services.case.actions.consents import record_consents
from services.case.actions.people import emit_people, insert_person
from services.case.model.cases import SHELL, Case, CaseView, PendingIntake, etag_of, opened
from services.case.model.entries import Entry, EntryView, check_at, check_text
from services.case.model.people import Person, check_kept_apart, checked
from services.case.model.reach import with_given
from services.case.store import Stores
from shared.clock import LONDON
from shared.db.gates import ERASED_SENTENCE, UNKNOWN_SENTENCE
from shared.db.unit_of_work import Tx
from shared.errors import Conflict, Erased, Invalid, NotFound
from shared.events import consent as consent_events
from shared.known_consents import StandingConsent

T = TypeVar("T")
_CANT: Final = "Something about these people or wishes can't be kept as it was sent. Nothing was stored."
WISH: Final = "wish"
#: A shell is saved once when it opens, and once with its people: what its version is then.
_SAVED_TWICE: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """The people and wishes of one intake, checked, with the ids that they will have."""

    people: tuple[Person, ...]
    wishes: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakePreview:
    """The case as it will be once its people and wishes have come."""

    view: CaseView
    wishes: tuple[EntryView, ...]

    @property
    def etag(self) -> str:
        return etag_of(self.view.case, frozen=False)


def checked_intake(
    *,
    case_id: str,
    people: Sequence[Mapping[str, Any]],
    wishes: Sequence[Mapping[str, Any]],
    by: str,
    mail_takes_utf8: bool,
    at: datetime,
) -> Intake:
    """The people and wishes as they would be kept. They are given as their own routes take them, each with an `id`.

    mail_takes_utf8: see `checked`. at: when it was asked for. Raises Invalid naming each field that can't be kept, as
    `people.0.email`.
    """
    errors: dict[str, list[str]] = {}
    intake = Intake(
        people=_checked("people", people, lambda one: _person(case_id, one, mail_takes_utf8, at), errors),
        wishes=_checked("wishes", wishes, lambda one: _wish(case_id, one, by, at), errors),
    )
    if errors:
        raise Invalid(_CANT, errors=errors)
    return intake


def _checked(
    name: str,
    given: Sequence[Mapping[str, Any]],
    check: Callable[[Mapping[str, Any]], T],
    errors: dict[str, list[str]],
) -> tuple[T, ...]:
    """What passes the check, in order; what is wrong with the others goes into `errors`."""
    kept: list[T] = []
    for number, one in enumerate(given):
        try:
            kept.append(check(one))
        except Invalid as error:
            errors |= {f"{name}.{number}.{field}": said for field, said in error.errors.items()}
    return tuple(kept)


def begin_intake(
    stores: Stores, intake: Intake, *, case_id: str, channel: str, life: timedelta, now: datetime
) -> IntakePreview:
    """Make the shell of that id, unless it is there, and show what will stand in it; of that nothing is stored yet.

    Raises Erased for one that has ended, Conflict for a case that is no shell any more.
    """

    def begin(shell: Case) -> Case:
        def act(tx: Tx) -> Case:
            tx.enter_or_open(case_id)
            there = stores.cases.get(case_id, tx=tx)
            if there is None:
                stores.intakes.add(PendingIntake(case_id=case_id), tx=tx)
                return begin_shell(stores, shell, tx=tx)
            if there.has_expired(now):
                raise Erased(ERASED_SENTENCE)
            if there.state != SHELL or stores.intakes.get(case_id, tx=tx) is None:
                raise Conflict("This case is no shell that waits for an intake. Nothing was stored.")
            return there

        return stores.unit_of_work.run(act)

    shell = draw_shell(begin, id=case_id, channel=channel, life=life, now=now)
    case = replace(opened(shell), version=shell.version + _SAVED_TWICE)
    return IntakePreview(
        view=CaseView(case=case, people=intake.people, frozen=False),
        wishes=tuple(EntryView(entry=one) for one in intake.wishes),
    )


def complete_intake(
    stores: Stores, intake: Intake, *, case_id: str, standing: tuple[StandingConsent, ...], seq: int
) -> None:
    """Keep the people and wishes, now that the family has agreed; nothing where they have come before (P4).

    standing, seq: what stands of the consents, as the event of that number says; a newer one that was handled counts
    instead. Raises Erased, Frozen, NotFound, or ConsentRequired where casework stands no longer.
    """

    def act(tx: Tx) -> None:
        tx.enter(case_id)
        pending = stores.intakes.get(case_id, tx=tx)
        if pending is None:
            return
        if tx.gates.is_news(tx.session, case_id, str(consent_events.GIVEN.topic), seq):
            consents = record_consents(stores, case_id=case_id, standing=standing, seq=seq, tx=tx)
        else:
            consents = known_consents(stores, case_id, tx=tx)
        consents.require_casework(tx.now)
        case = stores.cases.get(case_id, tx=tx)
        if case is None:
            raise NotFound(UNKNOWN_SENTENCE)
        stores.intakes.remove(pending, tx=tx)
        for person in intake.people:
            insert_person(stores, person, tx=tx)
        for wish in intake.wishes:
            stores.entries.add(wish, tx=tx)
        emit_people(stores, case, stores.people.of_case(case_id, tx=tx), tx=tx)

    stores.unit_of_work.run(act)


def _person(case_id: str, given: Mapping[str, Any], mail_takes_utf8: bool, at: datetime) -> Person:
    said = {name: value for name, value in given.items() if name != "id"}
    fields = checked(said, today=at.astimezone(LONDON).date(), mail_takes_utf8=mail_takes_utf8)
    person = with_given(Person(id=given["id"], case_id=case_id, **fields), None, now=at)
    check_kept_apart(person)
    return person


def _wish(case_id: str, given: Mapping[str, Any], by: str, at: datetime) -> Entry:
    return Entry(
        id=given["id"],
        case_id=case_id,
        kind=WISH,
        text=check_text(given["text"]),
        happened_at=check_at(given.get("at"), at),
        recorded_at=at,
        recorded_by=by,
    )
