"""`forgetmenot broker sync`: a running broker is brought in line with deploy/rabbitmq/definitions.json.

A broker loads its definitions when it starts, which adds and changes; what they no longer name stays. This removes it
too, and needs no restart.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote

import requests
import typer

from deploy.local.broker import ADMINISTRATOR, Management
from deploy.local.errors import StackError
from deploy.local.places import Ports, from_environment, places
from deploy.local.provision import names_from_environment
from deploy.rabbitmq.sync import Change, Plan, plan
from shared.events import SERVICES

NOT_IN_LINE = 3
# The broker counts a queue's messages every five seconds.
_COUNTED_WITHIN_S = 12


class Kept(Exception):
    """A queue that isn't removed; the text says why, as a sentence's end."""


def sync(management: Management, found: Plan, *, drop_messages: bool, only_add: bool) -> list[str]:
    """Do what the plan says, telling each thing as it is done; answers what was kept, in sentences."""
    for change in found.additions:
        management.call(change.method, change.path, change.body)
        typer.echo(f"done: {change}")
    if only_add:
        return [f"Still there, as nothing is removed yet: {change.kind} {change.name}." for change in found.removals]
    kept = []
    for change in found.removals:
        try:
            if change.kind == "queue" and not drop_messages:
                _require_empty(management, change)
        except Kept as reason:
            kept.append(
                f"The queue {change.name} is kept: {reason}. Nothing of ours reaches it any more; once it has been "
                "read, or with --drop-messages, it goes."
            )
            continue
        management.call(change.method, change.path, absent_is_fine=True)
        if change.restored:
            management.call("POST", "/api/definitions", change.restored)
        typer.echo(f"done: {change}")
    return kept


def _require_empty(management: Management, removal: Change) -> None:
    """Raises Kept when the queue has a message, or somebody who reads it and may hold one."""
    peek = {"count": 1, "ackmode": "reject_requeue_true", "encoding": "base64", "truncate": 1}
    if management.call("POST", f"{removal.path}/get", peek):
        raise Kept("it has messages")
    deadline = time.monotonic() + _COUNTED_WITHIN_S
    while True:
        queue = management.call("GET", removal.path)
        if queue.get("consumers"):
            raise Kept("somebody still reads it")
        if not queue.get("messages"):
            return
        if time.monotonic() > deadline:
            raise Kept(f"it has {queue['messages']} messages")
        time.sleep(0.5)


def _passwords(folder: Path, name: str) -> Mapping[str, str]:
    """The accounts' passwords by service; `name` has a place for the service's."""
    return {service: (folder / name.format(service)).read_text().strip() for service in SERVICES}


def _broker(url: str | None, secrets: Path | None, names: str) -> tuple[Management, Mapping[str, str]]:
    """The broker at that address with a deployment's secrets, or the local stack's."""
    if url is None:
        root, base = from_environment()
        here = places(root)
        known = here.run_of(names) / "secrets"
        return Management.of(here, Ports(base=base)), _passwords(known, "{}/amqp-password")
    if secrets is None:
        raise typer.BadParameter("--against takes --secrets too: the folder with the accounts' passwords.")
    password = (secrets / "admin-password").read_text().strip()
    return Management(url=url.rstrip("/"), password=password), _passwords(secrets, "{}-password")


def register(app: typer.Typer) -> None:
    commands = typer.Typer(no_args_is_help=True, help="The broker's queues, bindings and accounts.")
    app.add_typer(commands, name="broker")

    @commands.callback()
    def _commands() -> None:
        """Keeps `sync` a command of its own while it is the only one."""

    @commands.command("sync")
    def sync_broker(
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
        only_add: Annotated[
            bool, typer.Option("--only-add", help="Remove nothing yet: an upgrade's first step.")
        ] = False,
        drop_messages: Annotated[
            bool, typer.Option("--drop-messages", help="Remove queues that have messages, and the messages.")
        ] = False,
        against: Annotated[
            str | None,
            typer.Option(envvar="FMN_BROKER", help="The management API of another broker than the local stack's."),
        ] = None,
        secrets: Annotated[
            Path | None,
            typer.Option(envvar="FMN_SECRETS", help="With --against: the folder rabbitmq of `make secrets`."),
        ] = None,
    ) -> None:
        """Add what the definitions name and remove what they don't, in our vhost and among our accounts alone.

        Exit 0 when the broker is in line; 3 when it isn't, after a dry run or because a queue was kept; 1 when the
        broker can't be reached or refuses.
        """
        names = names_from_environment()
        try:
            management, passwords = _broker(against, secrets, names)
            found = plan(management, names, passwords, ADMINISTRATOR)
            left = list(found.wrong)
            if dry_run:
                changes = found.additions if only_add else [*found.additions, *found.removals]
                for change in changes:
                    typer.echo(f"would {change}")
                left += [f"{len(changes)} changes would be made."] if changes else []
            else:
                left += sync(management, found, drop_messages=drop_messages, only_add=only_add)
        except OSError as error:
            if isinstance(error, requests.RequestException):
                typer.echo(f"The broker's management API can't be reached ({type(error).__name__}).", err=True)
            else:
                typer.echo(f"{error.filename} can't be read: {error.strerror}.", err=True)
            raise typer.Exit(1) from error
        except StackError as error:
            typer.echo(unquote(str(error)), err=True)
            raise typer.Exit(1) from error
        for sentence in [*left, *found.foreign]:
            typer.echo(sentence, err=True)
        if left:
            raise typer.Exit(NOT_IN_LINE)
        typer.echo("The broker is in line with its definitions.")
