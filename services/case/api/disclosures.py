"""The register of disclosures of a case; what is told for safeguarding goes elsewhere from the first line on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from flask import Response

from services.case.actions import disclosures as actions
from services.case.actions import safeguarding
from services.case.actions.access import read_one, read_page
from services.case.api.callers import by_manager
from services.case.api.safeguarding import (
    concern_anew,
    concern_made,
    concern_shown,
    is_safeguarding,
    marks_safeguarding,
    recorded,
)
from services.case.context import Context
from services.case.model.disclosures import SAFEGUARDING, Disclosure, check_fields
from services.case.model.safeguarding import NEUTRAL_SENTENCE, Concern
from services.case.schemas import disclosures as schemas
from services.case.store import Stores
from shared.clock import utc_now
from shared.errors import Erased, Forbidden, NotFound
from shared.http import (
    Blueprint,
    Inward,
    JsonResponse,
    PageArgs,
    allow,
    created,
    current_caller,
    idempotent,
    ok,
    page,
    require_room,
)
from shared.security.roles import CASE_READERS, CASEWORK, DATA_PROTECTION, SAFEGUARDING_READERS, SAFEGUARDING_STAFF

_SHOW = schemas.DisclosureOut()
_READERS: Final = (*CASE_READERS, DATA_PROTECTION)
_UNKNOWN: Final = "No such disclosure is known here."
_NOT_FOR_YOU: Final = "Your role may not record a disclosure on this basis. Nothing was stored."


def disclosure_routes(context: Context) -> Blueprint:
    stores = context.stores
    blp = Blueprint("disclosures", description="What was told to whom, and on what basis.")

    @blp.route("/cases/<case_id>/disclosures", methods=["POST"])
    @allow(*CASEWORK, *SAFEGUARDING_STAFF, inward=Inward.BY_BODY)
    @marks_safeguarding
    @blp.arguments(schemas.NewDisclosure)
    @blp.response(201, {"anyOf": [schemas.DisclosureOut, schemas.ConcernMade]})
    @idempotent(_made, anew=lambda: concern_anew(stores) if is_safeguarding() else None)
    def record_disclosure(body: Mapping[str, Any], case_id: str) -> Disclosure | Concern:
        """Record a disclosure. For safeguarding it is never refused to staff, and the answer is its number alone.

        On `consent` the family's agreement is asked for at this moment. `legal_duty` names the order, who issued it and
        how far it goes. A disclosure for safeguarding is read at `/v1/disclosures`, by the lead and data protection.
        """
        now, caller = utc_now(), current_caller()
        wanted = SAFEGUARDING_STAFF if body["basis"] == SAFEGUARDING else CASEWORK
        if not caller.roles & set(wanted):
            raise Forbidden(_NOT_FOR_YOU)
        check_fields(body)
        if body["basis"] == SAFEGUARDING:
            return recorded(stores, about=case_id, given=body, by=caller.sub, now=now)
        require_room()
        return actions.record_disclosure(
            context,
            case_id=case_id,
            given=_kept(body),
            by=caller.sub,
            by_manager=by_manager(),
            now=now,
        )

    @blp.route("/cases/<case_id>/disclosures")
    @allow(*_READERS)
    @blp.arguments(PageArgs, location="query")
    @blp.response(200, schemas.DisclosurePage)
    def list_disclosures(query: Mapping[str, Any], case_id: str) -> Response:
        """In the order they were recorded; those for safeguarding to the lead and data protection alone."""
        now = utc_now()
        find = _find_all if current_caller().roles & set(SAFEGUARDING_READERS) else _find
        found = page(query, lambda after, limit: find(stores, case_id, after, limit, now), _shown)
        return ok({**found, "note": NEUTRAL_SENTENCE}).response()

    @blp.route("/cases/<case_id>/disclosures/<disclosure_id>")
    @allow(*_READERS)
    @blp.response(200, schemas.DisclosureOut)
    def read_disclosure(case_id: str, disclosure_id: str) -> Response:
        """One disclosure on consent or under a legal duty."""
        now = utc_now()
        made = read_one(stores, stores.disclosures, case_id=case_id, id=disclosure_id, otherwise=_UNKNOWN, now=now)
        return ok(_shown(made), etag=made.version).response()

    return blp


def _find(stores: Stores, case_id: str, after: str | None, limit: int, now: datetime) -> list[Disclosure]:
    return read_page(stores, stores.disclosures, case_id=case_id, after=after, limit=limit, now=now)


def _find_all(stores: Stores, case_id: str, after: str | None, limit: int, now: datetime) -> list[Disclosure | Concern]:
    """Both registers as one, by id, which is by time; the second also of a case that is gone."""
    apart = safeguarding.list_concerns(stores, state=None, about=case_id, after=after, limit=limit)
    listed: list[Disclosure] = []
    try:
        listed = _find(stores, case_id, after, limit, now)
    except (Erased, NotFound) as gone:
        if isinstance(gone, NotFound) and not apart and after is None:
            raise
    both: list[Disclosure | Concern] = [*listed, *apart]
    return sorted(both, key=lambda one: one.id)[:limit]


def _kept(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a disclosure keeps of a body: all but the decision, which is always to share."""
    return {name: value for name, value in {"party": None, "told_family": None, **body}.items() if name != "decision"}


def _shown(made: Disclosure | Concern) -> dict[str, Any]:
    return concern_shown(made) if isinstance(made, Concern) else dict(_SHOW.dump(made))


def _made(made: Disclosure | Concern) -> JsonResponse:
    if isinstance(made, Concern):
        return concern_made(made)
    location = f"/v1/cases/{made.case_id}/disclosures/{made.id}"
    return created(_shown(made), location=location, etag=made.version, case_id=made.case_id)
