"""The oplog's writes give back each version of a document, as MongoDB tells of them."""

from __future__ import annotations

from typing import Any

from tests.attack.oplog import versions

_SPACE = "fmn_case.people"


def written(*writes: dict[str, Any]) -> list[dict[str, Any]]:
    """The versions that these writes give, which stand in one transaction's two entries."""
    at = len(writes) // 2
    entries = [
        {"op": "c", "ns": "admin.$cmd", "o": {"applyOps": list(part), "partialTxn": True}}
        for part in (writes[:at], writes[at:])
    ]
    found = list(versions([{"op": "n", "ns": "", "o": {"msg": "initiating set"}}, *entries]))
    assert {space for space, _ in found} == {_SPACE}
    return [row for _, row in found]


def update(**said: Any) -> dict[str, Any]:
    return {"op": "u", "ns": _SPACE, "o": said, "o2": {"_id": "a"}}


def differing(**diff: Any) -> dict[str, Any]:
    return update(**{"$v": 2, "diff": diff})


def test_differences_are_applied_to_the_version_before() -> None:
    first = {"_id": "a", "d": 1, "list": [1, 2, 3], "in": {"x": 1, "y": {"z": 1}}, "gone": True}
    found = written(
        {"op": "i", "ns": _SPACE, "o": first},
        differing(u={"d": 2}, i={"new": b"n"}, d={"gone": False}),
        differing(slist={"a": True, "u1": 9}, sin={"u": {"x": 2}, "sy": {"i": {"w": 3}}}),
        differing(slist={"a": True, "l": 1}),
        differing(slist={"a": True, "u2": {"k": 1}}),
        differing(slist={"a": True, "s2": {"u": {"k": 2}}}),
    )
    assert found[0] == first
    assert found[1] == {"_id": "a", "d": 2, "list": [1, 2, 3], "in": {"x": 1, "y": {"z": 1}}, "new": b"n"}
    assert found[2] == {**found[1], "list": [1, 9, 3], "in": {"x": 2, "y": {"z": 1, "w": 3}}}
    assert [row["list"] for row in found[3:]] == [[1], [1, None, {"k": 1}], [1, None, {"k": 2}]]


def test_a_replaced_document_is_told_whole_and_a_deletion_gives_none() -> None:
    found = written(
        {"op": "i", "ns": _SPACE, "o": {"_id": "a", "x": 1}},
        update(_id="a", y=2),
        {"op": "d", "ns": _SPACE, "o": {"_id": "a"}},
    )
    assert found == [{"_id": "a", "x": 1}, {"_id": "a", "y": 2}]


def test_where_the_version_before_has_left_the_oplog_the_difference_is_still_read() -> None:
    assert written(differing(u={"personal": b"sealed"})) == [{"_id": "a", "personal": b"sealed"}]
