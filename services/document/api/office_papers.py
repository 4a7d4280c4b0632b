"""The paper of the whole office: finding it, moving a cabinet, and the sheets that lie on top."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response

from services.document import schemas
from services.document.actions import office_papers as actions
from services.document.actions.papers import Shown, label_on_sheet, paper_file
from services.document.api.papers import shown_paper
from services.document.context import Context
from services.document.model.papers import CabinetMove, Sought
from services.document.sheets import render_cover_sheet
from services.document.store.papers import moved_so_far
from shared.db.keys.vault import OFFICE_KEY
from shared.db.unit_of_work import Tx
from shared.http import (
    Anew,
    Blueprint,
    Inward,
    JsonResponse,
    allow,
    audit_case,
    audit_record_in,
    id_of_act,
    idempotent,
    ok,
    page,
)
from shared.security.roles import CASE_READERS, CASEWORK

_MOVED = schemas.CabinetMoveOut()


def _moved(move: CabinetMove) -> JsonResponse:
    return ok(_MOVED.dump(move))


def _audit(tx: Tx, case_id: str, paper_file_id: str) -> None:
    audit_record_in(tx, case_id=case_id, record_id=paper_file_id)


def office_paper_routes(context: Context) -> Blueprint:
    stores = context.stores
    blp = Blueprint("office_papers", description="The paper of the whole office.")
    anew = Anew(find=lambda id, _: moved_so_far(stores.cabinet_moves, id), key=lambda _: OFFICE_KEY)

    @blp.route("/paper-files")
    @allow(*CASE_READERS)
    @blp.arguments(schemas.PaperFileQuery, location="query")
    @blp.response(200, schemas.PaperFilePage)
    def find_paper_files(query: Mapping[str, Any]) -> Response:
        """Paper files of every case, by where they are, state and label; erased cases' until they are certified."""
        sought = Sought(location=query["location"], state=query["state"], label=query["label"])

        def find(after: str | None, limit: int) -> list[Shown]:
            return actions.find_papers(stores, sought, after=after, limit=limit)

        return ok(page(query, find, shown_paper)).response()

    @blp.route("/paper-files/moves", methods=["POST"])
    @allow(*CASEWORK, inward=Inward.NO)
    @blp.arguments(schemas.CabinetMoveIn)
    @blp.response(200, schemas.CabinetMoveOut)
    @idempotent(_moved, anew=anew, claims_first=True)
    def move_cabinet(body: Mapping[str, Any]) -> CabinetMove:
        """All paper that is held in one place is in another now; frozen cases' too. Repeat it if it ended early."""
        return actions.move_cabinet(stores, act=id_of_act(), **body, audit=_audit)

    @blp.route("/paper-files/<paper_file_id>/cover-sheet")
    @allow(*CASE_READERS)
    @blp.response(200, content_type="application/pdf")
    def print_cover_sheet(paper_file_id: str) -> Response:
        """A sheet to lie on top, as a PDF: the label in large type and as a QR code, and no word of whose it is."""
        shown = paper_file(stores, paper_file_id)
        audit_case(shown.paper.case_id)
        return Response(render_cover_sheet(label_on_sheet(shown)), content_type="application/pdf")

    return blp
