"""`forgetmenot migrate`: bring what an older version stored to this one's form."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext

import typer

from deploy.local.errors import StackError
from deploy.local.provision import prefix_from_environment, service_ports_of
from deploy.local.signals import Ended, ended_by_signals
from deploy.local.stack import Stack
from deploy.migrate.errors import CannotMigrate
from deploy.migrate.migration import Outcome, migrate, require_stopped
from shared.events import SERVICES


def register(app: typer.Typer) -> None:
    @app.command("migrate")
    def migrate_all() -> None:
        """Bring what version 0.2 stored to this version's form, and destroy its master keys.

        Stop the services first: it refuses while one runs. It starts the embedded stack's servers unless they run. It
        may be run again at any time, and goes on where it was ended. In containers it runs once for each service: see
        the runbook, under Upgrade.
        """
        stack = Stack.from_environment()
        try:
            with ended_by_signals(), nullcontext() if stack.is_up() else stack:
                if not stack.is_up():
                    stack.start_servers()
                prefix = prefix_from_environment()
                ports = service_ports_of(stack.places, stack.ports, prefix)
                provided = stack.provision(prefix, ports)
                for service in SERVICES:
                    with _environment(provided.env[service]):
                        require_stopped()
                for service in SERVICES:
                    with _environment(provided.env[service]):
                        typer.echo(_sentence(migrate()))
        except Ended as error:
            typer.echo("Ended before it was done. Run it again: it goes on from here.", err=True)
            raise typer.Exit(1) from error
        except (CannotMigrate, StackError) as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from error


def migrate_here() -> int:
    """Migrate the service whose settings this process has (a container); the exit code."""
    try:
        require_stopped()
        print(_sentence(migrate()), flush=True)  # noqa: T201 - what the command answers
    except CannotMigrate as error:
        print(str(error), file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _sentence(outcome: Outcome) -> str:
    if outcome.counts is None:
        return f"{outcome.service}: nothing of an older version is here, and nothing was changed."
    said = f"{outcome.service}: {outcome.counts.renewed} records were written anew and read back."
    if outcome.counts.orphans:
        said += f" The key of {outcome.counts.orphans} more was gone before, so what was sealed in them was left out."
    return f"{said} The old keys are destroyed."


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
