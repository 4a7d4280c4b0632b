"""The other services, as the coordinator meets them: what they answer with their own keys, and what strangers forge."""

from __future__ import annotations

import base64
import json
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shared.clock import utc_now
from shared.erasure.participant import RECEIPT_TYPE
from shared.events import Event, erasure
from shared.ids import new_id
from shared.security.signing import Signer, make_key
from tests.helpers import stores_listed
from tests.races.saga_model_oracle import LETTER, OLD, PAPER, Asked, Receipt
from tests.races.saga_model_system import Coordinator, Envelope, an_event

Claims = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Post:
    """An envelope with a receipt in it, as the oracle reads it."""

    envelope: Envelope
    receipt: Receipt

    def again(self) -> Post:
        """The same receipt, said anew."""
        event, source = self.envelope.event, str(self.envelope.account)
        anew = an_event(source, event.type, event.case, **{k: v for k, v in event.data.items() if k != "case"})
        return Post(envelope=Envelope(event=anew, account=source), receipt=self.receipt)


def claims(service: str, request: str, case_id: str, attempt: int, *, left: int = 0, **more: Any) -> Claims:
    """What a receipt says. left: 1 says erased but counts one that is left; 3 says failed but counts none."""
    remaining = 0 if left == 3 else left
    return {
        "iss": service,
        "service": service,
        "request": request,
        "case": case_id,
        "attempt": attempt,
        "outcome": "failed" if left > 1 else "erased",
        "stores": stores_listed(service, found=3, remaining=remaining),
        "late": [],
        "signed_at": utc_now().isoformat(),
        **more,
    }


def receipt_event(service: str, request: str, case_id: str, attempt: int, jws: str) -> Event:
    data = {"request": request, "service": service, "attempt": attempt, "receipt": jws}
    return an_event(service, erasure.RECEIPT, case_id, **data)


def claims_of(jws: str) -> Claims:
    """What is said in it, unverified."""
    body = jws.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))


def read_receipt(envelope: Envelope) -> Post:
    """A receipt as its service sent it."""
    jws = str(envelope.event.data["receipt"])
    said = claims_of(jws)
    receipt = Receipt(
        request=said["request"],
        service=said["service"],
        attempt=said["attempt"],
        left=sum(store["remaining"] for store in said["stores"]) or int(said["outcome"] == "failed"),
        late=tuple(said["late"]),
        letter=said.get("last_letter"),
        signed_at=datetime.fromisoformat(said["signed_at"]),
        jws=jws,
    )
    return Post(envelope=envelope, receipt=receipt)


@dataclass(kw_only=True)
class Service:
    """One of the others, which does what the participant does: an attempt that it answered is answered the same.

    asked: what it was told to erase and hasn't answered, oldest first. clock: how far its clock is from the
    coordinator's.
    """

    name: str
    case_id: str
    signer: Signer
    clock: timedelta = timedelta(0)
    asked: list[Event] = field(default_factory=list)
    answered: dict[str, list[Post]] = field(default_factory=dict)

    def answers(self, *, left: int, late: tuple[str, ...], **more: Any) -> Post | None:
        """Its receipt for what it was asked last; None when it wasn't asked, or for less than it has answered."""
        if not self.asked:
            return None
        event = self.asked[-1]
        self.asked.clear()
        request, attempt = str(event.data["request"]), int(event.data["attempt"])
        before = self.answered.get(request)
        if before is not None and before[-1].receipt.attempt == attempt:
            return before[-1].again()
        post = self._signed(request, attempt, left, late, not_before=None, **more)
        self.answered[request] = [post]
        return post

    def owes_a_second(self, request: str) -> bool:
        return len(self.answered.get(request, ())) == 1

    def follows_up(self, request: str, *, left: int, **more: Any) -> Post:
        """Its second receipt: nothing is late any more. Never dated before the first, whatever its clock does."""
        first = self.answered[request][0].receipt
        post = self._signed(request, first.attempt, left, (), not_before=first.signed_at, **more)
        self.answered[request].append(post)
        return post

    def _signed(
        self, request: str, attempt: int, left: int, late: tuple[str, ...], not_before: datetime | None, **more: Any
    ) -> Post:
        at = utc_now() + self.clock
        if not_before is not None:
            at = max(at, not_before + timedelta(milliseconds=1))
        said = claims(
            self.name, request, self.case_id, attempt, left=left, late=list(late), signed_at=at.isoformat(), **more
        )
        jws = self.signer.sign(said, typ=RECEIPT_TYPE)
        event = receipt_event(self.name, request, self.case_id, attempt, jws)
        return read_receipt(Envelope(event=event, account=self.name))


@dataclass(frozen=True, kw_only=True)
class Forger:
    """Whoever would like the coordinator to count what it must not."""

    coordinator: Coordinator
    # Another family's erasure, which has begun and waits for every service.
    other_case: str
    other_request: str

    def forge(self, kind: str, service: str, r: Asked, case_id: str) -> tuple[Envelope, str]:
        """A receipt that would do but for one thing, and the reason that it must be parked with."""
        make, reason = FORGERIES[kind]
        envelope = make(self, service, r.id, case_id, r.attempts.get(service, 1))
        if reason in ("receipt-wrong-shape", "receipt-key-validity") and service not in r.attempts:
            # Nobody was asked yet: what it says is not even looked at.
            reason = OLD
        return envelope, reason

    def sign(self, service: str, said: Claims, by: Signer | None = None) -> str:
        return (by or self.coordinator.signer(service)).sign(said, typ=RECEIPT_TYPE)

    def sent(self, service: str, request: str, case_id: str, attempt: int, **changed: Any) -> Envelope:
        said = {k: v for k, v in {**claims(service, request, case_id, attempt), **changed}.items() if v is not None}
        return self.packed(service, request, case_id, attempt, self.sign(service, said))

    def packed(self, service: str, request: str, case_id: str, attempt: int, jws: str) -> Envelope:
        return Envelope(event=receipt_event(service, request, case_id, attempt, jws), account=service)

    def another(self, service: str) -> str:
        return "document" if service == "case" else "case"

    def signed_by(self, by: Signer, service: str, request: str, case_id: str, attempt: int) -> Envelope:
        jws = self.sign(service, claims(service, request, case_id, attempt), by)
        return self.packed(service, request, case_id, attempt, jws)

    def changed(self, service: str, request: str, case_id: str, attempt: int, change: Callable[[str], str]) -> Envelope:
        jws = self.sign(service, claims(service, request, case_id, attempt))
        head, body, signature = jws.split(".")
        return self.packed(service, request, case_id, attempt, f"{head}.{body}.{change(signature)}")

    def sent_by(self, account: str | None, service: str, request: str, case_id: str, attempt: int) -> Envelope:
        right = self.sent(service, request, case_id, attempt)
        return Envelope(event=right.event, account=account)


def _spare_bits(signature: str) -> str:
    """Another text of the same bytes: the last character of 64 bytes has four bits to spare."""
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    return signature[:-1] + letters[letters.index(signature[-1]) + 1]


def _with_another_byte(signature: str) -> str:
    return ("A" if signature[0] != "A" else "B") + signature[1:]


Make = Callable[[Forger, str, str, str, int], Envelope]
FORGERIES: Mapping[str, tuple[Make, str]] = {
    "signed by another service": (
        lambda f, s, r, c, n: f.signed_by(f.coordinator.signer(f.another(s)), s, r, c, n),
        "receipt-wrong-service",
    ),
    "signed by its token key": (
        lambda f, s, r, c, n: f.signed_by(f.coordinator.signer(s, "token.jwk"), s, r, c, n),
        "receipt-wrong-use",
    ),
    "signed by a stranger": (
        lambda f, s, r, c, n: f.signed_by(Signer(make_key(s, "receipt", utc_now())[0]), s, r, c, n),
        "receipt-unknown-key",
    ),
    "with a changed byte": (lambda f, s, r, c, n: f.changed(s, r, c, n, _with_another_byte), "receipt-signature"),
    "written another way": (lambda f, s, r, c, n: f.changed(s, r, c, n, _spare_bits), "receipt-malformed"),
    "for an attempt before": (lambda f, s, r, c, n: f.sent(s, r, c, n - 1), OLD),
    "for an attempt to come": (lambda f, s, r, c, n: f.sent(s, r, c, n + 1), OLD),
    "replayed from another case": (
        lambda f, s, r, c, n: f.packed(s, r, c, n, f.sign(s, claims(s, f.other_request, f.other_case, n))),
        "receipt-of-another",
    ),
    "about another case": (
        lambda f, s, r, c, n: f.packed(s, r, f.other_case, n, f.sign(s, claims(s, r, c, n))),
        "receipt-of-no-request",
    ),
    "about no request": (lambda f, s, r, c, n: f.sent(s, new_id(), c, n), "receipt-of-no-request"),
    "in another's name": (
        lambda f, s, r, c, n: Envelope(
            event=an_event(
                f.another(s),
                erasure.RECEIPT,
                c,
                request=r,
                service=s,
                attempt=n,
                receipt=f.sign(s, claims(s, r, c, n)),
            ),
            account=f.another(s),
        ),
        "receipt-of-no-request",
    ),
    "sent by nobody": (lambda f, s, r, c, n: f.sent_by(None, s, r, c, n), "forged-sender"),
    "sent by another account": (lambda f, s, r, c, n: f.sent_by(f.another(s), s, r, c, n), "forged-sender"),
    "without its stores": (lambda f, s, r, c, n: f.sent(s, r, c, n, stores=None), "receipt-wrong-shape"),
    "with less than nothing left": (
        lambda f, s, r, c, n: f.sent(s, r, c, n, stores=[{"store": "x", "found": 0, "deleted": 0, "remaining": -1}]),
        "receipt-wrong-shape",
    ),
    "without an offset": (
        lambda f, s, r, c, n: f.sent(s, r, c, n, signed_at="2026-11-22T10:00:00"),
        "receipt-wrong-shape",
    ),
    "dated before its key": (
        lambda f, s, r, c, n: f.sent(s, r, c, n, signed_at="2001-01-01T00:00:00+00:00"),
        "receipt-key-validity",
    ),
}  # fmt: skip
# Everything a service may still hold when it answers first.
LATE = {"document": PAPER, "notifier": LETTER}
