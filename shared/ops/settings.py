"""Settings: read once from the environment, and secrets once from their files; one sentence for what is wrong."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from environs import Env, EnvError

from shared.emails import BadEmail, bare_address
from shared.events import SERVICES
from shared.office import Office
from shared.uk.working_days import WorkingDays

T = TypeVar("T")

# A claim may be brought within six years (Limitation Act 1980, s. 5), and the record is what answers it.
_SIX_YEARS_IN_DAYS = 2192


class SettingsError(Exception):
    """A setting that is missing or can't be used; its text says which, and what it must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one process of one service is told. Secrets don't show in its repr."""

    service: str
    names: str
    public_keys: Path
    service_urls: Mapping[str, str]

    oidc_issuer: str | None
    oidc_jwks_url: str | None
    oidc_audience: str

    s3_endpoint: str | None
    s3_secure: bool
    s3_region: str
    smtp_url: str | None
    smtp_plain: bool
    printer: str | None
    ledger_copy: Path | None

    elsewhere: tuple[str, ...]
    calendar: WorkingDays
    office: Office
    shell_days: int
    safeguarding_email: str | None
    safeguarding_days: int
    upload_limit_bytes: int
    spool: Path | None
    time_travel: bool
    disk_floor: float
    disks: Mapping[str, str]

    roots: tuple[Path, ...]
    mongo_url: str = field(repr=False)
    amqp_url: str = field(repr=False)
    search_key: bytes = field(repr=False)
    token_jwk: Mapping[str, Any] = field(repr=False)
    receipt_jwk: Mapping[str, Any] = field(repr=False)
    s3_access_key: str | None = field(repr=False)
    s3_secret_key: str | None = field(repr=False)
    certificate_jwk: Mapping[str, Any] | None = field(repr=False)
    ledger_jwk: Mapping[str, Any] | None = field(repr=False)
    consent_receipt_jwk: Mapping[str, Any] | None = field(default=None, repr=False)
    grant_jwk: Mapping[str, Any] | None = field(default=None, repr=False)
    helpline_tally: bool = False
    review_window_days: int = 28
    review_reminder_days: int = 14
    clock_max: int = 20
    ledger_head: Path | None = None
    # Whether the relay offers SMTPUTF8. The case service asks, which refuses what can't be delivered when it is typed.
    smtp_utf8: bool = False
    ledger_head_mail: str | None = None
    # 0: a letter in the printer's folder has left the system.
    printer_hours: int = 72
    clamd: str | None = None

    @property
    def bucket(self) -> str:
        return f"{self.names}-{self.service}"

    @property
    def queue(self) -> str:
        return f"fmn.{self.service}"


def load() -> Settings:
    """The settings of this process. Raises SettingsError with one sentence for the first thing that is wrong."""
    return from_environment(_read)


def from_environment(read: Callable[[Env], T]) -> T:
    """What `read` makes of the variables that begin with FMN_. Raises SettingsError."""
    env = Env()
    try:
        with env.prefixed("FMN_"):
            return read(env)
    except EnvError as error:
        raise SettingsError(f"A setting is missing or wrong: {error}") from error


def _read(env: Env) -> Settings:
    service = env.str("SERVICE")
    if service not in SERVICES:
        raise SettingsError(f"FMN_SERVICE must be one of {', '.join(SERVICES)}.")
    secrets = Path(env.str("SECRETS"))
    public_keys = Path(env.str("PUBLIC_KEYS"))
    if not public_keys.is_file():
        raise SettingsError(f"FMN_PUBLIC_KEYS must be a JWKS file; there is none at {public_keys}.")
    issuer, jwks = env.str("OIDC_ISSUER", None), env.str("OIDC_JWKS_URL", None)
    if bool(issuer) != bool(jwks):
        raise SettingsError("FMN_OIDC_ISSUER and FMN_OIDC_JWKS_URL go together: set both, or neither.")
    window_days, reminder_days = _at_least(env, "REVIEW_WINDOW_DAYS", 28), _at_least(env, "REVIEW_REMINDER_DAYS", 14)
    if reminder_days >= window_days:
        raise SettingsError("FMN_REVIEW_REMINDER_DAYS must be less than FMN_REVIEW_WINDOW_DAYS.")
    keeps_files, coordinates = service == "document", service == "consent"
    # The independent reader isn't a service; the consent service alone asks it.
    called = (*SERVICES, "reader") if coordinates else SERVICES
    ledger_copy, ledger_head, spool = (env.str(name, None) for name in ("LEDGER_COPY", "LEDGER_HEAD", "SPOOL"))
    return Settings(
        service=service,
        names=env.str("NAMES", "fmn"),
        public_keys=public_keys,
        service_urls={name: _url(env.str(f"{name.upper()}_URL")) for name in called},
        oidc_issuer=issuer or None,
        oidc_jwks_url=jwks or None,
        oidc_audience=env.str("OIDC_AUDIENCE", "forgetmenot"),
        s3_endpoint=env.str("S3_ENDPOINT") if keeps_files else env.str("S3_ENDPOINT", None),
        s3_secure=switch(env, "S3_SECURE", "on"),
        s3_region=env.str("S3_REGION", "us-east-1"),
        smtp_url=env.str("SMTP_URL") if service == "notifier" else env.str("SMTP_URL", None),
        smtp_plain=switch(env, "SMTP_PLAIN", "off"),
        smtp_utf8=switch(env, "SMTP_UTF8", "off"),
        printer=env.str("PRINTER", None),
        ledger_copy=Path(ledger_copy) if ledger_copy else None,
        elsewhere=_words(env.str("ELSEWHERE", "")),
        calendar=_closures(_words(env.str("OFFICE_CLOSURES", ""))),
        office=_office(env),
        shell_days=_at_least(env, "SHELL_DAYS", 7),
        safeguarding_email=_mailbox_or_none(env, "SAFEGUARDING_EMAIL"),
        safeguarding_days=_at_least(env, "SAFEGUARDING_DAYS", _SIX_YEARS_IN_DAYS),
        upload_limit_bytes=_at_least(env, "UPLOAD_LIMIT_BYTES", 100 * 1024 * 1024),
        spool=Path(spool) if spool else None,
        time_travel=switch(env, "TIME_TRAVEL", "off"),
        disk_floor=_percent(env, "DISK_FLOOR", "10") / 100,
        disks=_disks(env.str("DISKS", "")),
        roots=_roots(env.str("ROOTS")),
        mongo_url=read_secret(secrets / "mongo-url"),
        amqp_url=read_secret(secrets / "amqp-url"),
        search_key=_key(secrets / "search.key"),
        token_jwk=read_jwk(secrets / "token.jwk"),
        receipt_jwk=read_jwk(secrets / "receipt.jwk"),
        s3_access_key=_secret_if(secrets / "s3-access-key", needed=keeps_files),
        s3_secret_key=_secret_if(secrets / "s3-secret-key", needed=keeps_files),
        certificate_jwk=read_jwk(secrets / "certificate.jwk") if coordinates else None,
        ledger_jwk=read_jwk(secrets / "ledger.jwk") if coordinates else None,
        consent_receipt_jwk=read_jwk(secrets / "consent_receipt.jwk") if coordinates else None,
        grant_jwk=read_jwk(secrets / "grant.jwk") if coordinates else None,
        helpline_tally=switch(env, "HELPLINE_TALLY", "off"),
        review_window_days=window_days,
        review_reminder_days=reminder_days,
        clock_max=_at_least(env, "CLOCK_MAX", 20),
        ledger_head=Path(ledger_head) if ledger_head else None,
        ledger_head_mail=_mailbox_or_none(env, "LEDGER_HEAD_MAIL"),
        printer_hours=_at_least(env, "PRINTER_HOURS", 72, least=0),
        clamd=env.str("CLAMD", None) or None,
    )


def _office(env: Env) -> Office:
    return Office(
        name=env.str("OFFICE_NAME"),
        phone=env.str("OFFICE_PHONE"),
        email=_mailbox(env, "OFFICE_EMAIL"),
        address=tuple(line.strip() for line in env.str("OFFICE_ADDRESS").split("|")),
        controller=env.str("CONTROLLER"),
        dpo_contact=env.str("DPO_CONTACT"),
        helpline=env.str("HELPLINE"),
    )


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise SettingsError("FMN_CASE_URL and the other services' settings of that kind must be URLs.")
    return text.rstrip("/")


def _mailbox_or_none(env: Env, name: str) -> str | None:
    return _mailbox(env, name) if env.str(name, "").strip() else None


def _mailbox(env: Env, name: str) -> str:
    try:
        return bare_address(env.str(name), takes_utf8=switch(env, "SMTP_UTF8", "off"))
    except BadEmail as error:
        raise SettingsError(f"FMN_{name} must be one bare email address. {error.reason}") from error


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _closures(entries: tuple[str, ...]) -> WorkingDays:
    try:
        return WorkingDays.parse(entries)
    except ValueError as error:
        raise SettingsError(
            "FMN_OFFICE_CLOSURES must be dates (YYYY-MM-DD, or YYYY-MM-DD@YYYY-MM-DD when it was published)."
        ) from error


def switch(env: Env, name: str, default: str) -> bool:
    text = env.str(name, default)
    if text not in ("on", "off"):
        raise SettingsError(f"FMN_{name} must be on or off.")
    return text == "on"


def _at_least(env: Env, name: str, default: int, *, least: int = 1) -> int:
    number = env.int(name, default)
    if number < least:
        raise SettingsError(f"FMN_{name} must be {least} or more.")
    return number


def _percent(env: Env, name: str, default: str) -> float:
    text = env.str(name, default).strip().removesuffix("%").strip()
    try:
        percent = float(text)
    except ValueError:
        percent = -1
    if not 0 <= percent <= 90:
        raise SettingsError(f"FMN_{name} must be a percentage from 0 to 90, such as 10.")
    return percent


def _disks(text: str) -> dict[str, str]:
    """`server=url` pairs: where to ask for the room on a server's disk (see shared/ops/disks.py)."""
    found = dict(entry.partition("=")[::2] for entry in _words(text))
    for server, url in found.items():
        if server not in ("rabbitmq", "objects") or not url.startswith(("file:///", "http://", "https://")):
            raise SettingsError(
                "FMN_DISKS must be pairs such as rabbitmq=http://disks:8000/rabbitmq,objects=file:///srv/objects."
            )
    return found


def _roots(text: str) -> tuple[Path, ...]:
    folders = tuple(Path(entry) for entry in _words(text))
    if len(set(folders)) < 2:
        raise SettingsError("FMN_ROOTS must be two folders or more, on different disks: one,other.")
    # One is enough to read the root; a worker can destroy none, and alarms, while another is away.
    if not any(folder.is_dir() for folder in folders):
        raise SettingsError("The folders of FMN_ROOTS are missing: are their disks mounted?")
    return folders


def read_secret(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The secret {path} can't be read: run the set-up that makes the secrets.") from error
    if not text:
        raise SettingsError(f"The secret {path} is empty: run the set-up that makes the secrets.")
    return text


def _secret_if(path: Path, *, needed: bool) -> str | None:
    return read_secret(path) if needed or path.exists() else None


def _key(path: Path) -> bytes:
    try:
        key = base64.b64decode(read_secret(path), validate=True)
    except binascii.Error as error:
        raise SettingsError(f"The secret {path} must be base64.") from error
    if len(key) < 32:
        raise SettingsError(f"The secret {path} must hold 32 bytes or more.")
    return key


def read_jwk(path: Path) -> Mapping[str, Any]:
    try:
        jwk = json.loads(read_secret(path))
    except ValueError as error:
        raise SettingsError(f"The secret {path} must be a JSON Web Key.") from error
    if not isinstance(jwk, dict) or not {"kty", "kid", "x", "d"} <= jwk.keys():
        raise SettingsError(f"The secret {path} must be a private Ed25519 JSON Web Key with a kid.")
    return jwk
