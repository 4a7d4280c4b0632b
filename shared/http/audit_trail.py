"""The audit of a request, and `GET /v1/audit/{service}`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

import marshmallow as ma
from flask import current_app, g, request

from shared.clock import utc_now
from shared.db.unit_of_work import Tx, traceparent
from shared.errors import NotFound
from shared.http.fields import IdField, Moment
from shared.http.kernel import current_caller, current_kernel
from shared.http.responses import JsonResponse, PageArgs, page
from shared.http.routes import AccessRule, Blueprint, access_rule_of, allow
from shared.http.trace import trace_id_of
from shared.ids import is_id
from shared.security.audit import ANONYMOUS
from shared.security.authentication import Caller

_SEES_WHAT_IS_APART = "data_protection"


def audit_row(access_rule: AccessRule, status: int) -> dict[str, Any]:
    """What this request did, in ids, enums and times."""
    caller: Caller | None = g.get("caller")
    unnamed = g.get("traceless", False)
    return {
        "at": utc_now(),
        "sub": ANONYMOUS if caller is None else caller.sub,
        "role": _role(caller, access_rule),
        "action": request.endpoint,
        "case_id": None if unnamed else g.get("case_id"),
        "record_id": None if unnamed else g.get("record_id"),
        "outcome": _outcome(status),
        "status": status,
        "trace_id": trace_id_of(traceparent.get()),
        "apart": access_rule.audit_apart or g.get("audit_apart", False),
    }


def audit_rows(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The row of a request, and the same about the second case where it is about two (`audit_also`)."""
    yield row
    other = None if g.get("traceless", False) else g.get("other_case_id")
    if other not in (None, row["case_id"]):
        yield {**row, "case_id": other}


def audit_record_in(tx: Tx, *, case_id: str, record_id: str) -> None:
    """Write an audit row of a request that changes many records, in the transaction that changes this one of them."""
    access_rule = access_rule_of(current_app.view_functions[str(request.endpoint)])
    if access_rule is not None:
        row = audit_row(access_rule, HTTPStatus.OK)
        current_kernel().stores.audit.write_in(tx, row | {"case_id": case_id, "record_id": record_id})


def audit_in(tx: Tx, answer: JsonResponse) -> None:
    """Write the audit row of a successful request in its own transaction, so that it waits for the disk once.

    Not where the answer may go out before it (safeguarding), nor where nothing may be kept (a decline).
    """
    access_rule = access_rule_of(current_app.view_functions[str(request.endpoint)])
    late = g.get("audit_late", False) or (access_rule is not None and access_rule.audit_late)
    if access_rule is None or not access_rule.audited or late or g.get("traceless", False):
        return
    row = audit_row(access_rule, answer.status)
    made = answer.body.get("id")
    row |= {"case_id": answer.case_id or row["case_id"], "record_id": made if is_id(made) else row["record_id"]}
    for each in audit_rows(row):
        current_kernel().stores.audit.write_in(tx, each)
    tx.after_commit.append(partial(setattr, g, "audited_status", answer.status))


def _role(caller: Caller | None, access_rule: AccessRule) -> str:
    if caller is None or not caller.roles:
        return "none"
    opened = caller.roles & access_rule.allowed.roles
    return min(opened or caller.roles)


def _outcome(status: int) -> str:
    if status < 400:
        return "done"
    if status in (401, 403):
        return "denied"
    return "refused" if status < 500 else "failed"


class AuditQuery(PageArgs):
    case_id = IdField(load_default=None)
    from_ = Moment(data_key="from", load_default=None, metadata={"description": "inclusive"})
    to = Moment(load_default=None, metadata={"description": "exclusive"})


class AuditRow(ma.Schema):
    id = IdField(attribute="_id", required=True)
    at = Moment(required=True)
    sub = ma.fields.String(required=True)
    role = ma.fields.String(required=True)
    action = ma.fields.String(required=True)
    case_id = IdField(allow_none=True)
    record_id = IdField(allow_none=True)
    outcome = ma.fields.String(required=True)
    status = ma.fields.Integer(required=True)


class AuditPage(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(AuditRow), required=True)
    next = ma.fields.String(allow_none=True, required=True)


def audit_routes() -> Blueprint:
    """The one route that every service has under /v1."""
    blp = Blueprint("audit", description="Who saw or changed what.")

    @blp.route("/audit/<service>")
    @allow("auditor", "data_protection")
    @blp.arguments(AuditQuery, location="query")
    @blp.response(200, AuditPage)
    def read_audit(query: Mapping[str, Any], service: str) -> dict[str, Any]:
        """The audit of this service, oldest first; what concerns safeguarding is shown to data protection alone."""
        kernel = current_kernel()
        if service != kernel.service:
            raise NotFound("This service keeps only its own audit.")
        where: dict[str, Any] = {}
        if query["case_id"] is not None:
            where["case_id"] = query["case_id"]
        times = {"$gte": query["from_"], "$lt": query["to"]}
        if asked := {name: moment for name, moment in times.items() if moment is not None}:
            where["at"] = asked
        audit = kernel.stores.audit
        apart_too = _SEES_WHAT_IS_APART in current_caller().roles
        return page(
            query,
            lambda after, limit: audit.of(where, after=after, limit=limit, apart_too=apart_too),
            lambda row: row,
            id_of=lambda row: str(row["_id"]),
        )

    return blp
