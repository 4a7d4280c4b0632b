"""Audit rows of requests that are answered at once are written together, and each request still hears of its own."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pymongo.errors import PyMongoError

from deploy.local.stack import Stack
from shared.clock import utc_now
from shared.ids import new_id
from shared.security.audit import Audit
from tests.service.messaging_rig import Node, a_node


@pytest.fixture
def node(stack: Stack) -> Iterator[Node]:
    with a_node(stack) as opened:
        yield opened


def a_row(**more: Any) -> dict[str, Any]:
    row = {
        "at": utc_now(),
        "sub": "worker-one",
        "role": "caseworker",
        "action": "cases.read_case",
        "case_id": new_id(),
        "record_id": None,
        "outcome": "done",
        "status": 200,
        "trace_id": None,
        "apart": False,
    }
    return row | more


def test_every_row_is_there_when_its_request_goes_on(node: Node) -> None:
    audit = Audit(node.register)

    def answered(_number: int) -> int:
        case_id = new_id()
        audit.write(a_row(case_id=case_id))
        return audit.store.rows.count_documents({"case_id": case_id})

    with ThreadPoolExecutor(16) as requests:
        assert set(requests.map(answered, range(400))) == {1}
    assert audit.store.rows.count_documents({}) == 400


def test_a_row_that_is_none_of_ours_is_refused_and_holds_up_no_other(node: Node) -> None:
    audit = Audit(node.register)

    def answered(number: int) -> bool:
        try:
            audit.write(a_row(case_id="no id" if number % 2 else new_id()))
        except ValueError:
            return False
        return True

    with ThreadPoolExecutor(16) as requests:
        assert list(requests.map(answered, range(100))) == [True, False] * 50
    assert audit.store.rows.count_documents({}) == 50


def test_while_none_can_be_written_every_request_hears_it(node: Node) -> None:
    audit = Audit(node.register)
    node.client.close()

    def answered(_number: int) -> bool:
        try:
            audit.write(a_row())
        except PyMongoError:
            return False
        return True

    with ThreadPoolExecutor(16) as requests:
        assert set(requests.map(answered, range(50))) == {False}
