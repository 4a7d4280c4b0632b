"""The notifier's stores on a real MongoDB: what a family would be given of each, and what earlier versions stored."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from deploy.local.provision import Provision
from services.notifier.main import service
from services.notifier.model.last_letters import (
    LastLetter,
    LetterState,
    Outcome,
    SealedContent,
    SealedLetter,
    letter_key,
)
from services.notifier.model.notifications import Channel, Content, Notification, Status, intent
from services.notifier.model.recipients import KnownCase, KnownPerson
from services.notifier.store import Stores, put_last_letter
from shared.db import Repository
from shared.db.unit_of_work import Tx
from shared.ids import new_id
from shared.known_consents import StandingConsent

WHEN = datetime(2026, 3, 14, 9, 26, 53, 589_000, tzinfo=UTC)
PERSON, CONSENT = new_id(), new_id()
EMAIL = {"subject": "A letter", "text": "Dear Żaneta", "html": "<p>Dear Żaneta</p>"}


@pytest.fixture
def stores(provided: Provision, monkeypatch: pytest.MonkeyPatch) -> Stores:
    for setting, value in provided.env["notifier"].items():
        monkeypatch.setenv(setting, value)
    return service.open("worker").context.stores


@pytest.fixture
def case_id(stores: Stores) -> str:
    id = new_id()
    stores.unit_of_work.gates.make_if_unknown(id)
    return id


def a_notification(case_id: str, **changed: Any) -> Notification:
    return Notification(
        **{
            "id": new_id(),
            "case_id": case_id,
            "person_id": PERSON,
            "template": "opening",
            "template_version": 1,
            "channel": Channel.LETTER,
            "created_at": WHEN,
            **changed,
        }
    )


def exported(stores: Stores, name: str, case_id: str) -> list[dict[str, Any]]:
    """What a family would be given of a store; all of it is plain JSON."""
    store = getattr(stores, name)
    return [json.loads(json.dumps(one.fields)) for one in store.export(case_id)]


def as_before(stores: Stores, store: Repository[Any], item: Any, *, less: tuple[str, ...]) -> None:
    """Write the item's row as a version of the service did that knew nothing of these fields."""
    records, row = store.records, store.row_of(item)
    row = {name: value for name, value in row.items() if name not in (*less, "personal", "mac", "changed")}
    sealed = records._sealed_of(item)
    if sealed is None:
        row = records.marked(row)
    else:
        row["personal"] = stores.unit_of_work.vault.seal(sealed, item.case_id, records._context(row))
    store.rows.insert_one(row)


def test_a_family_would_be_given_what_is_written_to_them(stores: Stores, case_id: str) -> None:
    letter = a_notification(
        case_id, intent=intent("opening", "opening", PERSON + case_id), personal=Content(pdf=b"%PDF-1.7 \xff")
    )
    email = a_notification(case_id, channel=Channel.EMAIL, personal=Content(values={"a": [1]}, email=EMAIL))
    for new in (letter, email):
        stores.unit_of_work.run(lambda tx, new=new: stores.notifications.add(new, tx=tx))
    first, second = exported(stores, "notifications", case_id)
    assert base64.b64decode(first["personal"]["pdf"]) == b"%PDF-1.7 \xff"
    assert second["personal"] == {"values": {"a": [1]}, "pdf": None, "email": EMAIL}
    assert (second["channel"], second["status"], second["created_at"]) == ("email", "created", WHEN.isoformat())
    assert {"intent", "attempt"}.isdisjoint(first)


def test_a_family_would_be_given_what_events_told_of_them(stores: Stores, case_id: str) -> None:
    case = KnownCase(
        case_id=case_id,
        state="open",
        opened_at=WHEN,
        people=(KnownPerson(person=PERSON, role="parent", post=True, email=False),),
        standing=(StandingConsent(consent=CONSENT, purpose="casework", person=PERSON),),
        frozen_seq=3,
    )
    stores.unit_of_work.run(lambda tx: stores.known_cases.add(case, tx=tx))
    (told,) = exported(stores, "known_cases", case_id)
    assert told["people"] == [{"person": PERSON, "role": "parent", "post": True, "email": False}]
    assert told["standing"][0]["purpose"] == "casework"
    assert (told["state"], told["opened_at"], told["stopped"]) == ("open", WHEN.isoformat(), False)
    assert "frozen_seq" not in told


def test_a_family_would_be_given_their_last_letter_while_it_is_sealed(stores: Stores, case_id: str) -> None:
    request = new_id()
    content = SealedContent(name="Żaneta", address=("14 Dolphin Terrace", "SW1A 1AA"), pdf=b"%PDF-1.7")
    letter = SealedLetter(
        id=new_id(), case_id=case_id, request=request, person_id=PERSON, channel=Channel.LETTER, personal=content
    )

    def act(tx: Tx) -> None:
        stores.keys.make(tx, letter_key(request))
        stores.sealed_letters.add(letter, tx=tx)
        put_last_letter(stores, request, case_id, state=LetterState.SEALED, tx=tx)

    stores.unit_of_work.run(act)
    # Its key is its own: it outlives the case's
    stores.unit_of_work.run(lambda tx: stores.keys.doom(tx, case_id))
    (told,) = exported(stores, "sealed_letters", case_id)
    assert told["personal"]["address"] == ["14 Dolphin Terrace", "SW1A 1AA"]
    assert "attempt" not in told
    assert exported(stores, "last_letters", case_id) == []
    stores.unit_of_work.run(lambda tx: stores.keys.doom(tx, letter_key(request)))


def test_two_without_an_intent_do_not_clash(stores: Stores, case_id: str) -> None:
    one, other = a_notification(case_id), a_notification(case_id)
    stores.unit_of_work.run(lambda tx: [stores.notifications.add(new, tx=tx) for new in (one, other)])
    sending = replace(one, status=Status.SENDING)
    stores.unit_of_work.run(lambda tx: stores.notifications.save(sending, tx=tx))
    assert stores.notifications.get(one.id) == replace(sending, version=2)
    assert all("intent" not in row for row in stores.notifications.rows.find({"case_id": case_id}))


def test_rows_of_earlier_versions_are_read_and_written(stores: Stores, case_id: str) -> None:
    # Given rows as they were before a review, a stop of contact or a due time was ever written
    sent = a_notification(case_id, status=Status.DELIVERED, version=4)
    as_before(stores, stores.notifications, sent, less=("review", "round", "answer_from", "answer_days", "asked"))
    known = KnownCase(case_id=case_id, state="open", version=2)
    as_before(stores, stores.known_cases, known, less=("before", "frozen_seq", "frozen_at", "stopped"))
    request = new_id()
    old = LastLetter(id=request, case_id=case_id, state=LetterState.SEALED, ended=(Outcome.SENT,), tries=2, at=WHEN)
    as_before(stores, stores.last_letters, old, less=("asked_at", "due_at", "done_at"))
    # Then what they don't say has its default
    found = stores.notifications.get(sent.id)
    assert found == sent
    case = stores.known_cases.get(case_id)
    assert case == known
    letter = stores.last_letters.get(request)
    assert letter is not None
    assert (letter.ended, letter.tries, letter.due_at) == ((Outcome.SENT,), 2, None)

    # And they can be changed
    def act(tx: Tx) -> None:
        stores.notifications.save(found, tx=tx)
        stores.known_cases.save(case, tx=tx)
        put_last_letter(stores, request, case_id, tries=3, tx=tx)

    stores.unit_of_work.run(act)
    changed = stores.last_letters.get(request)
    assert changed is not None
    assert (changed.state, changed.ended, changed.tries) == (LetterState.SEALED, (Outcome.SENT,), 3)
