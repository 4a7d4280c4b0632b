"""The folders and ports of the embedded stack."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from shared.erasure.readings import READER
from shared.events import SERVICES

DEFAULT_PREFIX = "fmn"
ADMINISTRATOR = "fmn-admin"  # the administrator's account on every server
DEFAULT_PORT_BASE = 8400
PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """All ports of one stack, as offsets from a base port, so that two stacks can run side by side."""

    base: int

    @property
    def services(self) -> dict[str, int]:
        """Port by service, and the independent reader's."""
        return {name: self.base + number for number, name in enumerate((*SERVICES, READER), start=1)}

    @property
    def servers(self) -> dict[str, int]:
        """Port by server."""
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
        """Secrets of the servers' administrators; no service gets them."""
        return self.run / "secrets" / "admin"

    @property
    def mail(self) -> Path:
        return self.world / "mail"

    def run_of(self, prefix: str) -> Path:
        """Return the run folder of a prefix: the stack's run folder for the default, a folder in it for others."""
        return self.run if prefix == DEFAULT_PREFIX else self.run / prefix

    def world_of(self, prefix: str) -> Path:
        return self.world if prefix == DEFAULT_PREFIX else self.world / prefix

    def make(self) -> None:
        """Create the folders, readable by their owner only."""
        for folder in (self.root, self.packages, self.servers, self.logs, self.run, self.temp, self.admin, self.world,
                       self.mail):  # fmt: skip
            private_folder(folder)


def places(root: Path, world: Path | None = None, packages: Path | None = None) -> Places:
    """Return the folders under `root`, as absolute paths so that no child process depends on the working directory.

    packages: the downloads of another stack, to use them here too.
    """
    root = root.expanduser().resolve()
    return Places(
        root=root,
        world=world.expanduser().resolve() if world else root / "world",
        packages=packages.expanduser().resolve() if packages else root / "packages",
    )


def from_environment() -> tuple[Path, int]:
    """Return `FMN_LOCAL` and `FMN_PORT_BASE`, or their defaults."""
    root = Path(os.environ.get("FMN_LOCAL") or PROJECT / ".local")
    text = os.environ.get("FMN_PORT_BASE") or str(DEFAULT_PORT_BASE)
    if not text.isdigit() or not 1024 <= int(text) <= 65535 - 100:
        raise SystemExit(f"FMN_PORT_BASE is {text!r}: it must be a number from 1024 to 65435.")
    return root, int(text)


def private_folder(folder: Path) -> Path:
    """Create a folder that only its owner can enter, and its missing parents."""
    for step in [*reversed(folder.parents), folder]:
        if not step.exists():
            step.mkdir(mode=0o700, exist_ok=True)
    return folder


def write_private(path: Path, content: str | bytes) -> Path:
    """Write a file that only its owner can read, atomically."""
    private_folder(path.parent)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    data = content.encode() if isinstance(content, str) else content
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    os.replace(part, path)
    return path
