"""Correcting what is said of a document: its title, its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from services.document.actions.documents import entered, require_document
from services.document.actions.obtaining import may_obtain, name_source
from services.document.actions.quarantine_news import tell_quarantine
from services.document.actions.uploads import require_casework
from services.document.context import Context
from services.document.model.documents import Document
from services.document.model.quarantine import closed_without_consent, require_there
from shared.db.unit_of_work import Tx
from shared.errors import CHANGED_SENTENCE, Changed


def correct_document(
    context: Context, *, document_id: str, given: Mapping[str, Any], check: Callable[[Document], None]
) -> Document:
    """Change what is given, `title` or `kind`, and no more; a title that is None goes.

    A document from others whose kind the family didn't agree to comes into quarantine, as when it is filed (P11).
    check: raises unless the caller read this state of it. Raises NotFound, Frozen, ConsentRequired, Changed, Conflict,
    Unavailable while the consent service is away.
    """
    stores, before = context.stores, require_document(context.stores, document_id)
    kind = given.get("kind", before.kind)
    may_have = kind == before.kind or may_obtain(context, before.case_id, before.source, kind)
    if not may_have:
        name_source(context, before.case_id, before.source)

    def act(tx: Tx) -> Document:
        found = entered(stores, before, tx=tx)
        check(found)
        require_there(found)
        require_casework(stores, found.case_id, tx=tx)
        if found.kind != before.kind:
            # The consent service was asked for a change from another kind.
            raise Changed(CHANGED_SENTENCE)
        after = replace(found, **given)
        if after == found:
            return found
        if not may_have:
            after = closed_without_consent(after, at=tx.now)
        after = stores.documents.save(after, tx=tx)
        if after.closed_for is not None and after.kind != found.kind:
            # Also where it was in quarantine: the family may have agreed to its new kind.
            tell_quarantine(stores, after, tx=tx)
        return after

    return stores.unit_of_work.run(act)
