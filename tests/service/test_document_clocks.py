"""An upload lives as long as its process does, whatever that process's clock says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from deploy.local.stack import Stack
from services.document.model.documents import Upload
from services.document.store.receiving import LEASE, Receiving
from shared.clock import utc_now
from shared.db.unit_of_work import Tx
from shared.ids import new_id
from tests.service.messaging_rig import Node, a_node


@pytest.fixture
def node(stack: Stack) -> Iterator[Node]:
    with a_node(stack, "document") as opened:
        yield opened


@pytest.mark.parametrize("hours", [-1, 1])
def test_an_upload_that_began_by_a_wrong_clock_lapses_like_any_other(node: Node, hours: int) -> None:
    receiving = Receiving(node.register)
    case_id = new_id()
    node.unit_of_work.gates.make_if_unknown(case_id)
    upload = Upload(id=new_id(), case_id=case_id, document_id=new_id(), number=1)

    def begin(tx: Tx) -> None:
        tx.now = utc_now() + timedelta(hours=hours)
        receiving.begin(upload, tx=tx)

    node.unit_of_work.run(begin)
    # It has just begun: nobody takes it for dead, and its beat is told by the database's clock
    assert receiving.lapsed() == []
    (row,) = receiving.store.rows.find({"_id": upload.id})
    assert abs(row["beat_at"] - utc_now()) < LEASE
    # When it has been silent for longer than its lease, it is
    receiving.store.rows.update_one({"_id": upload.id}, {"$set": {"beat_at": utc_now() - 2 * LEASE}})
    assert receiving.lapsed() == [upload]
