"""Paper files: registering, listing, moving, certifying."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from flask import Response

from services.document import schemas
from services.document.actions import papers as actions
from services.document.api.callers import PEOPLE, READERS, WRITERS
from services.document.model.papers import PaperFile
from services.document.store.stores import Stores
from shared.errors import Erased
from shared.http import (
    Blueprint,
    Inward,
    JsonResponse,
    allow,
    audit_case,
    created,
    current_caller,
    forget_answer,
    idempotent,
    ok,
    page,
)
from shared.service.service import Kit

_SHOW = schemas.PaperFileOut()


def _shown(paper: PaperFile) -> dict[str, Any]:
    body: dict[str, Any] = _SHOW.dump(paper)
    return body


def _registered(paper: PaperFile) -> JsonResponse:
    location = f"/v1/paper-files/{paper.id}"
    return created(_shown(paper), location=location, etag=paper.etag, case_id=paper.case_id)


def _changed(paper: PaperFile) -> JsonResponse:
    return ok(_shown(paper), etag=paper.etag).about(paper.case_id)


def paper_routes(kit: Kit, stores: Stores) -> Blueprint:
    blp = Blueprint("papers", description="The paper that lies in the office, and how it went.")

    @blp.route("/cases/<case_id>/paper-files", methods=["POST"])
    @allow(*WRITERS, inward=Inward.YES)
    @blp.arguments(schemas.PaperFileIn)
    @blp.response(201, schemas.PaperFileOut)
    @idempotent(_registered)
    def register_paper_file(body: Mapping[str, Any], case_id: str) -> PaperFile:
        """Register a paper file; also while the case is frozen."""
        kit.known(case_id)
        return actions.register_paper_file(
            stores,
            case_id=case_id,
            location=body["location"],
            description=body["description"],
            pages=body["pages"],
        )

    @blp.route("/cases/<case_id>/paper-files")
    @allow(*READERS)
    @blp.arguments(schemas.PageArgs, location="query")
    @blp.response(200, schemas.PaperFilePage)
    def list_paper_files(query: Mapping[str, Any], case_id: str) -> Response:
        """The case's paper files; once it is erased, those it had."""
        # The one list of an erased case: what must still be certified has to be found.
        with suppress(Erased):
            kit.known(case_id)

        def find(after: str | None, limit: int) -> list[PaperFile]:
            return actions.list_paper_files(stores, case_id=case_id, after=after, limit=limit)

        return ok(page(query, find, _shown)).response()

    @blp.route("/paper-files/<paper_file_id>")
    @allow(*READERS)
    @blp.response(200, schemas.PaperFileOut)
    def read_paper_file(paper_file_id: str) -> Response:
        """Where it is, or how it went."""
        paper = actions.paper_file(stores, paper_file_id)
        audit_case(paper.case_id)
        return ok(_shown(paper), etag=paper.etag).response()

    @blp.route("/paper-files/<paper_file_id>/movements", methods=["POST"])
    @allow(*WRITERS, inward=Inward.NO)
    @blp.arguments(schemas.MovementIn)
    @blp.response(200, schemas.PaperFileOut)
    @idempotent(_changed)
    def move_paper_file(body: Mapping[str, Any], paper_file_id: str) -> PaperFile:
        """Record that somebody took it out or brought it in."""
        paper = _of_path(paper_file_id)
        said = actions.MovementSaid(direction=body["direction"], who=body["who"], reason=body["reason"])
        return actions.move_paper_file(stores, paper=paper, said=said)

    @blp.route("/paper-files/<paper_file_id>/disposal", methods=["POST"])
    @allow(*PEOPLE, inward=Inward.NO)
    @blp.arguments(schemas.DisposalIn)
    @blp.response(200, schemas.PaperFileOut)
    @idempotent(_changed)
    def dispose_of_paper_file(body: Mapping[str, Any], paper_file_id: str) -> PaperFile:
        """Certify that it was shredded or returned, witnessed; or, as a manager, that it can't be found."""
        paper = _of_path(paper_file_id)
        said = actions.DisposalSaid(
            method=body["method"],
            by=body["by"],
            witnessed_by=body["witnessed_by"],
            to=body["to"],
            reason=body["reason"],
        )
        by_manager = "manager" in current_caller().roles
        return actions.dispose_of_paper_file(stores, paper=paper, said=said, by_manager=by_manager)

    def _of_path(paper_file_id: str) -> PaperFile:
        paper = actions.paper_file(stores, paper_file_id)
        audit_case(paper.case_id)
        if actions.is_closed(stores, paper):
            # No key is left that an answer could be kept under for a day.
            forget_answer()
        return paper

    return blp
