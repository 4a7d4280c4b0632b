"""`forgetmenot token`: create a token of the local issuer, for development and trials."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.local.places import from_environment, places
from deploy.local.provision import issuer_key, prefix_from_environment
from shared.fields import Subject
from shared.ids import new_id
from shared.security.authentication import LOCAL_ISSUER
from shared.security.roles import ROLES
from shared.security.signing import Signer

AUDIENCE = "forgetmenot"
LIFE = timedelta(hours=8)


def mint(key: Path, roles: list[str], subject: str, now: datetime, life: timedelta = LIFE, **claims: Any) -> str:
    """Return a token signed with the issuer's private JWK in the file `key`. claims: replace the usual ones."""
    usual = {
        "iss": LOCAL_ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "roles": roles,
        "iat": int(now.timestamp()),
        "nbf": int(now.timestamp()),
        "exp": int((now + life).timestamp()),
        "jti": new_id(),
    }
    return Signer(json.loads(key.read_text())).sign(usual | claims, typ="JWT")


def register(app: typer.Typer) -> None:
    @app.command()
    def token(
        role: Annotated[list[str], typer.Option(help=f"One of {', '.join(sorted(ROLES))}; may be repeated.")],
        subject: Annotated[str, typer.Option(help="The user: an opaque name without spaces.")] = "local-user",
        key: Annotated[
            Path | None,
            typer.Option(help="The issuer's private key: secrets/issuer/issuer.jwk for containers."),
        ] = None,
    ) -> None:
        """Print a token for the local stack, valid for eight hours, and nothing else on standard output."""
        if unknown := [name for name in role if name not in ROLES]:
            raise typer.BadParameter(f"{', '.join(unknown)}: a role must be one of {', '.join(sorted(ROLES))}.")
        if not Subject().accepts(subject):
            raise typer.BadParameter("a subject must be an opaque name without spaces, such as `worker-7`.")
        key = key or issuer_key(places(from_environment()[0]).run_of(prefix_from_environment()))
        if not key.exists():
            typer.echo(f"There is no issuer key at {key}: start the stack once (`make up`).", err=True)
            raise typer.Exit(1)
        typer.echo(mint(key, role, subject, datetime.now(UTC)))
