"""`forgetmenot demo`: the main job, end to end, told while it happens on real servers."""

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
            typer.Option(help="A scan of your own to file (PDF, JPEG, PNG, TIFF); a made-up one when left out."),
        ] = None,
        against: Annotated[
            str | None,
            typer.Option(help="The gateway of a deployment in containers, such as https://localhost:8443."),
        ] = None,
        secrets: Annotated[Path, typer.Option(help="With --against: the folder that `make secrets` made.")] = (
            PROJECT / "secrets"
        ),
        authority: Annotated[
            Path | None,
            typer.Option(help="With --against: whose certificates to trust; the gateway's own when left out."),
        ] = None,
        mail: Annotated[str, typer.Option(help="With --against: the mail catcher of profile demo.")] = (
            "http://127.0.0.1:8025"
        ),
    ) -> None:
        """Tell the main job's story: a family's case lives, and is forgotten everywhere. Exit 0 if every step held."""
        if against is not None:
            from demo.deployment import tell_against

            raise typer.Exit(tell_against(against, secrets=secrets, authority=authority, mail_url=mail, scan=scan))
        # What draws pictures and talks to servers is loaded for this command alone.
        from demo.local import tell

        content = None
        if scan is not None:
            try:
                content = scan.read_bytes()
            except OSError as error:
                typer.echo(f"{scan} can't be read: {error.strerror}.", err=True)
                raise typer.Exit(1) from error
        raise typer.Exit(tell(scan, content))
