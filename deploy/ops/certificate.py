"""`forgetmenot certificate verify`: does a certificate hold? Judged offline, from the file and the public keys."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.local.places import from_environment, places
from deploy.local.provision import names_from_environment
from services.consent.model.certificates import CERTIFICATE_TYPE, faults
from services.consent.model.requests import PARTICIPANTS
from shared.erasure.participant import RECEIPT_TYPE
from shared.security.signing import BadSignature, PublicKeys, verify

# A thousand paper files fit; what is larger is another kind of file.
MOST_BYTES = 2 * 2**20
_COMPACT = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_REASONS = {
    "malformed": "it isn't a signed certificate",
    "algorithm": "it isn't signed as a certificate is (EdDSA)",
    "type": "it is signed, but not as what it should be",
    "unknown-key": "its key isn't among the public keys",
    "wrong-use": "its key isn't one for this purpose",
    "wrong-service": "it is signed by another service than it names",
    "key-validity": "its key wasn't valid at the time it gives",
    "signature": "its signature doesn't hold: it was changed, or isn't ours",
}


class DoesNotHold(Exception):
    """Why a certificate can't be relied on, as a sentence's end."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Holds:
    """What a certificate that holds says. removed: records by service."""

    claims: Mapping[str, Any]
    removed: Mapping[str, int]


def check(content: bytes, keys: PublicKeys) -> Holds:
    """Judge a certificate file's content. Raises DoesNotHold."""
    if len(content) > MOST_BYTES:
        raise DoesNotHold("it is too large to be a certificate")
    # Text files end in a line break; nothing else may stand beside the certificate.
    compact = content.removesuffix(b"\n").removesuffix(b"\r")
    if not _COMPACT.fullmatch(compact):
        raise DoesNotHold(_REASONS["malformed"])
    jws = compact.decode("ascii")
    claims = _verified(jws, keys, "the certificate", "completed_at", use="certificate", typ=CERTIFICATE_TYPE)
    try:
        inner = [str(receipt) for receipt in claims["receipts"]]
        receipts = [_receipt(receipt, keys) for receipt in inner]
        wrong = faults(claims, receipts)
        removed = {
            str(receipt["service"]): sum(int(store["deleted"]) for store in receipt["stores"]) for receipt in receipts
        }
        late = [r["service"] for r in receipts if _moment(r["signed_at"]) > _moment(claims["completed_at"])]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DoesNotHold("it is signed, but doesn't say what a certificate says") from error
    wrong += [f"the receipt of {name} is younger than the certificate" for name in late]
    if len(receipts) != len(PARTICIPANTS):
        wrong.append(f"it carries {len(receipts)} receipts instead of {len(PARTICIPANTS)}")
    if wrong:
        raise DoesNotHold("; ".join(wrong))
    return Holds(claims=claims, removed=removed)


def _receipt(jws: str, keys: PublicKeys) -> dict[str, Any]:
    service = str(_unverified(jws).get("service"))
    if service not in PARTICIPANTS:
        raise DoesNotHold("it carries a receipt that names none of the services")
    return _verified(jws, keys, f"the receipt of {service}", "signed_at", use="receipt", typ=RECEIPT_TYPE, name=service)


def _verified(
    jws: str, keys: PublicKeys, what: str, moment: str, *, use: str, typ: str, name: str = "consent"
) -> dict[str, Any]:
    """The claims of a JWS, once its key is known to have been valid at the time that it gives."""
    try:
        at = _moment(_unverified(jws)[moment])
    except (KeyError, TypeError, ValueError) as error:
        raise DoesNotHold(f"{what}: it isn't one, or was changed") from error
    try:
        claims = verify(jws, keys, use=use, at=at, service=name, typ=typ)
    except BadSignature as error:
        raise DoesNotHold(f"{what}: {_REASONS.get(error.reason, error.reason)}") from error
    _, _, signature = jws.rpartition(".")
    # The last character of a signature has bits to spare: changed, it would still decode to the same one.
    if base64.urlsafe_b64encode(_decoded(signature)).rstrip(b"=").decode() != signature:
        raise DoesNotHold(f"{what}: {_REASONS['signature']}")
    return claims


def _unverified(jws: str) -> dict[str, Any]:
    """The claims before anything is known of them: for finding the key, and for nothing else."""
    try:
        claims = json.loads(_decoded(jws.split(".")[1]))
    except (IndexError, ValueError, RecursionError) as error:
        raise DoesNotHold(_REASONS["malformed"]) from error
    if not isinstance(claims, dict):
        raise DoesNotHold(_REASONS["malformed"])
    return claims


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _moment(text: str) -> datetime:
    """Raises ValueError where there is no offset from UTC."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without an offset")
    return moment


def _spoken(text: str) -> str:
    return f"{_moment(text).astimezone(UTC):%-d %B %Y, %H:%M:%S} UTC"


def summary(holds: Holds) -> list[str]:
    """What the certificate says, in a few lines."""
    claims = holds.claims
    paper = len(claims["paper"])
    kept = "within its time" if claims["kept_promise"] else "but not as promised (late, or paper not found)"
    removed = ", ".join(f"{name} {count}" for name, count in holds.removed.items())
    return [
        f"The certificate holds: case {claims['case']} was erased by {_spoken(claims['completed_at'])}, {kept}.",
        f"Records removed: {removed}. Nothing remains in any of the four services.",
        f"Paper files certified: {paper}. Last letter: {claims['last_letter']}. Request {claims['request']}.",
    ]


def register(app: typer.Typer) -> None:
    certificates = typer.Typer(no_args_is_help=True, help="Certificates of erasure.")
    app.add_typer(certificates, name="certificate")

    @certificates.callback()
    def _certificates() -> None:
        """Keeps `verify` a command of its own while it is the only one."""

    @certificates.command("verify")
    def verify_file(
        file: Annotated[Path, typer.Argument(help="The certificate, as GET /requests/{id}/certificate gave it.")],
        jwks: Annotated[
            Path | None,
            typer.Option(help="Public keys, such as /.well-known/jwks.json; the local stack's when left out."),
        ] = None,
    ) -> None:
        """Check a certificate offline: exit 0 if it holds, 1 and the reason if not."""
        known = jwks or places(from_environment()[0]).run_of(names_from_environment()) / "public-keys.json"
        try:
            with file.open("rb") as opened:
                content = opened.read(MOST_BYTES + 1)
            holds = check(content, _keys(known))
        except OSError as error:
            typer.echo(f"{file} can't be read: {error.strerror}.", err=True)
            raise typer.Exit(1) from error
        except DoesNotHold as error:
            typer.echo(f"The certificate doesn't hold: {error.reason}.", err=True)
            raise typer.Exit(1) from error
        for line in summary(holds):
            typer.echo(line)


def _keys(path: Path) -> PublicKeys:
    try:
        return PublicKeys.load(path)
    except OSError as error:
        typer.echo(f"The public keys in {path} can't be read: {error.strerror}.", err=True)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        typer.echo(f"{path} isn't a file of our public keys (a JWKS).", err=True)
    raise typer.Exit(1)
