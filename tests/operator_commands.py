"""`forgetmenot` as the operator of a system types it."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from deploy.ops.main import app
from tests.system import System


def variables_of(system: System) -> dict[str, str]:
    """What tells the program which stack and names it is about."""
    places, ports = system.stack.places, system.stack.ports
    return {
        "FMN_LOCAL": str(places.root),
        "FMN_PORT_BASE": str(ports.base),
        "FMN_NAMES": system.provided.prefix,
    }


def command(system: System, *arguments: str, **variables: str) -> Result:
    """Run it in this process. variables: of its environment, beside or instead of those of the system."""
    return CliRunner().invoke(app, list(arguments), env=variables_of(system) | variables)
