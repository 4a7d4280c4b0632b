"""A service as its main.py declares it: context, routes, handlers, steps, periodic jobs and hooks."""

from __future__ import annotations

import inspect
import os
import sys
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from flask import Flask

from shared.db.change_feed import ChangeFeed
from shared.db.keys.rotation import Rehash
from shared.db.unit_of_work import Tx
from shared.events import Event, EventType, consent
from shared.http import Blueprint, make_app
from shared.http.changes import changes_routes
from shared.messaging.bus import Publisher
from shared.messaging.inbox import Handler
from shared.messaging.outbox import Outbox
from shared.messaging.steps import Run, StepRow
from shared.ops.disks import Disks, ask_at, ask_mongodb
from shared.ops.periodic import Every
from shared.ops.settings import SettingsError
from shared.service.restores import RestoreGoesOn, closed_app, end_this_process
from shared.service.runtime import API, WORKER, Runtime, open_runtime
from shared.service.worker import run_worker

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

C = TypeVar("C")
_ROOTS_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(Generic[C]):
    """One process of a service, opened: what it was declared with, each with its context."""

    runtime: Runtime
    context: C
    handlers: Mapping[str, Handler]
    steps: Mapping[str, Run]
    jobs: Sequence[Every]


class Service(Generic[C]):
    """One service. Nothing is connected before `open`.

    Handlers, steps, jobs and hooks are functions of modules. Each is called with the service's context first, the
    frozen dataclass that `open_context` makes of the `Runtime`: its stores, its ways to others, its settings.
    """

    def __init__(self, name: str, open_context: Callable[[Runtime], C]) -> None:
        self.name = name
        self._open_context = open_context
        self._routes: Callable[[C], Sequence[Blueprint]] = lambda context: ()
        self._pages: dict[str, Callable[[C], Any]] = {}
        self._checks: dict[str, Callable[[C], object]] = {}
        self._away: tuple[type[Exception], ...] = ()
        self._handlers: list[tuple[str, Callable[[C, Tx, Event], None]]] = []
        self._steps: dict[str, Callable[[C, StepRow], datetime | None]] = {}
        self._readers: Mapping[str, Collection[str]] = {}
        self._jobs: list[tuple[float, Callable[[C, datetime], object]]] = []
        self._before_erasure: list[Callable[[C, str], None]] = []
        self._receipt_claims: list[Callable[[C, str, str, int], Mapping[str, Any]]] = []
        self._on_release: list[Callable[[C, Tx, str], None]] = []
        self._on_rotation: list[Callable[[C], Rehash]] = []

    # Declaring

    def routes(self, blueprints: Callable[[C], Sequence[Blueprint]]) -> None:
        """The routes under /v1."""
        self._routes = blueprints

    def page(self, path: str, view: Callable[[C], Any]) -> None:
        """A page that needs no token; its path is on the kernel's list of public ones."""
        self._pages[path] = view

    def needs(self, server: str, check: Callable[[C], object], *, away: type[Exception]) -> None:
        """A server besides MongoDB that must answer for the api to be ready. away: the error that says it doesn't."""
        self._checks[server] = check
        self._away = (*self._away, away)

    def on(self, event_type: EventType, handler: Callable[[C, Tx, Event], None]) -> None:
        """What is done with an event, in the transaction that remembers it. Several run in this order."""
        self._handlers.append((event_type.type, handler))

    def step(self, kind: str, run: Callable[[C, StepRow], datetime | None]) -> None:
        """What runs a kind of step, outside every transaction; when to run it again, or None once it is done."""
        if kind in self._steps:
            raise ValueError(f"the step {kind} is declared twice")
        self._steps[kind] = run

    def tells(self, **readers: Collection[str]) -> None:
        """The roles that the change feed tells of each kind of record; for every kind of its stores, and `case`."""
        self._readers = readers

    def every(self, seconds: float, run: Callable[[C, datetime], object]) -> None:
        """What the worker does periodically, the first time at once."""
        self._jobs.append((seconds, run))

    def before_erasure(self, hook: Callable[[C, str], None]) -> None:
        """What is done for a case once its gate is closed, before anything of it is deleted. Told the case."""
        self._before_erasure.append(hook)

    def receipt_claims(self, claims: Callable[[C, str, str, int], Mapping[str, Any]]) -> None:
        """What else a receipt says. Told the case, the request, and whether it is receipt 1 or 2."""
        self._receipt_claims.append(claims)

    def on_release(self, hook: Callable[[C, Tx, str], None]) -> None:
        """What goes on once a case is released, in the same transaction. Told the case."""
        self._on_release.append(hook)

    def on_rotation(self, rehash: Callable[[C], Rehash]) -> None:
        """What is done anew, in the same transaction, when keys of the tree change (search hashes)."""
        self._on_rotation.append(rehash)

    @property
    def handles(self) -> frozenset[str]:
        """The types of the events that its own handlers are for."""
        return frozenset(name for name, _ in self._handlers)

    # Running

    def open(self, process: str) -> Opened[C]:
        """Connect and open everything, for the `api` or the `worker` process. Raises SettingsError."""
        runtime = open_runtime(self.name, process)
        context = self._open_context(runtime)
        erasure = runtime.erasure
        erasure.before_walk.extend(partial(hook, context) for hook in self._before_erasure)
        erasure.more_claims.extend(partial(claims, context) for claims in self._receipt_claims)
        erasure.on_release.extend(partial(hook, context) for hook in self._on_release)
        for rehash in self._on_rotation:
            runtime.keys.rotation.rehash_with(rehash(context))
        own = [(name, partial(handler, context)) for name, handler in self._handlers]
        jobs = [Every(seconds=each, run=partial(run, context), name=run.__name__) for each, run in self._jobs]
        return Opened(
            runtime=runtime,
            context=context,
            handlers=_by_type([*erasure.handlers().items(), *own]),
            steps={
                **{kind: partial(run, context) for kind, run in self._steps.items()},
                **erasure.step_kinds(),
                **runtime.keys.step_kinds(),
                **runtime.case_keys.step_kinds(),
            },
            jobs=[Every(seconds=_ROOTS_SECONDS, run=runtime.keys.look_after, name="roots"), *jobs],
        )

    def create_api(self) -> WSGIApplication:
        """The app of the api process. Raises SettingsError, which gunicorn prints before it ends.

        (For a worker that leaves by SystemExit it would start another, again and again.)
        """
        try:
            opened = self.open(API)
        except RestoreGoesOn as error:
            error.restores.call_once(False, end_this_process)
            return closed_app
        opened.runtime.restores.call_once(True, end_this_process)
        return self.app(opened)

    def app(self, opened: Opened[C]) -> Flask:
        """The app of an opened api process."""
        runtime, context = opened.runtime, opened.context
        settings = runtime.settings
        Outbox(runtime.register, Publisher(settings.amqp_url, f"{settings.names}-{settings.service} api"))
        asks = {server: ask_at(url) for server, url in settings.disks.items()}
        disks = Disks(settings.disk_floor, {"mongodb": ask_mongodb(runtime.unit_of_work.vault_db), **asks})
        disks.start()
        feed = ChangeFeed(runtime.register, last_restore=runtime.restores.last_seen_at)
        app = make_app(
            settings=settings,
            register=runtime.register,
            stores=runtime.kernel_stores,
            blueprints=[*self._routes(context), changes_routes(feed, self._readers)],
            checks={
                "mongodb": lambda: runtime.unit_of_work.client.admin.command("ping"),
                **{server: partial(check, context) for server, check in self._checks.items()},
            },
            away=self._away,
            disks=disks,
            examples=Path(inspect.getfile(self._open_context)).parent / "examples",
        )
        for path, view in self._pages.items():
            app.add_url_rule(path, view.__name__, partial(view, context))
        return app

    def main(self, arguments: Sequence[str]) -> int:
        """`python -m services.<name>.main worker`: run until told to stop; the exit code.

        2 for other arguments, or a setting that is wrong, said in one sentence.
        """
        if list(arguments) != ["worker"]:
            api = f"services.{self.name}.main:create_api()"
            sys.stderr.write(f"This runs `worker`. The api runs under gunicorn as {api}.\n")
            return 2
        try:
            opened = self.open(WORKER)
        except SettingsError as error:
            sys.stderr.write(f"{error}\n")
            return 2
        runtime = opened.runtime
        runtime.steps.serve(opened.steps)
        restored = threading.Event()

        def watch(stop: threading.Event) -> None:
            def end() -> None:
                restored.set()
                stop.set()

            runtime.restores.call_once(True, end)

        code = run_worker(
            runtime.settings,
            runtime.register,
            opened.handlers,
            runtime.steps,
            opened.jobs,
            keys=runtime.keys,
            # A service that never heard of the case makes no key for it, only to count it as found.
            without_gate=frozenset({consent.STARTED.type}),
            watch=watch,
        )
        if restored.is_set():
            # As at its start: it waits, and then has nothing in memory of what was there before.
            os.execv(sys.executable, sys.orig_argv)  # noqa: S606
        return code


def _by_type(handlers: Sequence[tuple[str, Handler]]) -> dict[str, Handler]:
    """One handler a type: where several want the same event, they run one after another."""
    together: dict[str, list[Handler]] = {}
    for name, handler in handlers:
        together.setdefault(name, []).append(handler)
    return {name: partial(_run_all, each) for name, each in together.items()}


def _run_all(handlers: Sequence[Handler], tx: Tx, event: Event) -> None:
    for handler in handlers:
        handler(tx, event)
