"""Examples of operations: requests that were made and what was answered, one file for each operation.

tests/journeys/test_examples.py makes them, with invented people, and checks them against the schemas.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """parameters: by place (path, query, header) and name. request: the body. answers: bodies by status."""

    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    request: Any = None
    answers: Mapping[str, Any] = field(default_factory=dict)


def examples_in(folder: Path) -> dict[str, Example]:
    """The examples of a service, by the id of their operation."""
    return {
        path.stem: Example(**json.loads(path.read_text(encoding="utf-8"))) for path in sorted(folder.glob("*.json"))
    }
