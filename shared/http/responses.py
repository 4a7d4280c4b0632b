"""Answers: what a route gives back, ETags and preconditions, and pages of lists."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import marshmallow as ma
from flask import Response, jsonify, request

from shared.errors import CHANGED_SENTENCE, Changed, Invalid, PreconditionRequired
from shared.ids import is_id

T = TypeVar("T")
MOST_ON_A_PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonResponse:
    """A whole answer: its status, its JSON, headers of the thing itself (Location, ETag), and whose case it is."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    case_id: str | None = None

    def about(self, case_id: str | None) -> JsonResponse:
        return replace(self, case_id=case_id)

    def response(self) -> Response:
        answer = jsonify(dict(self.body))
        answer.status_code = self.status
        answer.headers.update(dict(self.headers))
        return answer


def etag_of(version: int | str) -> str:
    """The strong ETag of a thing's version, quotes and all; for a view that sets the header itself."""
    return _quoted(version)


def _quoted(version: int | str) -> str:
    return f'"{version}"'


def ok(body: Mapping[str, Any], *, etag: int | str | None = None, status: int = 200) -> JsonResponse:
    """An answer, with the ETag of the version it shows where a thing can be changed."""
    return JsonResponse(status=status, body=body, headers={} if etag is None else {"ETag": _quoted(etag)})


def created(
    body: Mapping[str, Any], *, location: str, etag: int | str, case_id: str | None = None, status: int = 201
) -> JsonResponse:
    """201 with where the new thing is, and its ETag. location: a path, `/v1/...`. case_id: where only the body says.

    status: 202 for what takes time.
    """
    headers = {"Location": location, "ETag": _quoted(etag)}
    return JsonResponse(status=status, body=body, headers=headers, case_id=case_id)


def check_if_match(version: int | str) -> None:
    """Whether the caller read this version. Raises PreconditionRequired without If-Match, Changed for another one."""
    given = request.headers.get("If-Match")
    if given is None:
        raise PreconditionRequired("Send If-Match with the ETag that you read. Nothing was changed.")
    if given.strip() != "*" and _quoted(version) not in (tag.strip() for tag in given.split(",")):
        raise Changed(CHANGED_SENTENCE)


class PageArgs(ma.Schema):
    """`?limit=&cursor=`: a base for the query schemas of lists."""

    class Meta:
        unknown = ma.RAISE

    limit = ma.fields.Integer(load_default=50, validate=ma.validate.Range(min=1, max=MOST_ON_A_PAGE))
    cursor = ma.fields.String(load_default=None, metadata={"description": "`next` of the page before"})


def page(
    query: Mapping[str, Any],
    find: Callable[[str | None, int], Sequence[T]],
    show: Callable[[T], Mapping[str, Any]],
    *,
    id_of: Callable[[T], str] = lambda item: item.id,  # type: ignore[attr-defined]
) -> dict[str, Any]:
    """One page as `{items, next}`, oldest first.

    query: what PageArgs loaded. find(after, limit): up to `limit` things whose id is above `after`, by id.
    """
    limit = int(query["limit"])
    found = find(_after(query.get("cursor")), limit + 1)
    items = list(found[:limit])
    return {
        "items": [dict(show(item)) for item in items],
        "next": _cursor(id_of(items[-1])) if len(found) > limit else None,
    }


def _cursor(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).rstrip(b"=").decode()


def _after(cursor: str | None) -> str | None:
    if cursor is None:
        return None
    try:
        last = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise _bad_cursor() from error
    if not is_id(last):
        raise _bad_cursor()
    return last


def _bad_cursor() -> Invalid:
    said = "This isn't a cursor that was given here."
    return Invalid("The query doesn't fit the contract.", errors={"cursor": [said]})
