"""Who is calling: OAuth 2.0 bearer tokens for people and apps, five-minute tokens between services."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt
import requests
from cryptography.exceptions import UnsupportedAlgorithm

from shared.errors import Unauthorised, Unavailable
from shared.events import SERVICES
from shared.fields import Subject
from shared.ops.logs import log
from shared.ops.settings import Settings
from shared.security.roles import ROLES, SERVICE
from shared.security.signing import ALGORITHM, BadSignature, PublicKeys, Signer, header_of, is_type, key_of

LOCAL_ISSUER = "urn:fmn:local"
SERVICE_TYP = "fmn-service"
SERVICE_TOKEN_LIFE = timedelta(minutes=5)
LEEWAY_SECONDS = 30
_TYPES = ("JWT", "at+jwt")
# By kind of key, so that a public key can never be taken for a shared secret.
_ALGORITHMS = {"OKP": ("EdDSA",), "RSA": ("RS256", "PS256"), "EC": ("ES256",)}
_REFRESH_SECONDS = 60
_RETRY_SECONDS = 5
_STALE_SECONDS = 600
_FETCH_SECONDS = 3
_JWKS_LIMIT_BYTES = 256 * 1024
_REFUSED = "The token is missing, expired, or not one that is trusted here. Sign in again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls: an opaque `sub` and roles; or another service, whose name is its `sub`."""

    sub: str
    roles: frozenset[str]
    is_service: bool = False


@dataclass(frozen=True, slots=True)
class Allowed:
    """Whom a route serves: roles of people and apps, and services by name."""

    roles: frozenset[str]
    services: frozenset[str] = frozenset()

    def admits(self, caller: Caller) -> bool:
        if caller.is_service:
            return caller.sub in self.services
        return bool(caller.roles & self.roles)


class IssuerKeys:
    """The outside issuer's keys: fetched when first needed, on an unknown kid, and when old; at most once a minute."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, tuple[Any, tuple[str, ...]]] = {}
        self._tried_at = self._fetched_at = -math.inf
        self._lock = threading.Lock()

    def lookup(self, kid: str) -> tuple[Any, tuple[str, ...]] | None:
        """The key and the algorithms it may be used with. Raises Unavailable when none could ever be fetched."""
        with self._lock:
            now = time.monotonic()
            wanted = kid not in self._keys or now - self._fetched_at >= _STALE_SECONDS
            wait = _REFRESH_SECONDS if self._keys else _RETRY_SECONDS
            if wanted and now - self._tried_at >= wait:
                self._tried_at = now
                self._fetch(now)
            if not self._keys:
                raise Unavailable("The issuer of tokens can't be reached. Try again shortly.")
            return self._keys.get(kid)

    def _fetch(self, now: float) -> None:
        try:
            with requests.get(self._url, timeout=_FETCH_SECONDS, stream=True, allow_redirects=False) as answer:
                answer.raise_for_status()
                raw = answer.raw.read(_JWKS_LIMIT_BYTES + 1, decode_content=True)
            if len(raw) > _JWKS_LIMIT_BYTES:
                raise ValueError("too large")
            entries = json.loads(raw)["keys"]
            if not isinstance(entries, list):
                raise TypeError("keys is a list")
            self._keys = dict(filter(None, map(_issuer_key, entries)))
            self._fetched_at = now
        except (requests.RequestException, ValueError, KeyError, TypeError, OSError) as error:
            # What is known stays; `lookup` says so when that is nothing.
            log.warning("issuer-keys-not-fetched", type=type(error).__name__)


def _issuer_key(entry: object) -> tuple[str, tuple[Any, tuple[str, ...]]] | None:
    """A key that may sign tokens, by its kid; None for what isn't taken here, or is no key: the others still work."""
    if not isinstance(entry, Mapping):
        return None
    allowed = _ALGORITHMS.get(str(entry.get("kty")), ())
    if "alg" in entry:
        allowed = tuple(name for name in allowed if name == entry["alg"])
    if not allowed or "kid" not in entry or entry.get("use", "sig") != "sig":
        return None
    try:
        key = jwt.PyJWK.from_dict(dict(entry), algorithm=allowed[0]).key
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None
    return str(entry["kid"]), (key, allowed)


class Authenticator:
    """Turns an Authorization header into a Caller, or refuses."""

    def __init__(self, settings: Settings, keys: PublicKeys) -> None:
        self._service = settings.service
        self._audience = settings.oidc_audience
        self._issuer = settings.oidc_issuer
        self._issuer_keys = IssuerKeys(settings.oidc_jwks_url) if settings.oidc_jwks_url else None
        self._keys = keys

    def admit(self, header: str | None, now: datetime) -> Caller:
        """Who the bearer token speaks for. Raises Unauthorised, or Unavailable when the issuer's keys can't be had."""
        scheme, _, token = (header or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorised(_REFUSED)
        try:
            head = header_of(token)
            if is_type(head, SERVICE_TYP):
                return service_caller(token, self._keys, self._service, now)
            return self._person(token, head, now)
        except (BadSignature, jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
            raise Unauthorised(_REFUSED) from error

    def _person(self, token: str, head: Mapping[str, Any], now: datetime) -> Caller:
        if head.get("typ") is not None and not is_type(head, *_TYPES):
            raise BadSignature("type")
        if self._issuer_keys is not None and self._issuer is not None:
            found = self._issuer_keys.lookup(str(head.get("kid")))
            if found is None or head.get("alg") not in found[1]:
                raise BadSignature("unknown-key")
            claims = _decode(token, found[0], found[1], audience=self._audience, issuer=self._issuer)
        else:
            # The local issuer is trusted only while no other is set.
            key = key_of(head, self._keys, use="issuer", at=now)
            claims = _decode(token, key.key, (ALGORITHM,), audience=self._audience, issuer=LOCAL_ISSUER)
        sub, roles = claims["sub"], claims.get("roles")
        # A service's name as a person's `sub` would make the audit lie.
        if not Subject().accepts(sub) or sub in SERVICES:
            raise BadSignature("subject")
        known = {role for role in roles if isinstance(role, str)} & ROLES if isinstance(roles, list) else set()
        return Caller(sub=sub, roles=frozenset(known))


def service_caller(token: str, keys: PublicKeys, called: str, now: datetime) -> Caller:
    """The service that a service's token speaks for, at `called`. Raises Unauthorised."""
    try:
        key = key_of(header_of(token), keys, use="token", at=now, typ=SERVICE_TYP)
        claims = _decode(token, key.key, (ALGORITHM,), audience=called, issuer=key.service)
        life = claims["exp"] - claims["iat"]
        if claims["sub"] != key.service or claims.get("roles") != [SERVICE] or key.service not in SERVICES:
            raise BadSignature("claims")
        if not 0 < life <= SERVICE_TOKEN_LIFE.total_seconds():
            raise BadSignature("life")
    except (BadSignature, jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
        raise Unauthorised(_REFUSED) from error
    return Caller(sub=key.service, roles=frozenset({SERVICE}), is_service=True)


def _decode(token: str, key: Any, algorithms: tuple[str, ...], *, audience: str, issuer: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=list(algorithms),
        audience=audience,
        issuer=issuer,
        leeway=LEEWAY_SECONDS,
        options={"require": ["exp", "sub", "aud", "iss"]},
    )
    return claims


def service_token(signer: Signer, *, caller: str, called: str, now: datetime) -> str:
    """A token with which the service `caller` may call the service `called`, for five minutes."""
    claims = {
        "iss": caller,
        "sub": caller,
        "aud": called,
        "roles": [SERVICE],
        "iat": int(now.timestamp()),
        "nbf": int(now.timestamp()),
        "exp": int((now + SERVICE_TOKEN_LIFE).timestamp()),
    }
    return signer.sign(claims, typ=SERVICE_TYP)


def local_token(signer: Signer, *, sub: str, roles: list[str], now: datetime, life: timedelta) -> str:
    """A person's token from the local issuer, for `forgetmenot token` and tests."""
    claims = {
        "iss": LOCAL_ISSUER,
        "sub": sub,
        "aud": "forgetmenot",
        "roles": roles,
        "iat": int(now.timestamp()),
        "exp": int((now + life).timestamp()),
    }
    return signer.sign(claims, typ="JWT")
