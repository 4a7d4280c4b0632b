"""Errors as application/problem+json (RFC 9457). No sentence ever repeats what was sent."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import requests
import urllib3
from flask import Flask, Response, g
from pymongo.errors import (
    ConfigurationError,
    DocumentTooLarge,
    DuplicateKeyError,
    EncryptionError,
    InvalidOperation,
    PyMongoError,
)
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from shared import errors
from shared.db.gates import CLOSED, ERASED_SENTENCE
from shared.db.keys.errors import KeyGone
from shared.db.unit_of_work import UnitOfWork
from shared.errors import Problem
from shared.ids import new_id
from shared.ops.logs import log, where

Errors = tuple[type[Exception], ...]

# These are bugs, not signs of a server that is away.
_BUGS = (DuplicateKeyError, DocumentTooLarge, InvalidOperation, ConfigurationError)
_AWAY: Errors = (PyMongoError, urllib3.exceptions.HTTPError, requests.RequestException)
#: The problems that another error of ours becomes, by its type.
problems_of: Mapping[type[Exception], tuple[type[Problem], ...]] = {KeyGone: (errors.Erased, errors.NotFound)}
_AWAY_SENTENCE = "A server that this needs is unavailable or slow. Nothing was stored. Try again shortly."
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,39}|[0-9]{1,4}")


def register_problems(app: Flask, unit_of_work: UnitOfWork, *, away: Errors = ()) -> None:
    """Make every error of this app a problem. away: what else means that a server is away."""

    def known(problem: Problem) -> Response:
        return problem_response(problem)

    def http_error(error: HTTPException) -> Response:
        answer = problem_response(_of_status(error.code or 500))
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            answer.headers["Allow"] = ", ".join(sorted(error.valid_methods))
        return answer

    def unexpected(error: Exception) -> Response:
        return problem_response(problem_of(error, unit_of_work, (*_AWAY, *away)))

    app.register_error_handler(Problem, known)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(Exception, unexpected)


def problem_of(error: Exception, unit_of_work: UnitOfWork, away: Errors) -> Problem:
    """The problem that an error becomes. An unexpected error is logged under an id and becomes a 500."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, KeyGone):
        case_id = g.get("case_id")
        if case_id is not None and unit_of_work.gates.state(case_id) == CLOSED:
            return errors.Erased(ERASED_SENTENCE)
        return errors.NotFound("There is no such thing here.")
    if (isinstance(error, away) and not isinstance(error, _BUGS)) or _encryption_away(error):
        log.warning("server-away", **where(error))
        return errors.Unavailable(_AWAY_SENTENCE)
    error_id = new_id()
    log.error("failed", error_id=error_id, **where(error))
    return errors.Internal(f"This is a fault of the service. Tell the operator its number, {error_id}.")


def _encryption_away(error: Exception) -> bool:
    return isinstance(error, EncryptionError) and isinstance(error.__cause__, PyMongoError)


def _of_status(status: int) -> Problem:
    if status == 404:
        return errors.NotFound("There is nothing at this path.")
    if status == 405:
        return errors.MethodNotAllowed("See /docs for what this path takes.")
    if status == 413:
        return errors.TooLarge("What was sent is too large. Nothing was stored.")
    if status == 415:
        return errors.UnsupportedMediaType("This type of content is not supported here. Nothing was stored.")
    if status == 416:
        return errors.RangeNotSatisfiable("The range asked for lies outside the content.")
    if 400 <= status < 500:
        return errors.Invalid("The request can't be read. Nothing was stored.")
    return errors.Unavailable(_AWAY_SENTENCE)


def problem_response(problem: Problem) -> Response:
    """The answer that says so."""
    said: dict[str, Any] = {
        "type": f"urn:fmn:problem:{problem.name}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
    }
    if problem.errors:
        said["errors"] = problem.errors
    return Response(
        json.dumps(said, ensure_ascii=False),
        status=problem.status,
        content_type="application/problem+json",
        headers=dict(problem.headers),
    )


def field_errors(messages: Any) -> dict[str, list[str]]:
    """marshmallow's messages as {path of the field: sentences}.

    A name that doesn't look like a field of the contract may be personal data, so it is not repeated.
    """
    found: dict[str, list[str]] = {}
    _flatten(messages, (), found)
    return found


def _flatten(messages: Any, path: tuple[str, ...], found: dict[str, list[str]]) -> None:
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            shown = "" if name == "_schema" else str(name) if _FIELD.fullmatch(str(name)) else "other"
            _flatten(inner, (*path, shown) if shown else path, found)
    else:
        sentences = [messages] if isinstance(messages, str) else [str(item) for item in messages]
        found.setdefault(".".join(path) or "body", []).extend(sentences)
