"""Keys and secrets of one prefix (`FMN_NAMES`), created once and kept in files that only their owner can read."""

from __future__ import annotations

import base64
import json
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.local.places import private_folder, write_private
from shared.erasure.readings import READER, READING_USE
from shared.events import SERVICES
from shared.security.signing import make_key

_SIGNING = {service: ("token", "receipt") for service in SERVICES} | {
    "consent": ("token", "receipt", "certificate", "consent_receipt", "grant", "ledger")
}
_SEARCH_KEY_BYTES = 32


def ensure_keys(run: Path) -> Path:
    """Create the missing keys under `run/secrets/`, write `run/public-keys.json` and return the latter's path.

    Per service: search.key, token.jwk, receipt.jwk (consent: certificate.jwk,
    consent_receipt.jwk, grant.jwk and ledger.jwk too); for the independent reader: reading.jwk; for the local issuer:
    issuer.jwk.
    """
    public = []
    for service in SERVICES:
        folder = private_folder(run / "secrets" / service)
        _ensure_random(folder / "search.key", _SEARCH_KEY_BYTES)
        public += [_ensure_jwk(folder / f"{use}.jwk", service, use) for use in _SIGNING[service]]
    public.append(_ensure_jwk(run / "secrets" / READER / f"{READING_USE}.jwk", READER, READING_USE))
    public.append(_ensure_jwk(run / "secrets" / "issuer" / "issuer.jwk", "issuer", "issuer"))
    return write_private(run / "public-keys.json", json.dumps({"keys": public}, indent=1))


def ensure_text(path: Path) -> str:
    """Return the password in a file; create it the first time."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32))
    return path.read_text()


def _ensure_random(path: Path, size: int) -> None:
    if not path.exists():
        write_private(path, base64.b64encode(os.urandom(size)))


def _ensure_jwk(path: Path, service: str, use: str) -> dict[str, Any]:
    """Return the public half of an Ed25519 key, with its service, use and validity; create it the first time."""
    if not path.exists():
        write_private(path, json.dumps(make_key(service, use, datetime.now(UTC))[0]))
    return {name: value for name, value in json.loads(path.read_text()).items() if name != "d"}
