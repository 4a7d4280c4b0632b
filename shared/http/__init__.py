"""HTTP for every service: who may, strict bodies, problems, idempotency, ETags, pages, audit.

A service's api.py needs what is exported here, and nothing from the modules behind it.
"""

from shared.http.app import make_app
from shared.http.audit_trail import audit_record_in
from shared.http.body import BodyReader, body_reader, json_body
from shared.http.claims import AlreadyMade, Anew
from shared.http.fields import Body, Choice, DayField, Either, FlagField, IdField, Line, Moment, Text
from shared.http.idempotent import claim_upload, forget_answer, forgetting_answers, id_of_act, idempotent
from shared.http.kernel import (
    KernelStores,
    audit_also,
    audit_as_safeguarding,
    audit_case,
    audit_record,
    current_caller,
    current_kernel,
    leave_no_trace,
    open_kernel_stores,
    require_room,
)
from shared.http.pages import JWKS_PATH
from shared.http.responses import JsonResponse, PageArgs, check_if_match, created, etag_of, ok, page
from shared.http.routes import Blueprint, Inward, allow

__all__ = [
    "JWKS_PATH",
    "AlreadyMade",
    "Anew",
    "Blueprint",
    "Body",
    "BodyReader",
    "Choice",
    "DayField",
    "Either",
    "FlagField",
    "IdField",
    "Inward",
    "JsonResponse",
    "KernelStores",
    "Line",
    "Moment",
    "PageArgs",
    "Text",
    "allow",
    "audit_also",
    "audit_as_safeguarding",
    "audit_case",
    "audit_record",
    "audit_record_in",
    "body_reader",
    "check_if_match",
    "claim_upload",
    "created",
    "current_caller",
    "current_kernel",
    "etag_of",
    "forget_answer",
    "forgetting_answers",
    "id_of_act",
    "idempotent",
    "json_body",
    "leave_no_trace",
    "make_app",
    "ok",
    "open_kernel_stores",
    "page",
    "require_room",
]
