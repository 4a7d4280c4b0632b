"""How the process that has a file and the ones that read it talk: over which descriptors, in which words.

For each job there is a pair of connected Unix sockets (SOCK_SEQPACKET). One end goes to the fork server, which forks a
child and hands it that end. The job itself goes straight to the child, so that no key ever stays with the fork server:
`{job, key, size, arguments}` with the descriptors of the file, the result and, where there is one, the output. The
child closes the socket before it looks at the file, ends its output, and writes one result: `{done}`, `{refused}` or
`{fault}`. Then it is over, whatever it still does.
The fork server says `{pid}` with the child's pidfd, or `{failed}`, and at the end `{exit, cpu_ms}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

#: The most bytes of one message.
MOST_BYTES: Final = 64 * 1024
#: What a whole result ends with. JSON has none inside.
END: Final = b"\n"
#: The most bytes of a result: that of an email names all its attachments.
MOST_RESULT: Final = 2 * 1024 * 1024
#: How a child ends that couldn't have the memory that it asked for.
OUT_OF_MEMORY: Final = 3
#: What the fork server says first: how its children are confined.
SECCOMP: Final = "seccomp"


def packed(said: Mapping[str, Any]) -> bytes:
    return json.dumps(said, separators=(",", ":")).encode()


def unpacked(data: bytes) -> dict[str, Any]:
    """Raises ValueError for what isn't an object in JSON."""
    try:
        said = json.loads(data)
    except RecursionError:
        raise ValueError("too deep") from None
    if not isinstance(said, dict):
        raise ValueError("not an object")
    return said
