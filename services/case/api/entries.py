"""The timeline of a case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response

from services.case import schemas
from services.case.actions import entries as actions
from services.case.api.callers import by_manager
from services.case.model.entries import EntryView
from services.case.store import Stores
from shared.clock import utc_now
from shared.http import Blueprint, Inward, JsonResponse, PageArgs, allow, created, current_caller, idempotent, ok, page
from shared.security.roles import CASE_READERS, CASEWORK

_SHOW = schemas.EntryOut()


def entry_routes(stores: Stores) -> Blueprint:
    blp = Blueprint("entries", description="What the family wants, what is done, and what came of it.")

    @blp.route("/cases/<case_id>/entries", methods=["POST"])
    @allow(*CASEWORK, inward=Inward.YES)
    @blp.arguments(schemas.NewEntry)
    @blp.response(201, schemas.EntryOut)
    @idempotent(_made)
    def add_entry(body: Mapping[str, Any], case_id: str) -> EntryView:
        """Add to the timeline; a correction is an entry that names the one it corrects."""
        return actions.add_entry(
            stores,
            case_id=case_id,
            **body,
            by=current_caller().sub,
            by_manager=by_manager(),
            now=utc_now(),
        )

    @blp.route("/cases/<case_id>/entries")
    @allow(*CASE_READERS)
    @blp.arguments(PageArgs, location="query")
    @blp.response(200, schemas.EntryPage)
    def list_entries(query: Mapping[str, Any], case_id: str) -> Response:
        """In the order they were recorded, corrected ones and corrections both."""
        now = utc_now()
        found = page(
            query,
            lambda after, limit: actions.list_entries(stores, case_id=case_id, after=after, limit=limit, now=now),
            _shown,
            id_of=lambda view: view.entry.id,
        )
        return ok(found).response()

    @blp.route("/cases/<case_id>/entries/<entry_id>")
    @allow(*CASE_READERS)
    @blp.response(200, schemas.EntryOut)
    def read_entry(case_id: str, entry_id: str) -> Response:
        """One entry."""
        view = actions.read_entry(stores, case_id=case_id, entry_id=entry_id, now=utc_now())
        return ok(_shown(view), etag=view.entry.version).response()

    return blp


def _shown(view: EntryView) -> dict[str, Any]:
    return dict(_SHOW.dump(view))


def _made(view: EntryView) -> JsonResponse:
    location = f"/v1/cases/{view.entry.case_id}/entries/{view.entry.id}"
    return created(_shown(view), location=location, etag=view.entry.version, case_id=view.entry.case_id)
