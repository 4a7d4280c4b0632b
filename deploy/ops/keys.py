"""`forgetmenot keys`: the state of the services' key trees, and a rotation of all their keys.

Against the embedded stack by default. In a worker's container, whose environment has the settings of its service, name
that service: `docker compose exec case-worker python -m deploy.container keys status case`. No key is ever printed.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from unittest.mock import patch

import typer
from pymongo.errors import PyMongoError
from rich.console import Console

from deploy.local.errors import StackError
from deploy.local.places import Places, Ports
from deploy.local.provision import environment, prefix_from_environment, service_ports_of
from deploy.local.stack import Stack
from deploy.ops.screen import show_table
from shared.clock import utc_now
from shared.db.keys.errors import KeysAway
from shared.db.keys.roots import Folders, PlaceAway, RootMissing
from shared.db.keys.rotation import Rotated
from shared.db.keys.tree import TREE_ID, DoesNotOpen, Row, open_tree
from shared.db.unit_of_work import UnitOfWork, connect
from shared.errors import Temporary
from shared.events import SERVICES
from shared.ops.memory import keep_memory_private
from shared.ops.settings import SettingsError, load

#: A rotation follows within seconds. Keys that are doomed for longer wait for a place or a server that is away.
LONGEST_WAIT = timedelta(hours=1)
_HAS = "has the root"
_TRIES = 5
_AGAIN_S = 0.5

Which = Annotated[str | None, typer.Argument(metavar="[SERVICE]", help="One service; all of them by default.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One service's key tree. since: since when the first of the doomed keys waits. places: state by folder."""

    service: str
    generation: int
    keys: int
    doomed: int
    since: datetime | None
    places: Mapping[str, str]

    def problems(self, now: datetime) -> Iterator[str]:
        """A sentence for each thing that a person must look at."""
        for place, state in self.places.items():
            if state != _HAS:
                yield f"{self.service}: {place} {state}. See docs/runbook.md, Roots."
        if self.since is not None and now - self.since > LONGEST_WAIT:
            yield (
                f"{self.service}: {self.doomed} doomed keys have waited for more than an hour, so the erasures that "
                "need them gone wait too. The worker's log says why."
            )


def register(app: typer.Typer) -> None:
    commands = typer.Typer(no_args_is_help=True, help="The key trees of the services.")
    app.add_typer(commands, name="keys")

    @commands.command()
    def status(service: Which = None) -> None:
        """Show generations, keys and places of the roots.

        Exit 1 when a place lacks the root, or a doomed key has waited for more than an hour.
        """
        keep_memory_private()
        with _sentences():
            reports = [_report(name, variables) for name, variables in _services(service).items()]
        console, now = Console(highlight=False), utc_now()
        show_table(
            console,
            ("service", "generation", "named keys", "doomed keys that wait", "since"),
            [(r.service, str(r.generation), str(r.keys), str(r.doomed), _time(r.since)) for r in reports],
        )
        show_table(
            console,
            ("service", "place", "state"),
            [(r.service, place, state) for r in reports for place, state in r.places.items()],
        )
        problems = [problem for report in reports for problem in report.problems(now)]
        for problem in problems:
            typer.echo(problem, err=True)
        raise typer.Exit(1 if problems else 0)

    @commands.command()
    def rotate(service: Which = None) -> None:
        """Give every bucket a new key and destroy the old roots, while the services run.

        No data is encrypted anew: named keys and search hashes are.
        """
        for name, variables in _services_or_exit(service).items():
            with _sentences():
                rotated = _rotate(name, variables)
            typer.echo(
                f"{name}: every bucket has a new key. Generation {rotated.generation}; older roots are destroyed."
            )


@contextmanager
def _sentences() -> Iterator[None]:
    """Turn what can go wrong into one sentence and exit code 1."""
    try:
        yield
    except (StackError, SettingsError, PlaceAway, RootMissing) as error:
        sentence = str(error)
    except (KeysAway, Temporary) as error:
        sentence = f"The keys can't be used just now ({type(error).__name__}): the log says why."
    except PyMongoError as error:
        sentence = f"MongoDB doesn't answer ({type(error).__name__})."
    else:
        return
    typer.echo(f"{sentence[:1].upper()}{sentence[1:]}", err=True)
    raise typer.Exit(1)


def _services_or_exit(service: str | None) -> dict[str, dict[str, str]]:
    with _sentences():
        return _services(service)


def _services(service: str | None) -> dict[str, dict[str, str]]:
    """The settings of the services that are meant, as environment variables. Raises StackError."""
    if service is not None and service not in SERVICES:
        raise StackError(f"There is no service {service!r}: name one of {', '.join(SERVICES)}.")
    if "FMN_ROOTS" in os.environ:
        if service is None:
            raise StackError("FMN_ROOTS is set: these are the settings of one service. Name it.")
        return {service: {"FMN_SERVICE": service}}
    stack, prefix = Stack.from_environment().attach(), prefix_from_environment()
    found = _settings(stack.places, stack.ports, prefix)
    return {name: found[name] for name in SERVICES if service in (None, name)}


def _settings(here: Places, ports: Ports, prefix: str) -> dict[str, dict[str, str]]:
    if not (here.run_of(prefix) / "ports.json").exists():
        raise StackError(f"Nothing is set up under the names {prefix} in {here.root}.")
    return environment(here, ports, prefix, service_ports_of(here, ports, prefix))


def _report(service: str, variables: Mapping[str, str]) -> Report:
    """Read the state of one service's tree; changes nothing. Raises StackError where it has none."""
    with patch.dict(os.environ, variables):
        settings = load()
    unit_of_work = UnitOfWork(
        connect(settings.mongo_url), names=settings.names, service=service, roots=Folders(settings.roots)
    )
    vault = unit_of_work.vault
    with unit_of_work.client:
        while True:
            document = vault.trees.find_one({"_id": TREE_ID})
            if document is None:
                raise StackError(
                    f"The {service} service has no key tree yet: its worker makes it when it first starts."
                )
            places = {str(place): _state(Folders([place]), service, document) for place in settings.roots}
            # A rotation meanwhile has destroyed the root that was looked for.
            if (vault.trees.find_one({"_id": TREE_ID}) or document)["root"] == document["root"]:
                break
        waiting = vault.doomed.find_one({"gone_at": None}, {"at": 1}, sort=[("at", 1)])
        return Report(
            service=service,
            generation=int(document["generation"]),
            keys=vault.keys.count_documents({}),
            doomed=vault.doomed.count_documents({"gone_at": None}),
            since=None if waiting is None else waiting["at"],
            places=places,
        )


def _state(place: Folders, service: str, document: Row) -> str:
    """What one place has of the root that the tree names."""
    try:
        if place.identity() not in (None, document["store"]):
            return "belongs to another key tree"
        open_tree(service, document, *place.copies(str(document["root"])))
    except RootMissing:
        return "lacks the root"
    except PlaceAway:
        return "can't be read"
    except DoesNotOpen:
        return "has a root that doesn't open the tree"
    return _HAS


def _rotate(service: str, variables: Mapping[str, str]) -> Rotated:
    """Rotate all buckets of one service, opened as its worker opens it, so that search hashes are made anew."""
    # Loaded here only: other commands need no service's code.
    declared: Any = importlib.import_module(f"services.{service}.main").service
    with patch.dict(os.environ, variables):
        opened = declared.open("worker")
    with opened.runtime.unit_of_work.client:
        for left in reversed(range(_TRIES)):
            try:
                rotated: Rotated | None = opened.runtime.keys.rotation.run(every_bucket=True)
            except Temporary:
                if left == 0:
                    raise
                time.sleep(_AGAIN_S)
            else:
                if rotated is not None:
                    return rotated
    raise StackError(f"The {service} service's keys weren't rotated.")


def _time(at: datetime | None) -> str:
    return "" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
