"""A real clamd for tests: Debian's program, with signatures of the tests' own, on a loopback port of its own.

The program is the machine's, or is unpacked below `.local/packages/` without root, as RabbitMQ is. None of ClamAV's own
signatures are downloaded: they have some hundred MB.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StackError, UnsupportedMachine
from deploy.local.machine import free_port
from deploy.local.packages import unpack_program
from deploy.local.places import Places, from_environment, private_folder
from deploy.local.processes import Process, Program
from services.document.upload.clamd import Clamd, ScannerAway
from tests.helpers import PATIENCE_SECONDS

#: What the tests' own signature finds, anywhere in a file.
HARMLESS = b"This is no malware, but the tests of Forget-me-not call it so."
HARMLESS_NAME = "Fmn.Test.Harmless-1"
#: The test file of EICAR, in two halves, so that no scanner takes this source for it.
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-" + b"ANTIVIRUS-TEST-FILE!$H+H*"
EICAR_NAME = "Eicar-Test-Signature"
_INSTALLED = ("/usr/sbin/clamd", "/usr/local/sbin/clamd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The program, and the folders of its libraries."""

    program: Path
    libraries: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanner:
    """A clamd that is stopped and started at will. `address` is what FMN_CLAMD says."""

    process: Process
    address: str
    socket: Path

    def start(self) -> None:
        self.process.start()
        self.process.wait_ready()


@contextmanager
def running(folder: Path, installed: Installation, *, stream_max: int) -> Iterator[Scanner]:
    """A clamd that runs, and ends with this process. stream_max: the most bytes of one file that it takes."""
    address, socket = f"127.0.0.1:{free_port()}", folder / "clamd.sock"
    signatures = private_folder(folder / "signatures")
    lines = [f"{name}:0:*:{text.hex()}" for name, text in ((HARMLESS_NAME, HARMLESS), (EICAR_NAME, EICAR))]
    (signatures / "tests.ndb").write_text("\n".join(lines) + "\n")
    settings = {
        "DatabaseDirectory": signatures,
        "TemporaryDirectory": private_folder(folder / "files"),
        "TCPAddr": "127.0.0.1",
        "TCPSocket": address.rpartition(":")[2],
        "LocalSocket": socket,
        "StreamMaxLength": stream_max,
        "AlertExceedsMax": "yes",
        "Foreground": "yes",
        "Bytecode": "no",
    }
    config = folder / "clamd.conf"
    config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    places = Places(root=folder, world=folder / "world", packages=folder / "packages")
    places.make()
    program = Program(
        name="clamd",
        command=[str(installed.program), f"--config-file={config}"],
        cwd=folder,
        env={"LD_LIBRARY_PATH": installed.libraries},
        ready=lambda: _answers(address),
        ready_within_s=PATIENCE_SECONDS,
    )
    scanner = Scanner(process=Process(program, places), address=address, socket=socket)
    try:
        scanner.start()
        yield scanner
    finally:
        scanner.process.kill(signal.SIGKILL)


def _answers(address: str) -> bool:
    try:
        Clamd.at(address).check()
    except ScannerAway:
        return False
    return True


def find() -> Installation | str:
    """The machine's clamd, or one that is unpacked now; or, in a sentence, why there is none."""
    for path in filter(None, (shutil.which("clamd"), *_INSTALLED)):
        if Path(path).exists():
            return Installation(program=Path(path), libraries=os.environ.get("LD_LIBRARY_PATH", ""))
    packages = private_folder(from_environment()[0] / "packages")
    try:
        root = unpack_program(packages, "clamav-daemon", "lib|clamav-base", print)
    except (StackError, UnsupportedMachine) as error:
        return f"clamd isn't installed, and can't be unpacked here: {error}"
    if root is None:
        return "clamd isn't installed, and the machine's package sources don't offer clamav-daemon"
    folders = (root / "usr/lib/x86_64-linux-gnu", root / "lib/x86_64-linux-gnu")
    return Installation(program=root / "usr/sbin/clamd", libraries=":".join(map(str, folders)))
