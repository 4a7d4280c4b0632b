"""One module a row of the table: `NAME`, its word on the command line, and `run(bench)`, which answers its results."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from typing import Protocol, cast

from tests.bench.bench import Bench
from tests.bench.results import Result

# The order of the table; a row that isn't named here comes last.
_ORDER = (
    "scans", "previews", "memory", "idle", "casework", "outbox", "consuming", "end_to_end", "others", "erasing",
    "many_erasures", "clock", "feed", "letters",
)  # fmt: skip


class Row(Protocol):
    NAME: str

    def run(self, bench: Bench) -> list[Result]: ...


def chosen(words: Sequence[str]) -> list[Row]:
    """The rows that are named, or all, in the order of the table; ends with a sentence when there is none of a name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    names.sort(key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))
    wanted = {word.replace("-", "_") for word in words}
    if unknown := sorted(wanted - set(names)):
        raise SystemExit(f"No row is called {', '.join(unknown)}; there are {', '.join(names)}.")
    return [_row(name) for name in names if not words or name in wanted]


def _row(name: str) -> Row:
    row = cast(Row, importlib.import_module(f"{__name__}.{name}"))
    if row.NAME.replace("-", "_") != name:
        raise SystemExit(f"tests/bench/rows/{name}.py calls its row {row.NAME}.")
    return row
