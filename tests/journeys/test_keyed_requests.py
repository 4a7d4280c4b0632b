"""A request and its confirmation with an Idempotency-Key, of a case that got another key before: nothing stands in the
way of its erasure, and a repeat is answered as the first time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.ids import new_id
from tests.helpers import eventually, refused
from tests.races.inside import Inside, an_inside
from tests.system import System


@pytest.fixture
def inside(system: System) -> Iterator[Inside]:
    with an_inside(system) as opened:
        yield opened


def test_p24_a_keyed_request_of_a_case_with_another_key_is_repeated_and_erased(system: System, inside: Inside) -> None:
    # Given a case whose consent service has given it another key, since a hold was lifted
    case_id = system.an_open_case()
    hold = {"case_id": case_id, "ground": "legal_duty", "reason": "an appeal", "until": "2099-12-31"}
    placed = system.manager.post("/holds", hold)
    assert placed.status_code == 201, placed.text
    path, etag = f"/holds/{placed.json()['id']}", placed.headers["ETag"]
    assert system.manager.call("DELETE", path, headers={"If-Match": etag}).status_code == 204
    eventually(lambda: (inside.row("consent_vault", "doomed", _id=case_id) or {}).get("gone_at"))
    # When the family's request is logged with a key, and sent again
    body: dict[str, Any] = {
        "kind": "erasure",
        "case_id": case_id,
        "received_at": datetime.now(UTC).isoformat(),
        "channel": "phone",
        "made_by": {"name": "Ottoline Quennell", "authority": "parental_responsibility"},
    }
    logged, confirmed = new_id(), new_id()
    first = system.caseworker.post("/requests", body, Idempotency_Key=logged)
    assert first.status_code == 201, first.text
    again = system.caseworker.post("/requests", body, Idempotency_Key=logged)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    refused(system.caseworker.post("/requests", {**body, "channel": "email"}, Idempotency_Key=logged), 409, "conflict")
    # And confirmed with another
    request = str(first.json()["id"])
    checked = {"checked": ["family", "authority", "safeguarding"]}
    for _ in range(2):
        answer = system.colleague.post(f"/requests/{request}/confirmation", checked, Idempotency_Key=confirmed)
        assert answer.status_code == 200, answer.text
    # Then it is erased, and a repeat still shows it
    inside.completes(request)
    assert inside.left_of(case_id) == []
    kept = inside.rows("consent", "idempotency", record=request)
    assert kept
    assert not any(case_id.encode() in bytes(row.get("personal", b"")) for row in kept)
    again = system.caseworker.post("/requests", body, Idempotency_Key=logged)
    assert (again.status_code, again.json()["status"]) == (201, "completed")
