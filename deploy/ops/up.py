"""`forgetmenot up`: run the embedded stack and the four services until Ctrl-C."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from deploy.local.errors import StackError
from deploy.local.provision import Provision, prefix_from_environment
from deploy.local.signals import Ended, ended_by_signals
from deploy.local.stack import Stack
from deploy.ops.screen import progress


def register(app: typer.Typer) -> None:
    @app.command()
    def up(
        servers_only: Annotated[bool, typer.Option(help="Run the servers without the four services.")] = False,
    ) -> None:
        """Run the embedded stack and the four services until Ctrl-C."""
        console = Console(highlight=False)
        stack = Stack.from_environment()
        try:
            with ended_by_signals(), stack:
                with progress(console) as report:
                    stack.report = report
                    stack.start_servers()
                    provided = stack.provision(prefix_from_environment())
                    if not servers_only:
                        stack.start_services(provided)
                stack.report = lambda part, state: console.print(f"{part} {state}", markup=False)
                _print_addresses(console, stack, provided, servers_only)
                try:
                    stack.wait()
                finally:
                    stack.report = lambda _part, _state: None
                    console.print("Stopping …")
        except Ended:
            console.print("Stopped. The data is in", str(stack.places.servers), soft_wrap=True)
        except StackError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from error


def _print_addresses(console: Console, stack: Stack, provided: Provision, servers_only: bool) -> None:
    lines = [] if servers_only else [f"{name:10} {url}/docs" for name, url in provided.urls.items()]
    lines += [
        f"{'mail':10} {stack.places.mail}",
        f"{'post':10} {provided.post}",
        f"{'logs':10} {stack.places.logs}",
        "",
        "A token:   .venv/bin/forgetmenot token --role caseworker",
        "Its state: .venv/bin/forgetmenot status",
        "Ctrl-C stops everything.",
    ]
    console.print("\n".join(["", *lines]), markup=False, soft_wrap=True)
