"""Idempotency keys: the first 2xx answer is repeated for a day; the same key with another body, or in use, is 409.

The answer is kept by the action's own transaction, so it is kept exactly when the change is, and the request waits for
the disk once. Of two requests with the same key at once one commits; the other's transaction is undone, and it gets the
first answer. An act of several transactions (an intake, an upload) claims its key first and settles the claim in its
last one; meanwhile a repeat is 409.

The row's id is a digest under a key of ours; the answer is sealed under the case's key, and with it
the body's digest, which would tell a short body to whoever guesses it. Deleting what an answer shows destroys the
answer: its key stays used up for its day, and a repeat is 409.

Of a record that outlives its case (`Anew`) no answer is kept but its id and status: a repeat is rendered anew.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pymongo
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pymongo.errors import DuplicateKeyError

from shared.clock import utc_now
from shared.db import Disposal, Register
from shared.db.gates import CLOSED, ERASED_SENTENCE
from shared.db.keys.errors import Altered, KeyGone
from shared.db.keys.tree import owner_of
from shared.db.unit_of_work import Tx, before_commit
from shared.errors import Conflict, Erased
from shared.http.claims import CLEAR, DONE, FORGOTTEN, IN_USE, Claim, Key, KeyTaken
from shared.http.responses import JsonResponse
from shared.ids import is_id, new_id

KEPT = timedelta(hours=24)
# A client that lost the answer retries with the same key, and waits no longer than this for a process that died. A
# request that takes longer loses its key to the retry, which is safe: only one of the two is settled.
LEASE = timedelta(seconds=15)
_CLAIM_SECONDS = 8
_LABEL = b"forgetmenot idempotency"
_IN_USE_SENTENCE = "This Idempotency-Key is in use by a request that hasn't been answered yet. Try again shortly."
_OTHER_BODY = "This Idempotency-Key was used with another body. Nothing was stored; use a new key."
_DELETED = (
    "What was made with this Idempotency-Key has been deleted since, and its answer with it. "
    "Nothing was stored; to make it again, use a new key."
)
_LOST = "Another request with this Idempotency-Key took over while this one was slow. Nothing was stored."

_current: ContextVar[Claim | None] = ContextVar("idempotency_claim", default=None)


class Idempotency:
    """The rows of one service."""

    def __init__(self, register: Register, secret: bytes) -> None:
        self._unit_of_work = register.unit_of_work
        self._key = HKDF(SHA256(), 32, salt=None, info=_LABEL).derive(secret)
        self.store = register.repository(
            "idempotency",
            Key,
            clear=CLEAR,
            disposal=Disposal.ERASE,
            expire_after=KEPT,
            exported=False,
            key_of=lambda key: key.under,
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

    def let_go(self) -> None:
        _current.set(None)

    def kept(self, claim: Claim, body: str) -> JsonResponse | None:
        """The answer that this key already had. Raises as `claim`."""
        row = self.store.rows.find_one({"_id": claim.row_id})
        if row is None:
            return None
        if row["state"] == IN_USE and _is_held(row, utc_now()):
            raise Conflict(_IN_USE_SENTENCE)
        answer = None if row["state"] == IN_USE else self._repeated(row, claim, body)
        if answer is None:
            self.store.rows.delete_one({"_id": claim.row_id, "claim": row["claim"]})
        return answer

    def finished(self, row_id: str) -> bool:
        """Whether there is an answer to repeat. Raises Conflict while the key is in use."""
        row = self.store.rows.find_one({"_id": row_id})
        if row is not None and row["state"] == IN_USE and _is_held(row, utc_now()):
            raise Conflict(_IN_USE_SENTENCE)
        return row is not None and row["state"] != IN_USE and row["at"] + KEPT > utc_now()

    def claim(self, claim: Claim, body: str) -> JsonResponse | None:
        """Take the key for this request and this body's digest; or the answer it already had.

        Raises Conflict when it is in use, was used with another body, or what it made is deleted; Erased when its case
        is gone.
        """
        while True:
            token, now = new_id(), utc_now()
            key = Key(
                id=claim.row_id,
                case_id=None,
                at=now,
                state=IN_USE,
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
                if row["state"] != IN_USE:
                    answer = self._repeated(row, claim, body)
                    if answer is not None:
                        return answer
                    self.store.rows.delete_one({"_id": claim.row_id, "claim": row["claim"]})
                    continue
                if _is_held(row, now):
                    raise Conflict(_IN_USE_SENTENCE) from None
                key = replace(key, first=row.get("first") or token)
                taken = self.store.rows.update_one(
                    {"_id": claim.row_id, "state": IN_USE, "claim": row["claim"]}, {"$set": self.store.row_of(key)}
                )
                if taken.modified_count != 1:
                    continue
            claim.token, claim.first, claim.body = token, key.first, body
            return None

    def _repeated(self, row: Mapping[str, Any], claim: Claim, body: str) -> JsonResponse | None:
        """The first answer, or the same rendered anew; None when it can't be opened or has outlived its day."""
        case_id = row["case_id"]
        if case_id is not None and self._unit_of_work.gates.state(case_id) == CLOSED:
            raise Erased(ERASED_SENTENCE)
        # The index that removes old rows comes by once a minute.
        if row["at"] + KEPT <= utc_now():
            return None
        if row["state"] == FORGOTTEN:
            raise Conflict(_DELETED)
        key = self.store.get(row["_id"])
        kept = None if key is None else key.personal
        if kept is not None and not hmac.compare_digest(str(kept["digest"]), body):
            raise Conflict(_OTHER_BODY)
        status = int(row["status"])
        if claim.anew is not None:
            return replace(claim.render(claim.anew.find(str(row["record"]), status)), status=status)
        if kept is None:
            return None
        return JsonResponse(status=status, body=kept["body"], headers=kept["headers"], case_id=row["case_id"])

    def settle(self, tx: Tx, claim: Claim, result: Any, answer: JsonResponse) -> None:
        """Keep the answer to what the action gave, in its own transaction. Raises KeyTaken, Conflict, Erased.

        An upload has no token before its body is known.
        """
        if claim.forgotten or claim.token is None:
            return
        if (claim.anew is None) == (answer.case_id is None):
            raise RuntimeError("an answer that is kept names its case, or its route says `anew=`; never both")
        try:
            done = self._answer(tx, claim, answer, None if claim.anew is None else claim.anew.key(result))
        except KeyGone as error:
            raise Erased(ERASED_SENTENCE) from error
        if not done:
            raise Conflict(_LOST)
        claim.settled = True

    def settle_alone(self, claim: Claim, result: Any, answer: JsonResponse) -> None:
        """Keep the answer to what no transaction has answered. Raises as `settle`."""
        if claim.settled or claim.forgotten or claim.token is None:
            return

        def act(tx: Tx) -> None:
            if answer.case_id is not None and claim.anew is None:
                tx.enter(answer.case_id, frozen_too=True)
            self.settle(tx, claim, result, answer)

        self._unit_of_work.run(act)

    def _answer(self, tx: Tx, claim: Claim, answer: JsonResponse, under: str | None) -> bool:
        """Write the answer over the claim; False when it is no longer this request's. Raises KeyGone.

        under: the key of the record, where the answer isn't kept.
        """
        kept: dict[str, Any] = {"digest": claim.body}
        if under is not None and is_id(under):
            under = tx.key_name(under)
        if under is None:
            kept |= {"body": dict(answer.body), "headers": dict(answer.headers)}
        shown = answer.body.get("id")
        key = Key(
            id=claim.row_id,
            case_id=answer.case_id,
            at=tx.now,
            state=DONE,
            status=answer.status,
            claim=str(claim.token),
            until=tx.now,
            record=shown if is_id(shown) else None,
            personal=kept,
            under=under,
        )
        try:
            row = self.store.row_of(key, tx=tx)
        except KeyGone:
            if under is None:
                raise
            # What the body said is forgotten already: a repeat is answered without comparing.
            row = self.store.row_of(replace(key, personal=None), tx=tx)
        if not claim.first:
            try:
                self.store.rows.insert_one(row, session=tx.session)
            except DuplicateKeyError as error:
                raise KeyTaken from error
            return True
        mine = {"_id": claim.row_id, "claim": claim.token, "state": IN_USE}
        return self.store.rows.replace_one(mine, row, session=tx.session).matched_count == 1

    def forget(self, tx: Tx, *, case_id: str, record: str) -> None:
        """Destroy the kept answers that show this record of the case, which is being deleted."""
        change = {"$set": {"state": FORGOTTEN}, "$unset": {"personal": ""}}
        where = {"case_id": case_id, "record": record, "state": DONE}
        self.store.rows.update_many(where, change, session=tx.session)

    def forget_digests(self, case_id: str) -> None:
        """Destroy the digests of bodies that hang on a key of this case, whose answers outlive it: the key goes.

        There are as many such rows as requests were changed within a day.
        """
        vault = self._unit_of_work.vault
        for row in self.store.rows.find({"case_id": None, "personal": {"$exists": True}}):
            with suppress(Altered):
                if owner_of(vault.key_named_in(row["personal"])) == case_id:
                    self.store.rows.replace_one(
                        {"_id": row["_id"], "claim": row["claim"]}, self.store.records.marked(row)
                    )

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
        if claim.first:
            self.store.rows.delete_one({"_id": claim.row_id, "claim": claim.token, "state": IN_USE})


def _is_held(row: Mapping[str, Any], now: datetime) -> bool:
    """Whether no other request may take the key over. Too long a lease was written by a clock that was ahead."""
    return bool(now < row["until"] <= now + 2 * LEASE)


def current_claim() -> Claim | None:
    return _current.get()
