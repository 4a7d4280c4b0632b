"""Imports run one way, main → api / consumer → actions → context → store → model, and nowhere in a circle."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from shared.events import SERVICES

ROOT = Path(__file__).parents[2]
FOLDERS = ("shared", "services", "reader", "deploy", "demo")
#: The rooms that every service has, each with the rooms of its own service that it may import.
ROOMS = {
    "model": {"model"},
    "store": {"model", "store"},
    "context": {"model", "store"},
    "actions": {"model", "store", "context", "actions"},
    "schemas": {"model", "schemas"},
    "api": {"model", "store", "context", "actions", "schemas", "api"},
    "consumer": {"model", "store", "context", "actions"},
    "main": {"model", "context", "actions", "api", "consumer"},
}
#: The rooms that one service has besides, and which rooms may import them.
OWN_ROOMS = {
    ("case", "references"): set(),
    ("document", "upload"): {"store", "context", "actions", "api", "main", "sandbox"},
    ("document", "parsing"): {"upload", "sandbox", "actions"},
    ("document", "sandbox"): {"context", "actions", "main"},
    ("document", "sheets"): {"actions", "api"},
    ("consent", "statements"): {"actions", "api", "schemas", "model"},
    ("notifier", "letters"): {"context", "actions", "api", "schemas", "transports"},
    ("notifier", "transports"): {"context", "actions", "main"},
}
#: What an own room may import of its service.
OWN_MAY = {
    # Of parsing, the modules that say what a file is like, and none that opens one (PLAIN_PARSING).
    ("document", "upload"): {"model", "upload"},
    ("document", "parsing"): {"parsing"},
    ("document", "sandbox"): {"upload", "parsing", "sandbox"},
    ("document", "sheets"): {"model", "sheets"},
    ("consent", "statements"): {"statements"},
    ("notifier", "letters"): {"model", "letters"},
    ("notifier", "transports"): {"model", "letters", "transports"},
}
#: What a child process that reads strangers' files may import besides the standard library and its own room.
PARSERS = {
    "PIL", "cryptography", "numpy", "olefile", "pikepdf", "pillow_heif", "pypdfium2", "pyseccomp", "shared.errors",
    "simplejpeg",
}  # fmt: skip
#: What others may import of that room: words and plain values. All else opens files, or runs in the child alone.
PLAIN_PARSING = {"errors", "inspection", "source", "wire"}
SERVERS = {"flask", "flask_smorest", "pymongo", "pika", "minio", "requests"}
#: What a model may import besides the standard library: the kernel's parts that know no server.
PURE = (
    "shared.clock",
    "shared.conversion",
    "shared.emails",
    "shared.erasure.manifest",
    "shared.errors",
    "shared.events",
    "shared.fields",
    "shared.ids",
    "shared.known_consents",
    "shared.office",
    "shared.text",
    "shared.uk",
)


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, for its types alone too; of `from a import b` both a and a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def parts_of(path: Path) -> tuple[str, str]:
    """Service and room of a file."""
    service, room = path.relative_to(ROOT / "services").parts[:2]
    return service, room.removesuffix(".py")


def in_services() -> list[tuple[Path, str, str]]:
    return [(p, *parts_of(p)) for p in sources("services") if len(p.relative_to(ROOT / "services").parts) > 1]


def shown(path: Path, module: str) -> str:
    return f"{path.relative_to(ROOT)}: {module}"


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_rooms_and_no_others_that_nothing_says(service: str) -> None:
    here = {room for _, name, room in in_services() if name == service}
    own = {room for name, room in OWN_MAY if name == service}
    assert here == {"__init__", *ROOMS, *own}


def test_no_service_imports_another() -> None:
    others = {name: tuple(f"services.{other}" for other in SERVICES if other != name) for name in SERVICES}
    wrong = [shown(path, m) for path, own, _ in in_services() for m in imports(path) if m.startswith(others[own])]
    assert wrong == []


ABOVE = {
    "shared": ("services", "reader", "deploy", "demo", "tests"),
    "services": ("reader", "deploy", "demo", "tests"),
    # Its word would be worth little if it asked the services' own code what there is.
    "reader": ("services", "deploy", "demo", "tests", "shared.db.register", "shared.erasure.manifest"),
}


@pytest.mark.parametrize("folder", ABOVE)
def test_what_runs_in_a_deployment_imports_nothing_that_stands_above_it(folder: str) -> None:
    above = ABOVE[folder]
    assert [
        shown(p, m) for p in sources(folder) for m in imports(p) if f"{m}.".startswith(tuple(f"{a}." for a in above))
    ] == []


def test_rooms_import_only_inwards() -> None:
    wrong = []
    for path, service, room in in_services():
        if room == "__init__":
            continue
        may = ROOMS.get(room) or OWN_MAY[(service, room)]
        may = may | {own for (name, own), users in OWN_ROOMS.items() if name == service and room in users}
        for module in imports(path):
            steps = module.split(".")
            if steps[:2] == ["services", service] and len(steps) > 2 and steps[2] not in may:
                wrong.append(shown(path, module))
    assert wrong == []


def test_nothing_imports_itself_by_a_detour() -> None:
    known = {module_of(path): path for folder in FOLDERS for path in sources(folder)}
    graph = {name: {m for m in imports(path) if m in known and m != name} for name, path in known.items()}
    # `from package import module` needs the module; that the package names it too is no dependency of its own.
    for needed in graph.values():
        needed -= {name for name in needed if any(other.startswith(f"{name}.") for other in needed)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(reversed(error.args[1]))}")


def test_a_model_imports_the_standard_library_and_the_kernels_pure_parts_alone() -> None:
    wrong = [
        shown(path, module)
        for path, _, room in in_services()
        if room == "model"
        for module in imports(path)
        if module.split(".")[0] in {"shared", *SERVERS} and module != "shared" and not module.startswith(PURE)
    ]
    assert wrong == []


@pytest.mark.parametrize("room", ["model", "actions"])
def test_model_and_actions_know_no_server(room: str) -> None:
    wrong = [
        shown(p, m) for p, _, own in in_services() if own == room for m in imports(p) if m.split(".")[0] in SERVERS
    ]
    assert wrong == []


def test_what_reads_strangers_files_imports_parsing_libraries_and_the_errors_alone() -> None:
    room = "services.document.parsing"
    wrong = [
        shown(path, module)
        for path, service, own in in_services()
        if (service, own) == ("document", "parsing")
        for module in imports(path)
        if module.split(".")[0] not in {*sys.stdlib_module_names, *PARSERS, "_typeshed"}
        and not f"{module}.".startswith(("shared.errors.", f"{room}."))
        and module != "services.document"
    ]
    assert wrong == []


def test_no_process_with_keys_imports_what_opens_strangers_files() -> None:
    room = "services.document.parsing."
    wrong = [
        shown(path, module)
        for folder in ("shared", "services")
        for path in sources(folder)
        if not module_of(path).startswith(room.rstrip("."))
        for module in imports(path)
        if module.split(".")[0] in PARSERS - {"cryptography", "shared.errors"}
        or (module.startswith(room) and module.split(".")[3] not in PLAIN_PARSING)
    ]
    assert wrong == []


def test_only_the_bus_imports_pika() -> None:
    users = {
        path for folder in FOLDERS for path in sources(folder) if "pika" in {m.split(".")[0] for m in imports(path)}
    }
    assert {module_of(path) for path in users} == {"shared.messaging.bus.amqp"}


def test_no_file_grows_past_what_a_person_reads_in_one_go() -> None:
    long = {
        path.relative_to(ROOT).as_posix(): lines
        for folder in FOLDERS
        for path in sources(folder)
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 300
    }
    assert long == {}
