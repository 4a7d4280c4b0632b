"""A reading: what the independent reader found of one erased case, signed by a key that no service has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from shared.security.signing import BadSignature, PublicKeys, verify

#: What the reader is called in tokens and signatures; it isn't one of the services.
READER: Final = "reader"
READING_TYPE: Final = "fmn-reading"
READING_USE: Final = "reading"
#: How many cases one call may be about.
MOST_AT_ONCE: Final = 1_000


class BadReading(Exception):
    """`reason` is a word of ours, never what it says."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def digest_of(receipts: Iterable[str]) -> str:
    """The SHA-256, in hex, of signed receipts in any order.

    A reading that has it began after they were signed, whatever the clocks said: it can't be known before.
    """
    return hashlib.sha256("\n".join(sorted(receipts)).encode()).hexdigest()


def claims_of(jws: str, keys: PublicKeys, *, at: datetime, expected: Mapping[str, Any]) -> dict[str, Any]:
    """The claims of a reading: {iss, reading, request, case, receipts_sha256, at, found, leftovers: {place: count},
    kept: [place], read: {collections, rows, buckets, objects}, unread: [what]}. at is when it began: RFC 3339.

    expected: claims that it must have as they are. Raises BadReading.
    """
    try:
        claims = verify(jws, keys, use=READING_USE, service=READER, typ=READING_TYPE, at=at)
    except BadSignature as error:
        raise BadReading(error.reason) from error
    if any(claims.get(name) != value for name, value in {"iss": READER, **expected}.items()):
        raise BadReading("of-another")
    found = claims.get("found")
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise BadReading("shape")
    return claims
