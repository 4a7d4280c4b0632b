"""What a row finds: a ratio, and whether it holds the target that it was given."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass


class Direction(enum.Enum):
    AT_LEAST = "≥"
    AT_MOST = "≤"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A number that a ratio must reach or stay under; without a direction it is only reported."""

    direction: Direction | None = None
    number: float = math.nan

    def held(self, ratio: float) -> bool | None:
        """Whether `ratio` is within the target; None when there is none."""
        if self.direction is None:
            return None
        return ratio >= self.number if self.direction is Direction.AT_LEAST else ratio <= self.number


def at_least(number: float) -> Target:
    return Target(direction=Direction.AT_LEAST, number=number)


def at_most(number: float) -> Target:
    return Target(direction=Direction.AT_MOST, number=number)


REPORT_ONLY = Target()


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table.

    `ratio` is in `unit` (× unless it says otherwise, such as MB); `figures` are the measured sides in plain words, as
    "ours 212 MB/s, bare 300 MB/s"; `beside` names what it is compared with.
    """

    work: str
    beside: str
    ratio: float
    target: Target
    figures: str = ""
    unit: str = "×"

    @property
    def held(self) -> bool | None:
        return self.target.held(self.ratio)

    @property
    def is_sane(self) -> bool:
        """A ratio that a run of any size must give: a positive number."""
        return math.isfinite(self.ratio) and self.ratio > 0

    @property
    def ratio_text(self) -> str:
        return _number(self.ratio) + f" {self.unit}"

    @property
    def target_text(self) -> str:
        if self.target.direction is None:
            return "reported"
        return f"{self.target.direction.value} {_number(self.target.number, exact=True)} {self.unit}"

    @property
    def verdict(self) -> str:
        return {True: "held", False: "missed", None: "–"}[self.held]

    def as_row(self) -> dict[str, object]:
        """The result as bench.json has it."""
        return {"work": self.work, "ratio": self.ratio, "target": self.target_text, "held": self.held}


def _number(value: float, *, exact: bool = False) -> str:
    if exact:
        return f"{value:g}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
