"""The malware scanner: ClamAV's daemon `clamd`, asked over a socket with its command INSTREAM (clamd(8)).

Why no library: docs/decisions/0042-quarantine-and-malware.md.
"""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from shared.errors import TooLarge, Unavailable
from shared.ops.logs import log, where

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CONNECT_SECONDS: Final = 3.0
# From the connection to the answer. The gateway waits 65 s for an answer to an upload.
_SCAN_SECONDS: Final = 45.0
_CHECK_SECONDS: Final = 2.0
_LONGEST_ANSWER: Final = 1024  # bytes
_FOUND = re.compile(r"stream: (.{1,200}) FOUND")
_CLEAN: Final = "stream: OK"
_TOO_LARGE: Final = "INSTREAM size limit exceeded. ERROR"
_ADDRESS = re.compile(r"\[?([A-Za-z0-9._:-]+?)\]?:(\d{1,5})")
_AWAY = "The malware scanner is away or slow, so no file can be taken in. Nothing was kept; try again shortly."
_OVER_ITS_LIMIT = (
    "The file is larger than the malware scanner takes, so it can't be taken in. Nothing was kept. The operator can "
    "raise the scanner's limit."
)


class ScannerAway(Unavailable):
    """The scanner doesn't answer, not in time, or not as clamd does: no file may be taken in."""

    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "10"}

    def __init__(self) -> None:
        super().__init__(_AWAY)


class OverScannersLimit(TooLarge):
    """The file is above clamd's StreamMaxLength."""

    def __init__(self) -> None:
        super().__init__(_OVER_ITS_LIMIT)


@dataclass(frozen=True, slots=True)
class Clamd:
    """One clamd. address: a path of a Unix socket, or host and port. seconds: for one file, up to the answer."""

    address: str | tuple[str, int]
    seconds: float = _SCAN_SECONDS

    @classmethod
    def at(cls, setting: str) -> Clamd:
        """The one at `host:port` or `unix:/path`. Raises ValueError for anything else."""
        if setting.startswith("unix:/"):
            return cls(setting.removeprefix("unix:"))
        found = _ADDRESS.fullmatch(setting)
        if found is None or not 0 < int(found[2]) < 65_536:
            raise ValueError("neither host:port nor unix:/path")
        return cls((found[1], int(found[2])))

    def signature_in(self, pieces: Iterable[bytes]) -> str | None:
        """The name of the malware in a file, None for a clean one. Raises ScannerAway, OverScannersLimit.

        pieces: the file's bytes, in order; what they raise, but for an OSError, comes through.
        """
        # One that hangs is found in two seconds, and doesn't hold the caller for the whole time of a scan.
        self.check()
        with self._connected(self.seconds) as line:
            answer = line.scanned(pieces)
        if answer == _CLEAN:
            return None
        if found := _FOUND.fullmatch(answer):
            return found[1]
        if answer == _TOO_LARGE:
            log.error("scanner.limit_too_low", server="clamd")
            raise OverScannersLimit
        # Whatever else it says, perhaps of a file that it failed on: its words aren't repeated.
        log.error("scanner.refused", server="clamd")
        raise ScannerAway

    def check(self) -> None:
        """Raises ScannerAway unless it answers."""
        with self._connected(_CHECK_SECONDS) as line:
            answer = line.asked(b"zPING\0")
        if answer != "PONG":
            raise ScannerAway

    @contextmanager
    def _connected(self, seconds: float) -> Iterator[_Line]:
        """A connection for one command. Raises ScannerAway for any error of it."""
        until = time.monotonic() + seconds
        try:
            with self._socket() as connection:
                yield _Line(connection, until)
        except (OSError, UnicodeDecodeError) as error:
            log.warning("server-away", server="clamd", **where(error))
            raise ScannerAway from error

    def _socket(self) -> socket.socket:
        if isinstance(self.address, tuple):
            return socket.create_connection(self.address, timeout=_CONNECT_SECONDS)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(_CONNECT_SECONDS)
            connection.connect(self.address)
        except OSError:
            connection.close()
            raise
        return connection


class _Line:
    """One command on its own connection. until: by the monotonic clock; after it every call is a TimeoutError."""

    def __init__(self, connection: socket.socket, until: float) -> None:
        self._connection = connection
        self._until = until

    def asked(self, command: bytes) -> str:
        self._send(command)
        return self._answer()

    def scanned(self, pieces: Iterable[bytes]) -> str:
        """What it says of these bytes: each piece after its length, and a length of nought at the end."""
        self._send(b"zINSTREAM\0")
        try:
            for piece in pieces:
                self._send(struct.pack("!I", len(piece)))
                self._send(piece)
            self._send(struct.pack("!I", 0))
        except (BrokenPipeError, ConnectionResetError):
            # Over its limit it answers, and closes before it has read everything.
            return self._answer()
        return self._answer()

    def _send(self, data: bytes) -> None:
        self._connection.settimeout(self._left())
        self._connection.sendall(data)

    def _answer(self) -> str:
        """Its answer, which ends with a zero byte. Raises OSError where none comes."""
        answer = b""
        while not answer.endswith(b"\0"):
            self._connection.settimeout(self._left())
            piece = self._connection.recv(_LONGEST_ANSWER)
            if not piece or len(answer) + len(piece) > _LONGEST_ANSWER:
                raise ConnectionError("no whole answer")
            answer += piece
        return answer[:-1].decode("ascii")

    def _left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left
