"""Every version of every document that MongoDB's oplog still tells of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import bson

Row = dict[str, Any]


def versions(entries: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Row]]:
    """Each document as it was after each write, with its namespace, in the oplog's order.

    A transaction is an `applyOps` entry, a long one a chain of them. An update is a whole document or a difference
    (`$v: 2`), which is applied to the version before; where that has left the oplog, to the id alone.
    """
    states: dict[tuple[str, bytes], Row] = {}
    for entry in entries:
        for write in _writes(entry):
            space, said = str(write["ns"]), write["o"]
            if write["op"] not in ("i", "u"):
                continue
            id = (write.get("o2") or said).get("_id")
            place = (space, bson.encode({"_id": id}))
            if write["op"] == "u" and _is_difference(said):
                after = _after(states.get(place, {"_id": id}), said)
            else:
                after = dict(said)
            states[place] = after
            yield space, after


def _writes(entry: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if entry["op"] == "c":
        for inner in entry["o"].get("applyOps", ()):
            yield from _writes(inner)
    else:
        yield entry


def _is_difference(said: Mapping[str, Any]) -> bool:
    return "diff" in said or any(name.startswith("$") for name in said)


def _after(before: Row, said: Mapping[str, Any]) -> Row:
    if "diff" in said:
        return changed(before, said["diff"])
    after = before | said.get("$set", {})
    return {name: value for name, value in after.items() if name not in said.get("$unset", {})}


def changed(before: Mapping[str, Any], difference: Mapping[str, Any]) -> Row:
    """A document after a `$v: 2` difference: `d` deletes, `u` updates, `i` inserts, `s<field>` goes into a field."""
    after = {name: value for name, value in before.items() if name not in difference.get("d", {})}
    after |= difference.get("u", {})
    after |= difference.get("i", {})
    for section, inner in difference.items():
        if section[0] == "s" and len(section) > 1:
            after[section[1:]] = _inside(after.get(section[1:]), inner)
    return after


def _changed_list(before: Iterable[Any], difference: Mapping[str, Any]) -> list[Any]:
    after = list(before)
    if "l" in difference:
        after = (after + [None] * difference["l"])[: difference["l"]]
    for section, value in difference.items():
        if section[1:].isdigit():
            at = int(section[1:])
            after += [None] * (at + 1 - len(after))
            after[at] = value if section[0] == "u" else _inside(after[at], value)
    return after


def _inside(before: Any, difference: Mapping[str, Any]) -> Any:
    return _changed_list(before or (), difference) if difference.get("a") else changed(before or {}, difference)
