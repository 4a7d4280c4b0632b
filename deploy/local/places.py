"""Where the embedded stack keeps what it keeps, and on which ports it listens."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from shared.events import SERVICES

DEFAULT_PREFIX = "fmn"
DEFAULT_PORT_BASE = 8400
PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Every port of one stack, counted from its base so that two stacks can run side by side."""

    base: int

    @property
    def services(self) -> dict[str, int]:
        return {name: self.base + number for number, name in enumerate(SERVICES, start=1)}

    @property
    def servers(self) -> dict[str, int]:
        """Port by what listens there."""
        offsets = {
            "mongodb": 17, "smtp": 25, "amqp": 72, "rabbitmq-management": 73, "rabbitmq-dist": 74, "epmd": 75,
            "s3": 80, "weed-master": 81, "weed-filer": 82, "weed-volume": 83,
            "weed-master-grpc": 84, "weed-filer-grpc": 85, "weed-volume-grpc": 86, "s3-grpc": 87,
        }  # fmt: skip
        return {name: self.base + offset for name, offset in offsets.items()}

    def __getitem__(self, server: str) -> int:
        return self.servers[server]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The folders of one embedded stack (`FMN_LOCAL`)."""

    root: Path
    world: Path
    packages: Path

    @property
    def servers(self) -> Path:
        return self.root / "servers"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def temp(self) -> Path:
        return self.run / "tmp"

    @property
    def admin(self) -> Path:
        """Secrets of the servers' own administrators, which no service is given."""
        return self.run / "secrets" / "admin"

    @property
    def mail(self) -> Path:
        return self.world / "mail"

    def run_of(self, prefix: str) -> Path:
        """The run folder of one set of names: the stack's own for the default, a folder in it for others."""
        return self.run if prefix == DEFAULT_PREFIX else self.run / prefix

    def world_of(self, prefix: str) -> Path:
        return self.world if prefix == DEFAULT_PREFIX else self.world / prefix

    def make(self) -> None:
        """Make the folders, readable by their owner alone."""
        for folder in (self.root, self.packages, self.servers, self.logs, self.run, self.temp, self.admin, self.world,
                       self.mail):  # fmt: skip
            private_folder(folder)


def places(root: Path, world: Path | None = None, packages: Path | None = None) -> Places:
    """Places under `root`, made absolute once so that no child depends on a working directory.

    `packages` lets a second stack use what the first has downloaded.
    """
    root = root.expanduser().resolve()
    return Places(
        root=root,
        world=world.expanduser().resolve() if world else root / "world",
        packages=packages.expanduser().resolve() if packages else root / "packages",
    )


def from_environment() -> tuple[Path, int]:
    """`FMN_LOCAL` and `FMN_PORT_BASE`, or their defaults."""
    root = Path(os.environ.get("FMN_LOCAL") or PROJECT / ".local")
    text = os.environ.get("FMN_PORT_BASE") or str(DEFAULT_PORT_BASE)
    if not text.isdigit() or not 1024 <= int(text) <= 65535 - 100:
        raise SystemExit(f"FMN_PORT_BASE is {text!r}: it takes a number from 1024 to 65435.")
    return root, int(text)


def private_folder(folder: Path) -> Path:
    """Make a folder that its owner alone may enter; its parents too, where they are missing."""
    for step in [*reversed(folder.parents), folder]:
        if not step.exists():
            step.mkdir(mode=0o700, exist_ok=True)
    return folder


def write_private(path: Path, content: str | bytes) -> Path:
    """Write a file that its owner alone may read, whole or not at all."""
    private_folder(path.parent)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    data = content.encode() if isinstance(content, str) else content
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    os.replace(part, path)
    return path
