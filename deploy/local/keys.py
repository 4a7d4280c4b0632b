"""Keys and secrets of one set of names, made once and kept in files that their owner alone may read."""

from __future__ import annotations

import base64
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from deploy.local.places import SERVICES, private_folder, write_private

_YEARS_VALID = 3
_SIGNING = {service: ("token", "receipt") for service in SERVICES} | {
    "consent": ("token", "receipt", "certificate", "ledger")
}
_MASTER_KEY_BYTES = 96
_SEARCH_KEY_BYTES = 32


def ensure_keys(run: Path) -> Path:
    """Make what is missing under `run/secrets/` and write `run/public-keys.json`; answers the latter.

    Per service: master-keys/1.key, search.key, token.jwk, receipt.jwk (consent: certificate.jwk and ledger.jwk too); for
    the local issuer: issuer.jwk.
    """
    public = []
    for service in SERVICES:
        folder = private_folder(run / "secrets" / service)
        _ensure_random(folder / "master-keys" / "1.key", _MASTER_KEY_BYTES)
        _ensure_random(folder / "search.key", _SEARCH_KEY_BYTES)
        public += [_ensure_jwk(folder / f"{use}.jwk", service, use) for use in _SIGNING[service]]
    public.append(_ensure_jwk(run / "secrets" / "issuer" / "issuer.jwk", "issuer", "issuer"))
    return write_private(run / "public-keys.json", json.dumps({"keys": public}, indent=1))


def ensure_text(path: Path) -> str:
    """A password kept in a file, made the first time."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32))
    return path.read_text()


def _ensure_random(path: Path, size: int) -> None:
    if not path.exists():
        write_private(path, base64.b64encode(os.urandom(size)))


def _ensure_jwk(path: Path, service: str, use: str) -> dict[str, Any]:
    """The public half of an Ed25519 key, which names its service, its use and its validity."""
    if not path.exists():
        write_private(path, json.dumps(_new_jwk(service, use)))
    return {name: value for name, value in json.loads(path.read_text()).items() if name != "d"}


def _new_jwk(service: str, use: str) -> dict[str, Any]:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    private = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    now = int(time.time())
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": _base64url(public),
        "d": _base64url(private),
        "kid": f"{service}-{use}-{secrets.token_hex(4)}",
        "alg": "EdDSA",
        "use": "sig",
        "fmn_service": service,
        "fmn_use": use,
        "nbf": now - 60,
        "exp": now + _YEARS_VALID * 366 * 86400,
    }


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
