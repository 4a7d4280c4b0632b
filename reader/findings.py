"""What one pass found, by case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Finding:
    """Of one case. leftovers: rows or objects that name it and shouldn't, by place. kept: the places on the closed list
    that name it.
    """

    leftovers: Counter[str] = field(default_factory=Counter)
    kept: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Findings:
    """Of all cases that a pass looked for, and how much it read.

    unread: what it can't, or may not, look into.
    """

    of: dict[str, Finding]
    collections: int = 0
    rows: int = 0
    buckets: int = 0
    objects: int = 0
    unread: set[str] = field(default_factory=set)

    @classmethod
    def none_yet(cls, cases: Iterable[str]) -> Findings:
        return cls(of={case_id: Finding() for case_id in cases})

    def leftover(self, cases: Iterable[str], place: str) -> None:
        for case_id in cases:
            self.of[case_id].leftovers[place] += 1
