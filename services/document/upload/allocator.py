"""How the process that takes files in gets its memory from the system."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3  # mallopt(3)
_LARGE_BYTES = 512 * 1024


def return_large_blocks() -> None:
    """Have large blocks go back to the system as soon as they are freed. Does nothing without glibc.

    By itself glibc raises the size that it calls large with every such block that is freed, up to 32 MB; then the
    megabytes that Tink works in lie in the arenas of sixteen threads, and stay there.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
