"""`forgetmenot broker sync`: apply deploy/rabbitmq/definitions.json to a running broker.

A broker loads its definitions when it starts, which only adds and changes. This command also removes what the
definitions no longer name, and needs no restart.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote

import requests
import typer

from deploy.local.broker import Management
from deploy.local.errors import StackError
from deploy.local.places import ADMINISTRATOR, Ports, from_environment, places
from deploy.local.provision import prefix_from_environment
from deploy.rabbitmq.sync import Change, Plan, plan
from shared.events import SERVICES

NOT_IN_LINE = 3
# The broker updates a queue's message count every five seconds.
_COUNTED_WITHIN_S = 12


class QueueInUse(Exception):
    """A queue that can't be removed; the text says why, as the end of a sentence."""


def sync(management: Management, found: Plan, *, drop_messages: bool, only_add: bool) -> list[str]:
    """Make the plan's changes and print each; return sentences about what wasn't removed."""
    for change in found.additions:
        management.call(change.method, change.path, change.body)
        typer.echo(f"done: {change}")
    if only_add:
        return [f"Not removed, because of --only-add: {change.kind} {change.name}." for change in found.removals]
    kept = []
    for change in found.removals:
        try:
            if change.kind == "queue" and not drop_messages:
                _require_empty(management, change)
        except QueueInUse as reason:
            kept.append(
                f"The queue {change.name} is kept: {reason}. It gets no more of our messages. Run this again once it "
                "is empty, or with --drop-messages."
            )
            continue
        management.call(change.method, change.path, absent_is_fine=True)
        if change.restored:
            management.call("POST", "/api/definitions", change.restored)
        typer.echo(f"done: {change}")
    return kept


def _require_empty(management: Management, removal: Change) -> None:
    """Raise QueueInUse when the queue has a message, or a consumer, which may hold one."""
    peek = {"count": 1, "ackmode": "reject_requeue_true", "encoding": "base64", "truncate": 1}
    if management.call("POST", f"{removal.path}/get", peek):
        raise QueueInUse("it has messages")
    deadline = time.monotonic() + _COUNTED_WITHIN_S
    while True:
        queue = management.call("GET", removal.path)
        if queue.get("consumers"):
            raise QueueInUse("it has a consumer")
        if not queue.get("messages"):
            return
        if time.monotonic() > deadline:
            raise QueueInUse(f"it has {queue['messages']} messages")
        time.sleep(0.5)


def _passwords(folder: Path, name: str) -> Mapping[str, str]:
    """Return the accounts' passwords by service. name: the file's name, with {} for the service."""
    return {service: (folder / name.format(service)).read_text().strip() for service in SERVICES}


def _broker(url: str | None, secrets: Path | None, prefix: str) -> tuple[Management, Mapping[str, str]]:
    """Return the broker at `url` and a deployment's passwords, or the local stack's."""
    if url is None:
        root, base = from_environment()
        here = places(root)
        return Management.of(here, Ports(base=base)), _passwords(here.run_of(prefix) / "secrets", "{}/amqp-password")
    if secrets is None:
        raise typer.BadParameter("--against needs --secrets: the folder with the accounts' passwords.")
    password = (secrets / "admin-password").read_text().strip()
    return Management(url=url.rstrip("/"), password=password), _passwords(secrets, "{}-password")


def register(app: typer.Typer) -> None:
    commands = typer.Typer(no_args_is_help=True, help="The broker's queues, bindings and accounts.")
    app.add_typer(commands, name="broker")

    @commands.callback()
    def _commands() -> None:
        """Makes typer treat `sync` as a subcommand although it is the only one."""

    @commands.command("sync")
    def sync_broker(
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the changes without making them.")] = False,
        only_add: Annotated[
            bool, typer.Option("--only-add", help="Add and change, but remove nothing: an upgrade's first step.")
        ] = False,
        drop_messages: Annotated[
            bool, typer.Option("--drop-messages", help="Also remove queues that have messages, with the messages.")
        ] = False,
        against: Annotated[
            str | None,
            typer.Option(envvar="FMN_BROKER", help="URL of a management API, if not the local stack's."),
        ] = None,
        secrets: Annotated[
            Path | None,
            typer.Option(envvar="FMN_SECRETS", help="With --against: the folder rabbitmq of `make secrets`."),
        ] = None,
    ) -> None:
        """Apply the definitions to our vhost and our accounts: add, change, and remove what they don't name.

        Exit 0 when the broker is in line with them; 3 when it isn't, after a dry run or because a queue was kept; 1
        when the broker can't be reached or refuses.
        """
        prefix = prefix_from_environment()
        try:
            management, passwords = _broker(against, secrets, prefix)
            found = plan(management, prefix, passwords, ADMINISTRATOR)
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
