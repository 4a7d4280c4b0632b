"""`forgetmenot demo`: a family's case from consent to erasure, on real servers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.local.places import PROJECT


def register(app: typer.Typer) -> None:
    @app.command()
    def demo(
        scan: Annotated[
            Path | None,
            typer.Option(help="A document to file (a PDF, a picture, DOCX …); a generated scan by default."),
        ] = None,
        against: Annotated[
            str | None,
            typer.Option(help="URL of a container deployment's gateway, such as https://localhost:8443."),
        ] = None,
        secrets: Annotated[Path, typer.Option(help="With --against: the folder that `make secrets` made.")] = (
            PROJECT / "secrets"
        ),
        authority: Annotated[
            Path | None,
            typer.Option(help="With --against: the CA certificate to trust; the gateway's own by default."),
        ] = None,
        mail: Annotated[str, typer.Option(help="With --against: URL of the mail catcher of profile demo.")] = (
            "http://127.0.0.1:8025"
        ),
    ) -> None:
        """Run a family's case from consent to its erasure everywhere. Exit 0 if every step held."""
        # Imported here, because other commands don't need the demo's libraries.
        from demo import deployment, local

        try:
            content = scan.read_bytes() if scan else b""
        except OSError as error:
            typer.echo(f"{scan} can't be read: {error.strerror}.", err=True)
            raise typer.Exit(1) from error
        if against is None:
            raise typer.Exit(local.run(scan, content))
        code = deployment.run_against(
            against, secrets=secrets, authority=authority, mail_url=mail, scan_path=scan, scan=content
        )
        raise typer.Exit(code)
