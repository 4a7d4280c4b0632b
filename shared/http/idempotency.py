"""Idempotency keys: the first 2xx answer is repeated for a day; the same key with another body, or in use, is 409.

A claim is written before the action and settled inside the action's own transaction, so the answer is kept exactly
when the change is. The row is digests under a key of ours; the answer is sealed under the case's key. Deleting what an
answer shows destroys the answer: its key stays used up for its day, and a repeat is 409.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pymongo
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pymongo.errors import DuplicateKeyError

from shared.clock import utc_now
from shared.db import Disposal, Register
from shared.db.gates import CLOSED, ERASED_SENTENCE
from shared.db.unit_of_work import Tx, before_commit
from shared.db.vault import OFFICE_KEY, KeyGone
from shared.errors import Conflict, Erased
from shared.fields import Count, Digest, Field, Id, Optional, Time, one_of
from shared.http.responses import JsonResponse
from shared.ids import is_id, new_id

KEPT = timedelta(hours=24)
# A client that lost the answer retries with the same key, and waits no longer than this for a process that died. A
# request that takes longer loses its key to the retry, which is safe: only one of the two is settled.
LEASE = timedelta(seconds=15)
_CLAIM_SECONDS = 8
_LABEL = b"forgetmenot idempotency"
_IN_USE, _DONE, _FORGOTTEN = "in_use", "done", "forgotten"
CLEAR: Mapping[str, Field] = {
    "at": Time(),
    "body": Digest(),
    "state": one_of(_IN_USE, _DONE, _FORGOTTEN),
    "status": Optional(Count()),
    # The claim that holds the key, and until when no other may take it over.
    "claim": Id(),
    "until": Time(),
    "first": Optional(Id()),
    # What the answer shows, where it is one thing.
    "record": Optional(Id()),
}
_IN_USE_SENTENCE = "This Idempotency-Key is in use by a request that hasn't been answered yet. Try again shortly."
_OTHER_BODY = "This Idempotency-Key was used with another body. Nothing was stored; use a new key."
_DELETED = (
    "What was made with this Idempotency-Key has been deleted since, and its answer with it. "
    "Nothing was stored; to make it again, use a new key."
)
_LOST = "Another request with this Idempotency-Key took over while this one was slow. Nothing was stored."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """One key's row. state: in use until `until`; done, with the answer sealed in `personal`; or forgotten."""

    id: str
    case_id: str | None
    version: int = 1
    at: datetime
    body: str
    state: str
    status: int | None = None
    claim: str
    until: datetime
    # The claim that began it: the same for the request that takes it over.
    first: str | None = None
    record: str | None = None
    personal: Mapping[str, Any] | None = None


@dataclass(slots=True, kw_only=True)
class Claim:
    """One request's hold on its key. `token` is None until it is claimed (an upload claims once its body is known).

    first: the claim that began what this one goes on with; its own, unless it took over from a process that died.
    """

    row_id: str
    render: Callable[[Any], JsonResponse]
    office: bool
    token: str | None = None
    first: str | None = None
    body: str | None = None
    settled: bool = False
    forgotten: bool = False


class AlreadyMade(Exception):
    """An upload's key turned out to be settled while the body came in: undo, and give the first answer again."""

    def __init__(self, answer: JsonResponse) -> None:
        super().__init__("already made")
        self.answer = answer


_current: ContextVar[Claim | None] = ContextVar("idempotency_claim", default=None)


class Idempotency:
    """The rows of one service."""

    def __init__(self, register: Register, secret: bytes) -> None:
        self._unit_of_work = register.unit_of_work
        self._vault = register.vault
        self._key = HKDF(SHA256(), 32, salt=None, info=_LABEL).derive(secret)
        self.store = register.repository(
            "idempotency", _Key, clear=CLEAR, disposal=Disposal.ERASE, expire_after=KEPT, exported=False
        )

    def digest(self, *parts: bytes) -> str:
        """HMAC of the parts, each with its length before it, as hex."""
        mac = hmac.new(self._key, digestmod="sha256")
        for part in parts:
            mac.update(len(part).to_bytes(8, "big") + part)
        return mac.hexdigest()

    def hold(self, claim: Claim) -> None:
        """Make this claim the one that transactions of this request settle."""
        _current.set(claim)
        before_commit.set(partial(self._settle_with, claim))

    def let_go(self) -> None:
        _current.set(None)
        before_commit.set(None)

    def finished(self, row_id: str) -> bool:
        """Whether there is an answer to repeat. Raises Conflict while the key is in use."""
        row = self.store.rows.find_one({"_id": row_id})
        if row is not None and row["state"] == _IN_USE and _is_held(row, utc_now()):
            raise Conflict(_IN_USE_SENTENCE)
        return row is not None and row["state"] != _IN_USE and row["at"] + KEPT > utc_now()

    def claim(self, claim: Claim, body: str) -> JsonResponse | None:
        """Take the key for this request and this body's digest; or the answer it already had.

        Raises Conflict when it is in use, was used with another body, or what it made is deleted; Erased when its case
        is gone.
        """
        while True:
            token, now = new_id(), utc_now()
            key = _Key(
                id=claim.row_id,
                case_id=None,
                at=now,
                body=body,
                state=_IN_USE,
                claim=token,
                until=now + LEASE,
                first=token,
            )
            try:
                with pymongo.timeout(_CLAIM_SECONDS):
                    self.store.rows.insert_one(self.store.row_of(key))
            except DuplicateKeyError:
                row = self.store.rows.find_one({"_id": claim.row_id})
                if row is None:
                    continue
                if row["state"] != _IN_USE:
                    answer = self._repeated(row, body)
                    if answer is not None:
                        return answer
                    self.store.rows.delete_one({"_id": claim.row_id, "claim": row["claim"]})
                    continue
                if _is_held(row, now):
                    raise Conflict(_IN_USE_SENTENCE) from None
                key = replace(key, first=row.get("first") or token)
                taken = self.store.rows.update_one(
                    {"_id": claim.row_id, "state": _IN_USE, "claim": row["claim"]}, {"$set": self.store.row_of(key)}
                )
                if taken.modified_count != 1:
                    continue
            claim.token, claim.first, claim.body = token, key.first, body
            return None

    def _repeated(self, row: Mapping[str, Any], body: str) -> JsonResponse | None:
        """The first answer; None when it can't be opened or has outlived its day."""
        case_id = row["case_id"]
        if case_id is not None and self._unit_of_work.gates.state(case_id) == CLOSED:
            raise Erased(ERASED_SENTENCE)
        # The index that removes old rows comes by once a minute.
        if row["at"] + KEPT <= utc_now():
            return None
        if row["state"] == _FORGOTTEN:
            raise Conflict(_DELETED)
        if not hmac.compare_digest(row["body"], body):
            raise Conflict(_OTHER_BODY)
        key = self.store.get(row["_id"])
        if key is None or key.personal is None:
            return None
        kept = key.personal
        return JsonResponse(status=int(kept["status"]), body=kept["body"], headers=kept["headers"], case_id=key.case_id)

    def _settle_with(self, claim: Claim, tx: Tx, result: Any) -> None:
        """Settle the claim with what the action gave, in its own transaction.

        One that gives nothing only prepares the one that answers. An upload claims once its body is known.
        """
        if result is not None and not claim.forgotten and claim.token is not None:
            self._settle(tx, claim, result if isinstance(result, JsonResponse) else claim.render(result))

    def settle_after(self, claim: Claim, answer: JsonResponse) -> None:
        """Settle a claim whose action ran no transaction that answers (it joined, or found, what was there)."""
        if claim.settled or claim.forgotten or claim.token is None:
            return

        def settle(tx: Tx) -> None:
            if answer.case_id is not None and not claim.office:
                tx.enter(answer.case_id, frozen_too=True)
            self._settle(tx, claim, answer)

        before_commit.set(None)
        self._unit_of_work.run(settle)

    def _settle(self, tx: Tx, claim: Claim, answer: JsonResponse) -> None:
        if not 200 <= answer.status < 300:
            return
        if claim.office == (answer.case_id is not None):
            raise RuntimeError("an answer that is kept names its case, or its route says `office=True`; never both")
        if claim.office:
            self._vault.create_key(OFFICE_KEY) if not self._vault.has_key(OFFICE_KEY) else None
        try:
            done = self._answer(tx, claim, answer)
        except KeyGone as error:
            raise Erased(ERASED_SENTENCE) from error
        if not done:
            raise Conflict(_LOST)
        claim.settled = True

    def _answer(self, tx: Tx, claim: Claim, answer: JsonResponse) -> bool:
        """Write the answer over the claim; False when it is no longer this request's. Raises KeyGone."""
        kept = {"status": answer.status, "body": dict(answer.body), "headers": dict(answer.headers)}
        shown = answer.body.get("id")
        row = self.store.row_of(
            _Key(
                id=claim.row_id,
                case_id=answer.case_id,
                at=tx.now,
                body=str(claim.body),
                state=_DONE,
                status=answer.status,
                claim=str(claim.token),
                until=tx.now,
                record=shown if is_id(shown) else None,
                personal=kept,
            )
        )
        mine = {"_id": claim.row_id, "claim": claim.token, "state": _IN_USE}
        return self.store.rows.replace_one(mine, row, session=tx.session).matched_count == 1

    def forget(self, tx: Tx, *, case_id: str, record: str) -> None:
        """Destroy the kept answers that show this record of the case, which is being deleted, and digests of bodies."""
        change = {"$set": {"state": _FORGOTTEN, "body": self.digest()}, "$unset": {"personal": ""}}
        where = {"case_id": case_id, "record": record, "state": _DONE}
        self.store.rows.update_many(where, change, session=tx.session)

    @contextmanager
    def forgetting(self, *, case_id: str, record: str) -> Iterator[None]:
        """Around an action that deletes a record: its transaction forgets the answers that show it too."""
        before_commit.set(lambda tx, result: self.forget(tx, case_id=case_id, record=record))
        try:
            yield
        finally:
            before_commit.set(None)

    def give_up(self, claim: Claim) -> None:
        """Free the key after a failure, or where the answer is to be forgotten; a settled one stays."""
        if claim.token is not None:
            self.store.rows.delete_one({"_id": claim.row_id, "claim": claim.token, "state": _IN_USE})


def _is_held(row: Mapping[str, Any], now: datetime) -> bool:
    """Whether no other request may take the key over. Too long a lease was written by a clock that was ahead."""
    return bool(now < row["until"] <= now + 2 * LEASE)


def current_claim() -> Claim | None:
    return _current.get()
