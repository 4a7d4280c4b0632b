"""Why a file wasn't read, when the reason isn't in the file."""

from __future__ import annotations

from shared.errors import Unavailable

_KEPT = "Nothing was kept. Try again shortly."


class NotConfined(Exception):
    """This machine doesn't confine a process as it should, so no file is read. `reason` is a fixed word."""

    def __init__(self, reason: str) -> None:
        super().__init__("Files can't be read apart from the service's secrets on this machine.")
        self.reason = reason


class Interrupted(Unavailable):
    """The process that read the file ended, or got no time, through no fault of the file."""

    def __init__(self) -> None:
        super().__init__(f"The file couldn't be read to its end just now. {_KEPT}")


class Busy(Unavailable):
    """As many files as may be are being read already."""

    def __init__(self) -> None:
        super().__init__(f"Too many files are being read just now. {_KEPT}")


class CallerGone(Unavailable):
    """The caller's connection ended while the file was being read."""

    def __init__(self) -> None:
        super().__init__("The connection ended while the file was being read. Nothing was kept.")
