"""`@making`: a route that makes something, whose answer an Idempotency-Key repeats."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any

import pymongo
from flask import Response, g, request
from pymongo.errors import PyMongoError

from shared.db.unit_of_work import Tx, before_commit
from shared.errors import Invalid, Problem, Unavailable
from shared.http.audit_trail import audit_in
from shared.http.claims import AlreadyMade, Anew, Claim, KeyTaken
from shared.http.idempotency import Idempotency, current_claim
from shared.http.kernel import audit_case, audit_record, current_caller, current_kernel
from shared.http.responses import JsonResponse
from shared.http.routes import LONGEST_KEY, note
from shared.ids import new_id
from shared.ops.logs import log, where

_GIVE_UP_SECONDS = 1


def idempotency_key() -> str | None:
    """The request's Idempotency-Key, None without one. Raises Invalid unless it is 1–200 printable characters."""
    raw = request.headers.get("Idempotency-Key")
    if raw is None:
        return None
    try:
        # HTTP servers hand headers over as Latin-1; what is UTF-8 is read as such.
        key = raw.encode("latin-1").decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        key = raw
    if not 1 <= len(key) <= LONGEST_KEY or not key.isprintable():
        said = f"An Idempotency-Key is 1 to {LONGEST_KEY} printable characters."
        raise Invalid(f"{said} Nothing was stored.", errors={"Idempotency-Key": [said]})
    return key


def idempotent(
    render: Callable[[Any], JsonResponse],
    *,
    anew: Anew | Callable[[], Anew | None] | None = None,
    upload: Callable[[], bytes] | None = None,
    claims_first: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Response]]:
    """The view below returns what its action returned, and `render` turns that into the answer.

    render runs inside the action's transaction too, on its result: the view returns the same, or a JsonResponse.
      A transaction that returns None only prepares the one that answers. That one keeps the answer and the audit row.
    anew: the answer is about a record that outlives its case, or has none: a repeat is rendered anew, in any state of
      the case's gate. Without it the response must name its case (`case_id=`, or the path, query or body does). A
      function decides it for each request, once its body is read.
    upload: reads the whole body without keeping it and returns what identifies it (its fields and the file's digest).
      Such a view calls `claim_upload` with the same once its own reading is done, before the transaction that answers.
    claims_first: the act is made of several transactions or calls, which a repeat must not begin a second time.
    """

    def decorate(view: Callable[..., Any]) -> Callable[..., Response]:
        @wraps(view)
        def answered(*args: Any, **kwargs: Any) -> Response:
            how = anew() if callable(anew) else anew

            def whole(result: Any) -> JsonResponse:
                return _whole(result, render, is_kept=how is None)

            def act(claim: Claim | None) -> JsonResponse:
                return _act(lambda: view(*args, **kwargs), whole, claim)

            key = g.get("idempotency_key")
            if key is None:
                answer = act(None)
            elif upload is not None or claims_first:
                answer = _once_claimed(_claim(key, whole, how), act, upload)
            else:
                answer = _once(_claim(key, whole, how), act)
            if answer.case_id is not None:
                audit_case(answer.case_id)
            if isinstance(made := answer.body.get("id"), str):
                audit_record(made)
            return answer.response()

        note(answered, "idempotent", True)
        return answered

    return decorate


def claim_upload(identity: bytes) -> None:
    """Claim the key of an upload whose body has now been read. Raises Conflict or AlreadyMade: undo and let it pass."""
    claim = current_claim()
    if claim is None:
        return
    idempotency = current_kernel().stores.idempotency
    answer = idempotency.claim(claim, idempotency.digest(identity))
    if answer is not None:
        raise AlreadyMade(answer)


def id_of_act() -> str:
    """An id for what this request makes in several transactions; a retry with the same key gets the same id.

    A new one without a key, and once the key was given up; of an upload, only after it was claimed.
    """
    claim = current_claim()
    return new_id() if claim is None or claim.first is None else claim.first


def forgetting_answers(*, case_id: str, record: str) -> AbstractContextManager[None]:
    """Around an action that deletes a record: its transaction destroys the answers kept under a key that show it."""
    return current_kernel().stores.idempotency.forgetting(case_id=case_id, record=record)


def forget_answer() -> None:
    """Keep neither body nor answer of this request (a decline)."""
    claim = current_claim()
    if claim is not None:
        claim.forgotten = True


def _claim(key: str, render: Callable[[Any], JsonResponse], anew: Anew | None) -> Claim:
    idempotency = current_kernel().stores.idempotency
    row_id = idempotency.digest(
        current_caller().sub.encode(), request.method.encode(), request.path.encode(), key.encode()
    )
    return Claim(row_id=row_id, render=render, anew=anew)


def _act(view: Callable[[], Any], render: Callable[[Any], JsonResponse], claim: Claim | None) -> JsonResponse:
    """Run the view. The transaction that answers also keeps the answer, and the audit row of the request."""
    idempotency = current_kernel().stores.idempotency
    rendered: JsonResponse | None = None

    def finish(tx: Tx, result: Any) -> None:
        nonlocal rendered
        if result is None:
            return
        rendered = answer = render(result)
        if not 200 <= answer.status < 300:
            return
        if claim is not None:
            idempotency.settle(tx, claim, result, answer)
        audit_in(tx, answer)

    before_commit.set(finish)
    try:
        result = view()
    finally:
        before_commit.set(None)
    # What is answered is what is kept.
    answer = rendered or render(result)
    if claim is not None and 200 <= answer.status < 300:
        # It joined, or found, what was there, and ran no transaction that answers.
        idempotency.settle_alone(claim, result, answer)
    return answer


def _once(claim: Claim, act: Callable[[Claim], JsonResponse]) -> JsonResponse:
    """The answer that the key already had, or that of the act, whose transaction keeps it.

    Nearly every key is new, so it isn't looked up first: the transaction of a repeat is undone.
    """
    idempotency = current_kernel().stores.idempotency
    body = idempotency.digest(_canonical())
    while True:
        claim.token, claim.body = new_id(), body
        idempotency.hold(claim)
        try:
            return act(claim)
        except (KeyTaken, Problem) as error:
            # What the first request with this key changed may be why this one is refused.
            if (first := idempotency.kept(claim, body)) is not None:
                return first
            if not isinstance(error, KeyTaken):
                raise
            # The answer was kept for its day, and went now.
        finally:
            idempotency.let_go()


def _once_claimed(
    claim: Claim, act: Callable[[Claim], JsonResponse], upload: Callable[[], bytes] | None
) -> JsonResponse:
    """As `_once`, of an act that is made of several transactions: the key is claimed before it begins."""
    idempotency = current_kernel().stores.idempotency
    if upload is None:
        first = idempotency.claim(claim, idempotency.digest(_canonical()))
    elif idempotency.finished(claim.row_id):
        first = idempotency.claim(claim, idempotency.digest(upload()))
        if first is None:
            # The answer went while the body was read, and the body can't be read twice.
            _give_up(idempotency, claim)
            raise Unavailable("The first answer is no longer kept. Nothing was stored; send it again.")
    else:
        first = None
    if first is not None:
        return first
    idempotency.hold(claim)
    try:
        answer = act(claim)
    except AlreadyMade as made:
        return made.answer
    except BaseException:
        _give_up(idempotency, claim)
        raise
    finally:
        idempotency.let_go()
    if claim.forgotten or not claim.settled:
        _give_up(idempotency, claim)
    return answer


def _give_up(idempotency: Idempotency, claim: Claim) -> None:
    try:
        # Most often the database itself went wrong, and the caller has waited for that already.
        with pymongo.timeout(_GIVE_UP_SECONDS):
            idempotency.give_up(claim)
    except PyMongoError as error:
        # The lease ends by itself in a minute; what went wrong first is what the caller hears.
        log.warning("claim-not-freed", **where(error))


def _whole(result: Any, render: Callable[[Any], JsonResponse], *, is_kept: bool) -> JsonResponse:
    answer = result if isinstance(result, JsonResponse) else render(result)
    if not is_kept:
        return answer.about(None)
    return answer if answer.case_id is not None else answer.about(g.get("case_id"))


def _canonical() -> bytes:
    """The body as it was understood: another order or spacing of the same JSON is the same body."""
    return json.dumps(g.get("json_body"), sort_keys=True, ensure_ascii=False).encode()
