"""Gate rows that a transaction has locked, and its changes to them, which are written together at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pymongo import UpdateOne

from shared.db.changes import NOW

# A case, the topic of a state, and the number of the event that brought it.
Applied = tuple[str, str, int]


def key_in(row: Mapping[str, Any]) -> int:
    """The number of the case's key, as its gate's row says it."""
    return int(row.get("key", 1))


class HeldGates:
    """The gate rows that a transaction has locked by counting a write, and its changes to them."""

    def __init__(
        self,
        rows: Iterable[dict[str, Any]],
        *,
        applied: Applied | None,
        marked: Callable[[str, str, int], dict[str, Any]],
    ) -> None:
        """applied: the state that was written together with the count, which `rows` doesn't show yet."""
        self.rows = {str(row["_id"]): row for row in rows}
        self._applied = applied
        self._marked = marked
        self._changes: dict[str, dict[str, Any]] = {}
        # Cases whose gate was moved, which the change feed tells of.
        self._moved: set[str] = set()

    def next_seq(self, case_id: str) -> int:
        row = self.rows[case_id]
        row["seq"] = int(row["seq"]) + 1
        self._change(case_id, "seq", row["seq"])
        return int(row["seq"])

    def set_state(self, case_id: str, state: str) -> None:
        self._moved.add(case_id)
        self._mark(case_id, state, key_in(self.rows[case_id]))

    def set_key(self, case_id: str, key: int) -> None:
        self._mark(case_id, str(self.rows[case_id]["state"]), key)

    def set_applied(self, case_id: str, topic: str, seq: int) -> None:
        self.rows[case_id].setdefault("applied", {})[topic] = seq
        if (case_id, topic, seq) != self._applied:
            self._change(case_id, f"applied.{topic}", seq)

    def updates(self) -> list[UpdateOne]:
        return [
            UpdateOne({"_id": case_id}, {"$set": change, **(NOW if case_id in self._moved else {})})
            for case_id, change in self._changes.items()
        ]

    def _mark(self, case_id: str, state: str, key: int) -> None:
        for name, value in self._marked(case_id, state, key).items():
            self.rows[case_id][name] = value
            self._change(case_id, name, value)

    def _change(self, case_id: str, name: str, value: Any) -> None:
        self._changes.setdefault(case_id, {})[name] = value
