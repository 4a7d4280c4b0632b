"""`forgetmenot certificate verify`: verify a certificate of erasure offline, from the file and the public keys."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.local.places import from_environment, places
from deploy.local.provision import prefix_from_environment
from services.consent.model.certificates import CERTIFICATE_TYPE, faults
from shared.clock import CLOCKS_DIFFER
from shared.erasure.participant import RECEIPT_TYPE
from shared.erasure.readings import BadReading, claims_of, digest_of
from shared.events import SERVICES
from shared.security.signing import BadSignature, PublicKeys, verify

# Enough for a certificate with a thousand paper files.
MOST_BYTES = 2 * 2**20
_COMPACT = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_REASONS = {
    "malformed": "it isn't a signed certificate",
    "algorithm": "it isn't signed with a certificate's algorithm (EdDSA)",
    "type": "it is a signed document of another type",
    "unknown-key": "its key isn't among the public keys",
    "wrong-use": "its key is for another use",
    "wrong-service": "it is signed by another service than it names",
    "key-validity": "its key wasn't valid at the time it gives",
    "signature": "its signature is invalid: it was changed, or another system signed it",
}


class InvalidCertificate(Exception):
    """`reason` says why a certificate is invalid, as the end of a sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidCertificate:
    """The claims of a valid certificate. removed: the number of records by service."""

    claims: Mapping[str, Any]
    removed: Mapping[str, int]


def check(content: bytes, keys: PublicKeys) -> ValidCertificate:
    """Verify the content of a certificate file. Raises InvalidCertificate."""
    if len(content) > MOST_BYTES:
        raise InvalidCertificate("it is too large to be a certificate")
    # One line break may follow the certificate, and nothing else.
    compact = content.removesuffix(b"\n").removesuffix(b"\r")
    if not _COMPACT.fullmatch(compact):
        raise InvalidCertificate(_REASONS["malformed"])
    jws = compact.decode("ascii")
    claims = _verified(jws, keys, "the certificate", "completed_at", use="certificate", typ=CERTIFICATE_TYPE)
    try:
        inner = [str(receipt) for receipt in claims["receipts"]]
        receipts = [_receipt(receipt, keys) for receipt in inner]
        wrong = faults(claims, receipts)
        removed = {
            str(receipt["service"]): sum(int(store["deleted"]) for store in receipt["stores"]) for receipt in receipts
        }
        late = [r["service"] for r in receipts if _time(r["signed_at"]) > _time(claims["completed_at"])]
        wrong += [*_independent(claims, keys), *_times(claims, receipts)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidCertificate("it is signed, but its claims aren't those of a certificate") from error
    wrong += [f"the receipt of {name} is younger than the certificate" for name in late]
    if len(receipts) != len(SERVICES):
        wrong.append(f"it carries {len(receipts)} receipts instead of {len(SERVICES)}")
    if wrong:
        raise InvalidCertificate("; ".join(wrong))
    return ValidCertificate(claims=claims, removed=removed)


def _times(claims: Mapping[str, Any], receipts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What doesn't fit together in its times, and in what the notifier says of the last letter."""
    received, due, completed = (_time(claims[name]) for name in ("received_at", "due_at", "completed_at"))
    if received > completed + CLOCKS_DIFFER:
        yield "it was completed before it was asked for"
    if claims["kept_promise"] and completed > due:
        yield "it says that the promise was kept, and was completed after it was due"
    for receipt in receipts:
        destroyed = receipt.get("root_destroyed_at")
        if destroyed is not None and _time(destroyed) > _time(receipt["signed_at"]) + CLOCKS_DIFFER:
            yield f"the receipt of {receipt['service']} was signed before its root was destroyed"
        if receipt.get("last_letter", claims["last_letter"]) not in (None, claims["last_letter"]):
            yield f"the receipt of {receipt['service']} says otherwise of the last letter"


def _independent(claims: Mapping[str, Any], keys: PublicKeys) -> Iterator[str]:
    """What is wrong with the independent reader's word, as ends of a sentence. Versions before it have none."""
    if "independent" not in claims:
        return
    said = claims["independent"]
    expected = {"request": claims["request"], "case": claims["case"], "at": said["at"], "found": said["found"]}
    try:
        read = claims_of(str(said["reading"]), keys, at=_time(said["at"]), expected=expected)
    except BadReading as error:
        yield f"the independent reading: {_REASONS.get(error.reason, 'it is about another case or says otherwise')}"
        return
    if read["found"] != 0 or read.get("leftovers"):
        yield f"the independent reader found the case in {read['found'] or len(read['leftovers'])} places"
    # Times don't tell: the clock of a service may have been ahead.
    if read.get("receipts_sha256") != digest_of(map(str, claims["receipts"])):
        yield "the independent reading began before a receipt came"
    if _time(read["at"]) > _time(claims["completed_at"]):
        yield "the independent reading is younger than the certificate"


def _receipt(jws: str, keys: PublicKeys) -> dict[str, Any]:
    service = str(_unverified(jws).get("service"))
    if service not in SERVICES:
        raise InvalidCertificate("it carries a receipt that names none of the services")
    return _verified(jws, keys, f"the receipt of {service}", "signed_at", use="receipt", typ=RECEIPT_TYPE, name=service)


def _verified(
    jws: str, keys: PublicKeys, what: str, moment: str, *, use: str, typ: str, name: str = "consent"
) -> dict[str, Any]:
    """Return the claims of a JWS whose key was valid at its time. moment: the claim with that time."""
    try:
        at = _time(_unverified(jws)[moment])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidCertificate(f"{what}: its claims can't be read, or were changed") from error
    try:
        claims = verify(jws, keys, use=use, at=at, service=name, typ=typ)
    except BadSignature as error:
        raise InvalidCertificate(f"{what}: {_REASONS.get(error.reason, error.reason)}") from error
    _, _, signature = jws.rpartition(".")
    # The last base64 character has unused bits, so another character can decode to the same signature.
    if base64.urlsafe_b64encode(_decoded(signature)).rstrip(b"=").decode() != signature:
        raise InvalidCertificate(f"{what}: {_REASONS['signature']}")
    return claims


def _unverified(jws: str) -> dict[str, Any]:
    """Return the claims before verification, only to find the key."""
    try:
        claims = json.loads(_decoded(jws.split(".")[1]))
    except (IndexError, ValueError, RecursionError) as error:
        raise InvalidCertificate(_REASONS["malformed"]) from error
    if not isinstance(claims, dict):
        raise InvalidCertificate(_REASONS["malformed"])
    return claims


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _time(text: str) -> datetime:
    """Parse a time. Raises ValueError without an offset from UTC."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("a time without an offset")
    return time


def _shown(text: str) -> str:
    return f"{_time(text).astimezone(UTC):%-d %B %Y, %H:%M:%S} UTC"


def summary(valid: ValidCertificate) -> list[str]:
    """Return the main claims of a certificate, as four lines."""
    claims = valid.claims
    paper = len(claims["paper"])
    kept = "within its time" if claims["kept_promise"] else "but not as promised (late, or paper not found)"
    removed = ", ".join(f"{name} {count}" for name, count in valid.removed.items())
    return [
        f"The certificate holds: case {claims['case']} was erased by {_shown(claims['completed_at'])}, {kept}.",
        f"Records removed: {removed}. Nothing remains in any of the four services.",
        _reading_line(claims),
        f"Paper files certified: {paper}. Last letter: {claims['last_letter']}. Request {claims['request']}.",
    ]


def _reading_line(claims: Mapping[str, Any]) -> str:
    if "independent" not in claims:
        return "No independent reader looked: the certificate is of an older version."
    at = _shown(claims["independent"]["at"])
    return f"The independent reader looked for the case in all databases and buckets on {at}, and found nothing left."


def register(app: typer.Typer) -> None:
    certificates = typer.Typer(no_args_is_help=True, help="Certificates of erasure.")
    app.add_typer(certificates, name="certificate")

    @certificates.callback()
    def _certificates() -> None:
        """Makes typer treat `verify` as a subcommand although it is the only one."""

    @certificates.command("verify")
    def verify_file(
        file: Annotated[Path, typer.Argument(help="The certificate, from GET /requests/{id}/certificate.")],
        jwks: Annotated[
            Path | None,
            typer.Option(help="Public keys, such as /.well-known/jwks.json; by default the local stack's."),
        ] = None,
    ) -> None:
        """Verify a certificate offline. Exit 0 if it holds; otherwise print why and exit 1."""
        known = jwks or places(from_environment()[0]).run_of(prefix_from_environment()) / "public-keys.json"
        try:
            with file.open("rb") as opened:
                content = opened.read(MOST_BYTES + 1)
            valid = check(content, _keys(known))
        except OSError as error:
            typer.echo(f"{file} can't be read: {error.strerror}.", err=True)
            raise typer.Exit(1) from error
        except InvalidCertificate as error:
            typer.echo(f"The certificate doesn't hold: {error.reason}.", err=True)
            raise typer.Exit(1) from error
        for line in summary(valid):
            typer.echo(line)


def _keys(path: Path) -> PublicKeys:
    try:
        return PublicKeys.load(path)
    except OSError as error:
        typer.echo(f"The public keys in {path} can't be read: {error.strerror}.", err=True)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        typer.echo(f"{path} isn't a file of our public keys (a JWKS).", err=True)
    raise typer.Exit(1)
