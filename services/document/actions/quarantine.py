"""The way out of quarantine: listing it, lifting it with the family's consent, releasing, returning."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any

from services.document.actions.documents import REMOVE_STEP, entered, require_document
from services.document.actions.obtaining import may_obtain
from services.document.actions.quarantine_news import look_for_consent, tell_quarantine
from services.document.context import Context
from services.document.model import quarantine as rules
from services.document.model.documents import MALWARE, NO_CONSENT, QUARANTINED, Document
from services.document.store import Stores
from services.document.store.documents import forget_content
from shared.db.gates import CLOSED
from shared.db.unit_of_work import Tx
from shared.errors import CHANGED_SENTENCE, Changed, Erased, Invalid, NotFound
from shared.messaging.steps import StepRow

_FOR_CONSENT: dict[str, Any] = {"state": QUARANTINED, "reason": {"$ne": MALWARE}}
_REASONS: dict[str | None, dict[str, Any]] = {
    MALWARE: {"reason": MALWARE},
    NO_CONSENT: {"reason": {"$ne": MALWARE}},
    None: {},
}


def list_by_state(stores: Stores, *, state: str, reason: str | None, after: str | None, limit: int) -> list[Document]:
    """One page of the office's documents in that state, of every case whose erasure hasn't begun."""
    where = {"state": state, **(_REASONS[reason] if state == QUARANTINED else {})}
    found: list[Document] = []
    while len(found) < limit:
        batch = stores.documents.page(where, after, limit)
        found += [one for one in batch if stores.unit_of_work.gates.state(one.case_id) != CLOSED]
        if len(batch) < limit:
            break
        after = batch[-1].id
    return found[:limit]


def consents_changed(stores: Stores, case_id: str, *, tx: Tx) -> None:
    """What stands of the case's consents is another: documents that wait for one may be opened by it."""
    if stores.documents.exists({"case_id": case_id, **_FOR_CONSENT}, tx=tx):
        look_for_consent(stores, case_id, tx=tx)


def lift_step(context: Context, step: StepRow) -> None:
    """Lift the quarantine of what the family agrees, as of now, to have. Raises Unavailable, and is then run again.

    What was lifted stays open when the consent ends: it was obtained while it stood.
    """
    stores, case_id = context.stores, str(step.case_id)
    for waiting in stores.documents.find({"case_id": case_id, **_FOR_CONSENT}):
        try:
            if may_obtain(context, case_id, waiting.source, waiting.kind):
                _lift(stores, waiting)
        except Invalid:
            # Its organisation isn't known any more, so there is no consent that names it.
            continue
        except (Erased, NotFound):
            return


def _lift(stores: Stores, waiting: Document) -> None:
    def act(tx: Tx) -> None:
        tx.enter(waiting.case_id, frozen_too=True)
        found = stores.documents.get(waiting.id, tx=tx)
        if found is not None and found.closed_for == NO_CONSENT and _is_asked_about(found, waiting):
            lifted = stores.documents.save(rules.lifted(found, at=tx.now), tx=tx)
            tell_quarantine(stores, lifted, tx=tx)

    stores.unit_of_work.run(act)


def take_up_older(context: Context, now: datetime) -> None:
    """What an older version put into quarantine says why, has a task, and is opened if there is consent by now."""
    stores = context.stores
    for older in stores.documents.find({"state": QUARANTINED, "reason": None}):

        def act(tx: Tx, older: Document = older) -> None:
            tx.enter(older.case_id, frozen_too=True)
            found = stores.documents.get(older.id, tx=tx)
            moved = found is not None and found.case_id != older.case_id
            if found is not None and not moved and found.state == QUARANTINED and found.reason is None:
                tell_quarantine(stores, stores.documents.save(rules.taken_up(found), tx=tx), tx=tx)

        with suppress(Erased):
            stores.unit_of_work.run(act)


def release_document(context: Context, *, document_id: str, by: str, reason: str) -> Document:
    """Open it on a manager's word. by: their `sub`. Raises NotFound, Frozen, Conflict, Unavailable.

    What was closed for malware comes into quarantine for want of consent then, where the family didn't agree to it.
    """
    stores, before = context.stores, require_document(context.stores, document_id)
    may_have = before.closed_for != MALWARE or may_obtain(context, before.case_id, before.source, before.kind)

    def act(tx: Tx) -> Document:
        found = entered(stores, before, tx=tx)
        if found.closed_for != before.closed_for or not _is_asked_about(found, before):
            raise Changed(CHANGED_SENTENCE)
        after = rules.released(found, by=by, words=reason, may_obtain=may_have, at=tx.now)
        after = stores.documents.save(after, tx=tx)
        tell_quarantine(stores, after, tx=tx)
        return after

    return stores.unit_of_work.run(act)


def return_document(context: Context, *, document_id: str, to: str, by: str, sub: str) -> Document:
    """Record that it was given back, and destroy its content: for readers at once, its objects in a step.

    by: who gave it back; sub: who records that. Raises NotFound, Frozen, Conflict.
    """
    stores, before = context.stores, require_document(context.stores, document_id)

    def act(tx: Tx) -> Document:
        found = entered(stores, before, tx=tx)
        after = rules.returned(found, to=to, by=by, sub=sub, at=tx.now)
        # Of what shows the title, and of what was said under a key.
        context.forget_answers(tx, case_id=found.case_id, record=found.id)
        after = forget_content(stores.documents, stores.versions, after, tx=tx)
        stores.steps.add(tx, REMOVE_STEP, found.id, found.case_id)
        tell_quarantine(stores, after, tx=tx)
        return after

    return stores.unit_of_work.run(act)


def _is_asked_about(found: Document, before: Document) -> bool:
    """Whether what the consent service said of `before` holds for it as it is now."""
    return (found.case_id, found.source, found.kind) == (before.case_id, before.source, before.kind)
