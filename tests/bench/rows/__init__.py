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
    "scans", "memory", "casework", "outbox", "consuming", "end_to_end", "others", "erasing", "many_erasures", "clock",
    "letters",
)  # fmt: skip


class Row(Protocol):
    NAME: str

    def run(self, bench: Bench) -> list[Result]: ...


def all_rows() -> list[Row]:
    """Every row, in the order of the table."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    names.sort(key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))
    return [cast(Row, importlib.import_module(f"{__name__}.{name}")) for name in names]


def chosen(words: Sequence[str]) -> list[Row]:
    """The rows that are named, or all; ends with a sentence when there is none of a name."""
    rows = all_rows()
    unknown = sorted(set(words) - {row.NAME for row in rows})
    if unknown:
        raise SystemExit(f"No row is called {', '.join(unknown)}; there are {', '.join(row.NAME for row in rows)}.")
    return [row for row in rows if not words or row.NAME in words]
