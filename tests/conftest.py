"""One stack of real servers for a whole test run, started when the first test wants it; names of its own per process.

With pytest-xdist the controller owns the servers and every worker provisions databases, vhost and buckets of its own,
so that two runs, and two workers of one run, never meet. FMN_TEST_SERVERS says where the servers come from: `embedded`,
the default (deploy/local), or `containers` (tests/containers.py).
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from deploy.local.machine import is_free
from deploy.local.places import Ports, from_environment
from deploy.local.provision import Provision
from deploy.local.stack import Stack
from tests.helpers import end_group, kill
from tests.system import System

# A loaded machine may take as long as it likes for an example.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
_WANTED, _READY, _FAILED = "wanted", "ready", "failed"
_START_SECONDS = 400
_LONGEST_NAME = 80
# By how long they take, as `make test` tells with --durations=0.
_LONGEST_GROUPS = ("killed-review", "killed-reviews", "killed-intake", "notifier", "document", "clock-p21", "clock-p20")
_EMBEDDED, _CONTAINERS = "embedded", "containers"
SERVERS = os.environ.get("FMN_TEST_SERVERS") or _EMBEDDED


class _Keeper:
    """Starts the stack when a worker asks for it (a file), and stops it when the run ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stack: Stack | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="stack-keeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _serve(self) -> None:
        # The servers die with the thread that started them, so this one lives until the run is over.
        while not self._over.wait(0.1):
            if self.stack is None and (self.folder / _WANTED).exists():
                self._start_stack()
        if self.stack is not None:
            self.stack.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start_stack(self) -> None:
        # What was downloaded once for this checkout serves every run.
        packages = from_environment()[0] / "packages"
        self.stack = _kind_of_stack()(self.folder / "stack", _free_base(), packages=packages)
        try:
            self.stack.start_servers()
        except BaseException as error:
            (self.folder / _FAILED).write_text(str(error))
            raise
        (self.folder / _READY).write_text(str(self.stack.ports.base))

    def stop(self) -> None:
        self._over.set()
        self._thread.join(90)


_KEEPER: list[_Keeper] = []


def _kind_of_stack() -> type[Stack]:
    if SERVERS == _EMBEDDED:
        return Stack
    # What talks to an engine is loaded for it alone.
    from tests.containers import ContainerStack

    return ContainerStack


def pytest_report_header() -> str:
    if SERVERS == _EMBEDDED:
        return "servers: embedded (FMN_TEST_SERVERS=containers takes them from testcontainers)"
    from tests.containers import IMAGES

    return f"servers: containers ({', '.join(IMAGES)})"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        if any(map(_needs_servers, items)):
            (Path(os.environ["FMN_TEST_STACK"]) / _WANTED).touch()
        items.sort(key=_turn)
    if SERVERS == _EMBEDDED:
        return
    skip = pytest.mark.skip(reason="it is about the embedded servers, and this run has them in containers")
    for item in items:
        if item.get_closest_marker("embedded"):
            item.add_marker(skip)


def _group(item: pytest.Item) -> str | None:
    marker = item.get_closest_marker("xdist_group")
    return str(marker.args[0]) if marker else None


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    # Eight idle services take a twentieth of a core, for as long as the run lasts.
    if nextitem is None or _group(nextitem) != _group(item):
        end_group()


def _needs_servers(item: pytest.Item) -> bool:
    return "stack" in getattr(item, "fixturenames", ())


def _turn(item: pytest.Item) -> int:
    """Tests without servers run while those start. Then the longest groups: each runs in one process."""
    if not _needs_servers(item):
        return 0
    group = _group(item)
    return 1 + (_LONGEST_GROUPS.index(group) if group in _LONGEST_GROUPS else len(_LONGEST_GROUPS))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Long values are told by number: a file is made anew in each process, and wouldn't be called the same in all."""
    return argname if isinstance(val, bytes | str) and len(val) > _LONGEST_NAME else None


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "embedded: about the embedded servers themselves")
    if SERVERS not in (_EMBEDDED, _CONTAINERS):
        raise pytest.UsageError(f"FMN_TEST_SERVERS is {SERVERS!r}: it takes {_EMBEDDED} or {_CONTAINERS}.")
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    folder = Path(tempfile.mkdtemp(prefix="fmn-test-"))
    os.environ["FMN_TEST_STACK"] = str(folder)
    keeper = _Keeper(folder)
    keeper.start()
    _KEEPER.append(keeper)


def pytest_unconfigure(config: pytest.Config) -> None:
    # Services that ran inside a test's own process notice that the servers go; the summary stays the last word.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    while _KEEPER:
        _KEEPER.pop().stop()


def _free_base() -> int:
    """A base from which every port of a stack is free just now."""
    for base in range(20_000, 60_000, 100):
        if all(is_free(port) for port in Ports(base=base).servers.values()):
            return base
    raise RuntimeError("no hundred free ports for a stack")


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The run's servers, attached to."""
    folder = Path(os.environ["FMN_TEST_STACK"])
    (folder / _WANTED).touch()
    waiting = threading.Event()
    for _ in range(_START_SECONDS * 10):
        if (folder / _READY).exists() or (folder / _FAILED).exists():
            break
        waiting.wait(0.1)
    if (folder / _FAILED).exists():
        pytest.fail(f"the stack didn't start: {(folder / _FAILED).read_text()}")
    attached = Stack(folder / "stack", int((folder / _READY).read_text())).attach()
    yield attached
    # Nobody looks at them any more, and an orderly end takes an api with open connections six seconds.
    kill(attached.services.values())
    attached.stop()


@pytest.fixture(scope="session")
def provided(stack: Stack, worker_id: str) -> Provision:
    """Databases, vhost, buckets and secrets of this process's own."""
    return stack.provision(f"t{worker_id}")


@pytest.fixture(scope="session")
def system(stack: Stack, provided: Provision) -> System:
    """All four services, running, and callers of every role."""
    stack.start_services(provided)
    return System(stack, provided)
