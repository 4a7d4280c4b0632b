"""The case service's two parts of an intake: the shell before anyone has agreed, people and wishes once they have.

The consent service leads it (docs/decisions/0024). Both parts may be repeated, and a process may die between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from services.case.actions.cases import begin_shell, draw_shell
from services.case.actions.consents import hear_consents
from services.case.actions.people import tell_people
from services.case.model.cases import SHELL, Case, CaseView, etag_of, opened
from services.case.model.consents import Consents, Standing
from services.case.model.entries import Entry, EntryView, check_at, check_text
from services.case.model.people import Person, check_kept_apart, checked
from services.case.model.safe_contact import with_given
from services.case.store import CaseStores
from shared.clock import LONDON
from shared.db.gates import ERASED_SENTENCE, UNKNOWN_SENTENCE
from shared.db.unit_of_work import Tx
from shared.errors import Conflict, Erased, Invalid, NotFound
from shared.events import consent as consent_events

_CANT: Final = "Something about these people or wishes can't be kept as it was sent. Nothing was stored."
WISH: Final = "wish"
#: A shell is saved once when it opens, and once with its people: what its version is then.
_SAVED_TWICE: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """The people and wishes of one intake, checked, with the ids that they will have."""

    people: tuple[Person, ...]
    wishes: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The case as it will be once its people and wishes have come."""

    view: CaseView
    wishes: tuple[EntryView, ...]

    @property
    def etag(self) -> str:
        return etag_of(self.view.case, frozen=False)


def checked_coming(
    *,
    case_id: str,
    people: Sequence[Mapping[str, Any]],
    wishes: Sequence[Mapping[str, Any]],
    by: str,
    at: datetime,
) -> Coming:
    """What is to come, as it would be kept. people, wishes: as their own routes take them, each with an `id`.

    at: when it was asked for. Raises Invalid naming each field that can't be kept, as `people.0.email`.
    """
    errors: dict[str, list[str]] = {}
    kept: list[Person] = []
    said: list[Entry] = []
    for number, one in enumerate(people):
        try:
            kept.append(_person(case_id, one, at))
        except Invalid as error:
            errors |= {f"people.{number}.{name}": said for name, said in error.errors.items()}
    for number, one in enumerate(wishes):
        try:
            said.append(_wish(case_id, one, by, at))
        except Invalid as error:
            errors |= {f"wishes.{number}.{name}": words for name, words in error.errors.items()}
    if errors:
        raise Invalid(_CANT, errors=errors)
    return Coming(people=tuple(kept), wishes=tuple(said))


def expect(
    stores: CaseStores, coming: Coming, *, case_id: str, channel: str, life: timedelta, now: datetime
) -> Expected:
    """Make the shell of that id, unless it is there, and show what will stand in it; of that nothing is stored yet.

    Raises Erased for one that has ended, Conflict for a case that is no shell any more.
    """
    stores.unit_of_work.gates.prepare(stores.vault, [case_id])

    def begin(shell: Case) -> Case:
        def act(tx: Tx) -> Case:
            tx.enter(case_id)
            there = stores.cases.get(case_id, tx=tx)
            if there is None:
                stores.intakes.expect(tx, case_id)
                return begin_shell(stores, tx, shell)
            if there.has_expired(now):
                raise Erased(ERASED_SENTENCE)
            if there.state != SHELL or not stores.intakes.is_expected(tx, case_id):
                raise Conflict("This case is no shell that waits for an intake. Nothing was stored.")
            return there

        return stores.unit_of_work.run(act)

    shell = draw_shell(begin, id=case_id, channel=channel, life=life, now=now)
    case = replace(opened(shell), version=shell.version + _SAVED_TWICE)
    return Expected(
        view=CaseView(case=case, people=coming.people, frozen=False),
        wishes=tuple(EntryView(entry=one) for one in coming.wishes),
    )


def take(stores: CaseStores, coming: Coming, *, case_id: str, standing: Iterable[Standing], seq: int) -> None:
    """Keep the people and wishes, now that the family has agreed; nothing where they have come before (P4).

    standing, seq: what stands of the consents, as the event of that number tells; a newer one that was heard counts
    instead. Raises Erased, Frozen, NotFound, or ConsentRequired where casework stands no longer.
    """
    said = tuple(standing)

    def act(tx: Tx) -> None:
        tx.enter(case_id)
        if not stores.intakes.is_expected(tx, case_id):
            return
        topic = str(consent_events.GIVEN.topic)
        if tx.gates.is_news(tx.session, case_id, topic, seq):
            hear_consents(stores, tx, case_id=case_id, standing=said, now=tx.now)
            Consents(said).require_casework(tx.now)
        else:
            stores.projections.get(case_id, tx=tx).require_casework(tx.now)
        case = stores.cases.get(case_id, tx=tx)
        if case is None:
            raise NotFound(UNKNOWN_SENTENCE)
        stores.intakes.has_come(tx, case_id)
        for person in coming.people:
            stores.people.add(tx, person)
            stores.search_hashes.add(tx, person)
        for wish in coming.wishes:
            stores.entries.add(tx, wish)
        tell_people(stores, tx, case, stores.people.of_case(case_id, tx=tx))

    stores.unit_of_work.run(act)


def _person(case_id: str, given: Mapping[str, Any], at: datetime) -> Person:
    fields = checked({name: value for name, value in given.items() if name != "id"}, today=at.astimezone(LONDON).date())
    person = with_given(Person(id=given["id"], case_id=case_id, **fields), None, now=at)
    check_kept_apart(person)
    return person


def _wish(case_id: str, given: Mapping[str, Any], by: str, at: datetime) -> Entry:
    return Entry(
        id=given["id"],
        case_id=case_id,
        kind=WISH,
        text=check_text(given["text"]),
        at=check_at(given.get("at"), at),
        recorded_at=at,
        recorded_by=by,
    )
