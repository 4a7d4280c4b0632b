"""The reader's settings: where the servers are, and secrets of its own that open no data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from environs import Env

from shared.ops.settings import SettingsError, from_environment, read_jwk, read_secret, switch


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderSettings:
    """What the process is told. only_own: other installations are on the same servers, and aren't its to read.

    s3_keys: (access key, secret key), its own first. A trial's store may have no accounts, and then takes the second.
    """

    names: str
    bind: tuple[str, int]
    only_own: bool
    public_keys: Path
    s3_endpoint: str
    s3_secure: bool
    s3_region: str
    mongo_url: str = field(repr=False)
    s3_keys: Sequence[tuple[str, str]] = field(repr=False)
    reading_jwk: Mapping[str, Any] = field(repr=False)


def load() -> ReaderSettings:
    """Raises SettingsError with one sentence for the first thing that is wrong."""
    return from_environment(_read)


def _read(env: Env) -> ReaderSettings:
    secrets, public_keys = Path(env.str("SECRETS")), Path(env.str("PUBLIC_KEYS"))
    if not public_keys.is_file():
        raise SettingsError(f"FMN_PUBLIC_KEYS must be a JWKS file; there is none at {public_keys}.")
    host, _, port = env.str("BIND", "0.0.0.0:8000").rpartition(":")
    if not host or not port.isdigit():
        raise SettingsError("FMN_BIND must be host:port.")
    return ReaderSettings(
        names=env.str("NAMES", "fmn"),
        bind=(host, int(port)),
        only_own=switch(env, "ONLY_OWN", "off"),
        public_keys=public_keys,
        s3_endpoint=env.str("S3_ENDPOINT"),
        s3_secure=switch(env, "S3_SECURE", "on"),
        s3_region=env.str("S3_REGION", "us-east-1"),
        mongo_url=read_secret(secrets / "mongo-url"),
        s3_keys=[
            (read_secret(secrets / f"{whose}s3-access-key"), read_secret(secrets / f"{whose}s3-secret-key"))
            for whose in ("", "shared-")
            if not whose or (secrets / f"{whose}s3-access-key").exists()
        ],
        reading_jwk=read_jwk(secrets / "reading.jwk"),
    )
