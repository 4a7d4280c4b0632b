"""Reading the stores that every service has."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

from bson import ObjectId

from shared.clock import utc_now
from shared.db.changes import Removal
from shared.erasure.grants import GrantSigner
from shared.events import Event, all_types, write
from shared.http.claims import DONE, IN_USE, Anew, Claim, Key
from shared.http.idempotency import LEASE
from shared.http.responses import JsonResponse
from shared.messaging.deliveries import Delivery
from shared.security.signing import Signer
from tests.contracts.stored.ids import CASE, ERASED, PERSON_OF_AUDIT, REQUEST, STRIPPED, numbered
from tests.contracts.stored.opening import NAMES, Opened, Row, rows_of
from tests.contracts.stored.reading import Reading

WHEN = datetime(2026, 3, 14, 9, 26, 53, 589_000, tzinfo=UTC)
_STEP_SECONDS = 20.0
_BODY = "0d" * 32
_ANSWER = {"id": CASE, "näme": "Żaneta", "list": [1, "two", True, None]}
_GATES = ("open", "frozen", "closed", "open", "closed", "closed")


def _state_event(id: str, seq: int) -> Event:
    data = {"case": CASE, "state": "open"}
    return Event(id=id, type=all_types()["case.state.v1"], source="case", time=WHEN, seq=seq, data=data)


def _audit(opened: Opened, row: Row) -> Any:
    rows = opened.runtime.kernel_stores.audit.of({}, after=None, limit=100, apart_too=True)
    return next(one for one in rows if one["_id"] == row["_id"])


def _key(number: int, **changed: Any) -> Key:
    """A claim on a key, and what became of it."""
    first = numbered(700 + number)
    claimed = Key(id=f"{number:064x}", case_id=None, at=WHEN, state=IN_USE, claim=first, until=WHEN + LEASE)
    return replace(claimed, **{"first": first, **changed})


def _idempotency(opened: Opened, row: Row) -> Any:
    """The answer that is repeated, or rendered anew; the first claim, of one in use when its process died."""
    rows = opened.runtime.kernel_stores.idempotency
    anew = Anew(find=lambda id, status: JsonResponse(status=status, body={"id": id}), key=lambda made: CASE)
    is_anew = row["case_id"] is None and row["state"] == DONE
    claim = Claim(row_id=row["_id"], render=lambda result: result, anew=anew if is_anew else None)
    # An answer is repeated for a day.
    with patch("shared.http.idempotency.utc_now", lambda: row["at"] + timedelta(hours=1)):
        answer = rows.claim(claim, _BODY)
    return claim.first == row["first"] if answer is None else answer


def _inbox(opened: Opened, row: Row) -> bool:
    """Whether the event, come again, is passed by as known."""
    event = _state_event(row["_id"].partition(":")[2], 99)
    opened.heard.clear()
    opened.inbox.handle(
        [
            Delivery(
                body=write(event),
                user_id=f"{NAMES}-case",
                message_id=event.id,
                delivery_count=0,
                routing_key=event.routing_key,
            )
        ]
    )
    return not opened.heard


def _deferred(opened: Opened, row: Row) -> Event:
    """The event, as it is handled now that it is due."""
    opened.inbox.work_deferred(utc_now())
    return next(event for event in opened.heard if event.id == row["_id"])


def _outbox(opened: Opened, row: Row) -> Row:
    """The row, as it is handed to the broker once it is due."""
    opened.outbox.sweep(utc_now() + timedelta(days=1))
    return next(one for one in opened.sent if one["_id"] == row["_id"])


def _erasures(opened: Opened, row: Row) -> Any:
    """What is answered when the erasure is begun again with the attempt that is stored: the receipt, where one is."""
    data = {"request": row["_id"], "case": row["case_id"], "attempt": row["attempt"], "due_at": WHEN.isoformat()}
    secrets = opened.runtime.settings.public_keys.parent / "secrets"
    signer = GrantSigner(Signer(json.loads((secrets / "consent" / "grant.jwk").read_text())))
    grant = signer.erasure(request=row["_id"], case_id=row["case_id"], attempt=row["attempt"])
    started = Event(
        id="0197a000-0000-7000-8000-000000000899",
        type=all_types()["erasure.started.v1"],
        source="consent",
        time=WHEN,
        seq=50,
        data={**data, "participants": [opened.name], "grant": grant},
    )

    def act(tx: Any) -> list[Event]:
        opened.runtime.erasure.on_started(tx, started)
        return list(tx.events)

    told = opened.runtime.unit_of_work.run(act)
    return [event.data["receipt"] == row["receipts"][-1] for event in told]


def _steps(opened: Opened, row: Row) -> Any:
    """The step as it is run. All of them are run when the first is asked for: steps are started once a process."""
    steps = opened.runtime.steps
    waiting = {one["_id"]: one["kind"] for one in rows_of(opened, "steps").find()}
    if not opened.ran:
        steps.serve({kind: _note(opened) for kind in set(waiting.values())})
        steps.start()
        until = time.monotonic() + _STEP_SECONDS
        while rows_of(opened, "steps").count_documents({}) and time.monotonic() < until:
            time.sleep(0.05)
        steps.request_stop()
        steps.join(5.0)
    return opened.ran[row["_id"]]


def _note(opened: Opened) -> Any:
    def run(step: Any) -> None:
        opened.ran[f"{step.kind}:{step.key}"] = step

    return run


def _step(kind: str, key: str, case_id: str | None, attempts: int = 1) -> dict[str, Any]:
    return {"kind": kind, "key": key, "case_id": case_id, "attempts": attempts}


KERNEL = {
    "gates": Reading(read=lambda o, row: o.runtime.unit_of_work.gates.state(row["_id"]), told=_GATES),
    "audit": Reading(
        read=_audit,
        told=[
            {"sub": "worker-1", "role": "caseworker", "status": 201, "record_id": PERSON_OF_AUDIT, "at": WHEN},
            {"sub": "anonymous", "role": "none", "outcome": "denied", "case_id": None, "trace_id": None},
            {"role": "safeguarding_lead", "apart": True, "case_id": CASE},
        ],
    ),
    "idempotency": Reading(
        read=_idempotency,
        told=[
            True,
            JsonResponse(status=200, body={"id": CASE}),
            JsonResponse(status=201, body=_ANSWER, headers={"ETag": '"1"'}, case_id=CASE),
        ],
        samples=[
            _key(1),
            _key(2, state=DONE, status=200, first=None, record=CASE, personal={"digest": _BODY}, under=CASE),
            _key(
                3,
                case_id=CASE,
                state=DONE,
                status=201,
                first=None,
                record=CASE,
                personal={
                    "digest": _BODY,
                    "body": _ANSWER,
                    "headers": {"ETag": '"1"'},
                },
            ),
        ],
    ),
    "removals": Reading(
        told=[{"case_id": CASE, "kind": "person"}],
        samples=[Removal(id=numbered(171), case_id=CASE, kind="person")],
    ),
    "steps": Reading(
        read=_steps,
        told=[
            _step("erase", REQUEST, "0197a000-0000-7000-8000-000000000006"),
            _step("erase", STRIPPED, ERASED),
            _step("look", REQUEST, CASE),
            {**_step("sweep", "daily", None), "due": WHEN + timedelta(days=1)},
            _step("tell", CASE, CASE, attempts=2),
        ],
    ),
    "erasures": Reading(read=_erasures, told=[[], [True]]),
    "outbox": Reading(
        read=_outbox,
        told=[
            {"case_id": CASE, "attempts": 8, "failing": True},
            {"case_id": CASE, "attempts": 2, "failing": False},
            {"case_id": CASE, "attempts": 0},
            {"case_id": ERASED, "attempts": 0},
        ],
    ),
    "inbox": Reading(read=_inbox, told=[True]),
    "deferred": Reading(
        read=_deferred,
        told=[
            {"case": CASE, "seq": 7, "data.state": "inactive", "source": "case"},
            {"case": CASE, "seq": 8, "time": WHEN, "data.request": REQUEST, "source": "consent"},
        ],
    ),
    "parked": Reading(
        read=lambda o, row: o.inbox.parked_messages.parked.rows.find_one({"_id": row["_id"]}),
        told=[
            {"reason": "erased", "type": "erasure.completed.v1", "user_id": f"{NAMES}-consent", "case_id": CASE},
            {"reason": "unreadable", "type": "unknown", "user_id": None, "case_id": None, "body": None, "size": 10},
        ],
    ),
    "parked_bodies": Reading(
        read=lambda o, row: o.inbox.parked_messages.unread.body_of(row["_id"]), told=[b"\xff\x00no event"]
    ),
    "nudges": Reading(
        read=lambda o, row: rows_of(o, "nudges").find_one({"_id": row["_id"]}),
        told=[{"_id": ObjectId("69b52a1d0000000000000001")}],
        samples=[{"_id": ObjectId("69b52a1d0000000000000001")}],
    ),
    "restores": Reading(
        read=lambda o, row: o.runtime.restores.last_at(),
        told=[WHEN],
        samples=[{"_id": numbered(790), "archive": "0a" * 32, "began_at": WHEN - timedelta(hours=1), "done_at": WHEN}],
    ),
    # How often it was tried, once it is tried again.
    "trying": Reading(read=lambda o, row: o.inbox.parked_messages.mark(row["_id"], utc_now()), told=[3, 2]),
}
