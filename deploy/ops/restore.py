"""`forgetmenot restore`: bring a backup back, without anyone who was forgotten since."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.backup import catalogue
from deploy.backup.installation import opened, variables_here
from deploy.ops.backup import sentences
from shared.ops.memory import keep_memory_private


def register(app: typer.Typer) -> None:
    @app.command("restore")
    def restore_all(
        folder: Annotated[
            Path, typer.Argument(metavar="DIR", help="The folder with the archives.", exists=True, file_okay=False)
        ],
        identity: Annotated[Path, typer.Option(help="The private half of the backups' key pair.")],
    ) -> None:
        """Restore the newest archives of DIR into servers that hold no case yet.

        The services may run: they answer 503 until it is done. One that was ended before is run again.
        """
        # Loaded here only: the other commands need no service's code.
        from deploy.restore.restore import restore

        keep_memory_private()
        with sentences(), opened(variables_here()) as installation, catalogue.locked(folder):
            restore(installation, folder, identity, typer.echo)
