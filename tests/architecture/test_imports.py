"""Imports run one way: main → api / consumer / store → actions → model; no service imports another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.events import SERVICES

ROOT = Path(__file__).parents[2]
ROOMS = ("model", "actions", "store", "schemas", "api", "consumer", "main")
# What each room may import of its own service.
MAY = {
    "model": {"model"},
    "actions": {"model", "store", "actions"},
    "store": {"model", "store"},
    "schemas": {"model", "store", "schemas"},
    "api": {"model", "actions", "store", "schemas", "api"},
    "consumer": {"model", "actions", "store"},
    "main": set(ROOMS),
}
SERVERS = {"flask", "flask_smorest", "pymongo", "pika", "minio", "requests"}


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "services").parts[1].removesuffix(".py")


def is_type_only(path: Path, module: str) -> bool:
    """Whether a module is imported for its types alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            inside = {m for n in node.body if isinstance(n, ast.ImportFrom) and n.module for m in [n.module]}
            if any(module.startswith(m) for m in inside):
                return True
    return False


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_rooms(service: str) -> None:
    here = {p.name.removesuffix(".py") for p in (ROOT / "services" / service).iterdir()}
    assert set(ROOMS) <= here


def test_no_service_imports_another() -> None:
    wrong = []
    for path in sources("services"):
        own = path.relative_to(ROOT / "services").parts[0]
        others = [f"services.{name}" for name in SERVICES if name != own]
        wrong += [f"{path}: {m}" for m in imports(path) if m.startswith(tuple(others))]
    assert wrong == []


def test_the_kernel_imports_no_service_and_nothing_of_deploy() -> None:
    wrong = [f"{p}: {m}" for p in sources("shared") for m in imports(p) if m.startswith(("services", "deploy"))]
    assert wrong == []


def test_rooms_import_only_inwards() -> None:
    wrong = []
    for path in sources("services"):
        parts = path.relative_to(ROOT / "services").parts
        if len(parts) < 2 or (room := room_of(path)) not in MAY:
            continue
        for module in imports(path):
            steps = module.split(".")
            inside = steps[:2] == ["services", parts[0]] and len(steps) > 2 and steps[2] in ROOMS
            if inside and steps[2] not in MAY[room] and not is_type_only(path, module):
                wrong.append(f"{path.relative_to(ROOT)}: {module}")
    assert wrong == []


@pytest.mark.parametrize("room", ["model", "actions"])
def test_model_and_actions_know_no_server(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {module}"
        for path in sources("services")
        if len(path.relative_to(ROOT / "services").parts) > 1 and room_of(path) == room
        for module in imports(path)
        if module.split(".")[0] in SERVERS
    ]
    assert wrong == []


def test_only_the_bus_imports_pika() -> None:
    users = [p.relative_to(ROOT).as_posix() for p in [*sources("shared"), *sources("services"), *sources("deploy")]
             if any(m.split(".")[0] == "pika" for m in imports(p))]  # fmt: skip
    assert users == ["shared/messaging/bus/amqp.py"]


def test_no_file_grows_past_what_a_person_reads_in_one_go() -> None:
    long = {
        p.relative_to(ROOT).as_posix(): n
        for folder in ("shared", "services", "deploy")
        for p in sources(folder)
        if (n := len(p.read_text(encoding="utf-8").splitlines())) > 320
    }
    assert long == {}
