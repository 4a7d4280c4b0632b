"""Paper files: registering, listing, moving, certifying."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from flask import Response

from services.document import schemas
from services.document.actions import papers as actions
from services.document.actions.papers import Shown
from services.document.context import Context
from services.document.model.papers import Disposed, Movement
from shared.clock import utc_now
from shared.errors import Erased
from shared.http import (
    Blueprint,
    Inward,
    JsonResponse,
    allow,
    audit_case,
    check_if_match,
    created,
    current_caller,
    forget_answer,
    idempotent,
    ok,
    page,
)
from shared.security.roles import CASE_READERS, CASEWORK, CASEWORK_IN_PERSON, MANAGER

_SHOW = schemas.PaperFileOut()


def shown_paper(shown: Shown) -> dict[str, Any]:
    body: dict[str, Any] = _SHOW.dump(shown)
    return body


def _registered(shown: Shown) -> JsonResponse:
    paper = shown.paper
    location = f"/v1/paper-files/{paper.id}"
    return created(shown_paper(shown), location=location, etag=paper.version, case_id=paper.case_id)


def _changed(shown: Shown) -> JsonResponse:
    return ok(shown_paper(shown), etag=shown.paper.version).about(shown.paper.case_id)


def paper_routes(context: Context) -> Blueprint:
    blp = Blueprint("papers", description="The paper that lies in the office, and how it went.")
    stores = context.stores

    @blp.route("/cases/<case_id>/paper-files", methods=["POST"])
    @allow(*CASEWORK, inward=Inward.YES)
    @blp.arguments(schemas.PaperFileIn)
    @blp.response(201, schemas.PaperFileOut)
    @idempotent(_registered)
    def register_paper_file(body: Mapping[str, Any], case_id: str) -> Shown:
        """Register a paper file; also while the case is frozen."""
        context.require_known(case_id)
        return actions.register_paper_file(stores, case_id=case_id, **body)

    @blp.route("/cases/<case_id>/paper-files")
    @allow(*CASE_READERS)
    @blp.arguments(schemas.PageArgs, location="query")
    @blp.response(200, schemas.PaperFilePage)
    def list_paper_files(query: Mapping[str, Any], case_id: str) -> Response:
        """The case's paper files; once it is erased, those it had."""
        # The one list of an erased case: what must still be certified has to be found.
        with suppress(Erased):
            context.require_known(case_id)

        def find(after: str | None, limit: int) -> list[Shown]:
            return actions.list_paper_files(stores, case_id=case_id, after=after, limit=limit)

        return ok(page(query, find, shown_paper)).response()

    @blp.route("/paper-files/<paper_file_id>")
    @allow(*CASE_READERS)
    @blp.response(200, schemas.PaperFileOut)
    def read_paper_file(paper_file_id: str) -> Response:
        """Where it is, or how it went."""
        shown = actions.paper_file(stores, paper_file_id)
        audit_case(shown.paper.case_id)
        return ok(shown_paper(shown), etag=shown.paper.version).response()

    @blp.route("/paper-files/<paper_file_id>", methods=["PATCH"])
    @allow(*CASEWORK, inward=Inward.NO)
    @blp.arguments(schemas.PaperFilePatch)
    @blp.response(200, schemas.PaperFileOut)
    def correct_paper_file(body: Mapping[str, Any], paper_file_id: str) -> Response:
        """Change where it is or what is in it; also while the case is frozen. Of an erased case's, where it is."""
        shown, closed = _of_path(paper_file_id)
        after = actions.correct_paper_file(stores, shown=shown, given=body, check=check_if_match, closed=closed)
        return ok(shown_paper(after), etag=after.paper.version).response()

    @blp.route("/paper-files/<paper_file_id>/movements", methods=["POST"])
    @allow(*CASEWORK, inward=Inward.NO)
    @blp.arguments(schemas.MovementIn)
    @blp.response(200, schemas.PaperFileOut)
    @idempotent(_changed)
    def move_paper_file(body: Mapping[str, Any], paper_file_id: str) -> Shown:
        """Record that it was taken out or brought in."""
        shown, closed = _of_path(paper_file_id)
        movement = Movement(**body, at=utc_now())
        return actions.move_paper_file(stores, shown=shown, movement=movement, closed=closed)

    @blp.route("/paper-files/<paper_file_id>/disposal", methods=["POST"])
    @allow(*CASEWORK_IN_PERSON, inward=Inward.NO)
    @blp.arguments(schemas.DisposalIn)
    @blp.response(200, schemas.PaperFileOut)
    @idempotent(_changed)
    def dispose_of_paper_file(body: Mapping[str, Any], paper_file_id: str) -> Shown:
        """Certify that it was shredded or returned, witnessed; or, as a manager, that it can't be found."""
        shown, closed = _of_path(paper_file_id)
        by_manager = MANAGER in current_caller().roles
        disposal = Disposed(**body, at=utc_now())
        return actions.dispose_of_paper_file(
            stores, shown=shown, disposal=disposal, by_manager=by_manager, closed=closed
        )

    def _of_path(paper_file_id: str) -> tuple[Shown, bool]:
        """The paper file, and whether the erasure of its case has begun."""
        shown = actions.paper_file(stores, paper_file_id)
        audit_case(shown.paper.case_id)
        closed = actions.is_closed(stores, shown.paper.case_id)
        if closed:
            # No key is left that an answer could be kept under for a day.
            forget_answer()
        return shown, closed

    return blp
