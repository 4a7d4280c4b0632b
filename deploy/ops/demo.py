"""`forgetmenot demo`: the main job, end to end, told while it happens on real servers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    @app.command()
    def demo(
        scan: Annotated[
            Path | None,
            typer.Option(help="A scan of your own to file (PDF, JPEG, PNG, TIFF); a made-up one when left out."),
        ] = None,
    ) -> None:
        """Tell the main job's story: a family's case lives, and is forgotten everywhere. Exit 0 if every step held."""
        # What draws pictures and talks to servers is loaded for this command alone.
        from deploy.ops.story.telling import tell

        content = None
        if scan is not None:
            try:
                content = scan.read_bytes()
            except OSError as error:
                typer.echo(f"{scan} can't be read: {error.strerror}.", err=True)
                raise typer.Exit(1) from error
        raise typer.Exit(tell(scan, content))
