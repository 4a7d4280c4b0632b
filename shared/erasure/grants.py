"""What destroys carries the consent service's signature: no broker account, and no other service, can erase a case.

A grant is a compact JWS by a key that is used for nothing else. It names what may be destroyed, and is checked by every
service before its gate closes. A message without one is parked, with an alarm.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from shared.errors import Permanent
from shared.ops.logs import log
from shared.security.signing import BadSignature, PublicKeys, Signer, verify

_ERASURE: Final = "fmn-erasure-grant"
_ENDING: Final = "fmn-ending-grant"
_ISSUER: Final = "consent"


class Grants:
    """Checks grants with the installed public keys."""

    def __init__(self, keys: PublicKeys) -> None:
        self._keys = keys

    def require_erasure(self, grant: str | None, *, request: str, case_id: str, attempt: int, now: datetime) -> None:
        """Raises Permanent, after an alarm, unless the consent service has begun this attempt at this erasure."""
        self._require(_ERASURE, grant, _erasure(request, case_id, attempt), now)

    def require_ending(self, grant: str | None, *, case_id: str, now: datetime) -> None:
        """Raises Permanent, after an alarm, unless the consent service says that no one agreed to this shell."""
        self._require(_ENDING, grant, _ending(case_id), now)

    def _require(self, typ: str, grant: str | None, wanted: dict[str, Any], now: datetime) -> None:
        try:
            if grant is None:
                raise BadSignature("missing")
            if verify(grant, self._keys, use="grant", service=_ISSUER, typ=typ, at=now) != wanted:
                raise BadSignature("of-another")
        except BadSignature as error:
            log.error("destroying.refused", case_id=wanted["case"], reason=error.reason)
            raise Permanent(f"grant-{error.reason}") from error


class GrantSigner:
    """Signs grants; the consent service alone has the key."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def erasure(self, *, request: str, case_id: str, attempt: int) -> str:
        return self._signer.sign(_erasure(request, case_id, attempt), typ=_ERASURE)

    def ending(self, *, case_id: str) -> str:
        return self._signer.sign(_ending(case_id), typ=_ENDING)


def _erasure(request: str, case_id: str, attempt: int) -> dict[str, Any]:
    return {"iss": _ISSUER, "request": request, "case": case_id, "attempt": attempt}


def _ending(case_id: str) -> dict[str, Any]:
    return {"iss": _ISSUER, "case": case_id}
