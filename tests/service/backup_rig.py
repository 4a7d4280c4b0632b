"""Four services on names of their own, and the commands of the operator who backs them up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import Result

from deploy.backup import catalogue
from deploy.backup.installation import opened
from deploy.local.provision import Provision, backup_identity
from deploy.local.stack import Stack
from shared.ids import new_id
from tests.operator_commands import command
from tests.system import System


@dataclass(frozen=True, kw_only=True)
class Rig:
    """Four services on names of their own, and the commands of the operator who runs them."""

    system: System

    @property
    def provided(self) -> Provision:
        return self.system.provided

    @property
    def identity(self) -> Path:
        return backup_identity(self.provided.run)

    def run(self, *arguments: str, **env: str) -> Result:
        return command(self.system, *arguments, **env)

    def backed_up(self, folder: Path) -> tuple[catalogue.Archive, catalogue.Archive]:
        """The newest data archive and the newest archive of keys."""
        done = self.run("backup", str(folder))
        assert done.exit_code == 0, done.output
        return catalogue.listed(folder, "data")[-1], catalogue.listed(folder, "keys")[-1]

    def archives(self) -> list[dict[str, Any]]:
        with opened(self.provided.env) as installation:
            consent = installation["consent"]
            return list(consent.client[consent.database]["archives"].find())


@contextmanager
def a_rig(stack: Stack) -> Iterator[Rig]:
    names = f"bk{new_id()[-8:]}".replace("-", "")
    provided = stack.provision(names)
    started = stack.start_services(provided)
    try:
        yield Rig(system=System(stack, provided))
    finally:
        for process in started.values():
            process.stop()
        stack.deprovision(names)
