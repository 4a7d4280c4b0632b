"""Signatures: Ed25519 keys, each of one service and one use, and compact JWS made and checked with them.

Public keys are installed when deployed and never learned from a message. `make_key` is the one place that makes a
pair; the set-up of secrets calls it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt.types import Options

from shared.ids import new_id

USES = ("token", "receipt", "certificate", "consent_receipt", "grant", "ledger", "reading", "issuer")
ALGORITHM = "EdDSA"
# Signatures are all that is asked of jwt here: what the claims must say, their reader checks.
_SIGNATURE_ONLY: Options = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


class BadSignature(Exception):
    """It can't be trusted; `reason` is a word of ours, never its content."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """One installed key. `not_before` and `expires` bound the time at which what it signs was signed."""

    kid: str
    service: str
    use: str
    not_before: datetime
    expires: datetime
    key: Ed25519PublicKey
    jwk: Mapping[str, Any]

    def is_valid(self, at: datetime) -> bool:
        return self.not_before <= at < self.expires


class PublicKeys:
    """The installed public keys, by kid."""

    def __init__(self, entries: Iterable[Any]) -> None:
        """entries: JWKs. One that is no Ed25519 key of ours is passed over (RFC 7517, 5).

        Raises ValueError for a private key, and for one of a use that isn't known here.
        """
        self._keys = {key.kid: key for key in map(_public_key, entries) if key is not None}

    @classmethod
    def load(cls, path: Path) -> PublicKeys:
        """From a JWKS file. Raises ValueError when it isn't one, or no entry of it is a key of ours."""
        entries = json.loads(path.read_text(encoding="utf-8"))["keys"]
        keys = cls(entries)
        if entries and not keys._keys:
            raise ValueError("no entry is a public key of ours")
        return keys

    def lookup(self, kid: str) -> PublicKey | None:
        return self._keys.get(kid)

    def published(self, *uses: str) -> list[dict[str, Any]]:
        """The JWKs of these uses, past ones too."""
        return [dict(key.jwk) for key in self._keys.values() if key.use in uses]


class Signer:
    """Signs with one private key."""

    def __init__(self, jwk: Mapping[str, Any]) -> None:
        self.kid = str(jwk["kid"])
        self._key = Ed25519PrivateKey.from_private_bytes(_bytes(jwk["d"]))

    def sign(self, claims: Mapping[str, Any], *, typ: str) -> str:
        """The claims as a compact JWS whose header names its key and its type."""
        return jwt.encode(dict(claims), self._key, ALGORITHM, headers={"kid": self.kid, "typ": typ})


def verify(
    jws: str, keys: PublicKeys, *, use: str, at: datetime, service: str | None = None, typ: str | None = None
) -> dict[str, Any]:
    """The claims of a JWS signed by a key of that use (and service) that was valid at `at`.

    Only the signature is judged: times and audiences inside are for the caller. Raises BadSignature
    ("malformed" | "algorithm" | "type" | "unknown-key" | "wrong-use" | "wrong-service" | "key-validity" | "signature").
    """
    key = key_of(header_of(jws), keys, use=use, at=at, service=service, typ=typ)
    try:
        claims = jwt.decode(jws, key.key, algorithms=[ALGORITHM], options=_SIGNATURE_ONLY)
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise BadSignature("signature") from error
    return dict(claims)


def key_of(
    header: Mapping[str, Any],
    keys: PublicKeys,
    *,
    use: str,
    at: datetime,
    service: str | None = None,
    typ: str | None = None,
) -> PublicKey:
    """The key that a JWS with this header must be signed by, of that use (and service) and valid at `at`.

    Raises BadSignature as `verify`, but for "malformed" and "signature".
    """
    if header.get("alg") != ALGORITHM:
        raise BadSignature("algorithm")
    if typ is not None and not is_type(header, typ):
        raise BadSignature("type")
    key = keys.lookup(str(header.get("kid")))
    if key is None:
        raise BadSignature("unknown-key")
    if key.use != use:
        raise BadSignature("wrong-use")
    if service is not None and key.service != service:
        raise BadSignature("wrong-service")
    if not key.is_valid(at):
        raise BadSignature("key-validity")
    return key


def is_type(header: Mapping[str, Any], *types: str) -> bool:
    """Whether a header's `typ` is one of these. As a media type it may have any capitals, or `application/` before it.

    RFC 7515, 4.1.9.
    """
    found = header.get("typ")
    return isinstance(found, str) and found.isascii() and _short(found) in map(_short, types)


def _short(typ: str) -> str:
    return typ.lower().removeprefix("application/")


def header_of(jws: str) -> dict[str, Any]:
    """The unverified header: for choosing a key, and for nothing else. Raises BadSignature("malformed")."""
    try:
        return dict(jwt.get_unverified_header(jws))
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadSignature("malformed") from error


def claims_of(jws: str) -> dict[str, Any]:
    """The unverified claims: for the time at which it says it was signed. Raises BadSignature("malformed")."""
    try:
        return dict(jwt.decode(jws, options={**_SIGNATURE_ONLY, "verify_signature": False}))
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadSignature("malformed") from error


def make_key(
    service: str, use: str, now: datetime, *, valid_for: timedelta = timedelta(days=3650)
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A fresh pair as (private JWK, public JWK). A minute before now is valid too: clocks differ."""
    if use not in USES:
        raise ValueError(f"a key's use is one of {', '.join(USES)}")
    key = Ed25519PrivateKey.generate()
    public = {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": _text(key.public_key().public_bytes_raw()),
        "kid": new_id(),
        "alg": ALGORITHM,
        "use": "sig",
        "fmn_service": service,
        "fmn_use": use,
        "nbf": int(now.timestamp()) - 60,
        "exp": int((now + valid_for).timestamp()),
    }
    return {**public, "d": _text(key.private_bytes_raw())}, public


def _public_key(entry: Any) -> PublicKey | None:
    """The key of this entry; None where it is no Ed25519 key of ours, or a broken one. Raises ValueError."""
    if not isinstance(entry, Mapping):
        return None
    if "d" in entry:
        raise ValueError("a private key lies among the public ones: make the secrets anew")
    if entry.get("kty") != "OKP" or entry.get("crv") != "Ed25519" or "fmn_use" not in entry:
        return None
    if entry["fmn_use"] not in USES:
        raise ValueError("every public key must be an Ed25519 JWK whose use is known here")
    try:
        return PublicKey(
            kid=str(entry["kid"]),
            service=str(entry["fmn_service"]),
            use=str(entry["fmn_use"]),
            not_before=datetime.fromtimestamp(int(entry["nbf"]), UTC),
            expires=datetime.fromtimestamp(int(entry["exp"]), UTC),
            key=Ed25519PublicKey.from_public_bytes(_bytes(entry["x"])),
            jwk=entry,
        )
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
