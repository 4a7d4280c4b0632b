"""P3, P4 and P8: a call is never noted, nothing is recorded unless you ask, and you may decline."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import requests
from bson.timestamp import Timestamp
from pymongo import MongoClient

from deploy.local import objects
from deploy.local.processes import stop_all
from deploy.local.provision import Provision
from deploy.local.stack import Stack
from shared.events import SERVICES
from tests.helpers import eventually
from tests.races.inside import an_inside
from tests.system import System


def test_p4_nothing_personal_is_taken_before_consent(system: System) -> None:
    case_id = system.a_shell()
    person = {"role": "parent", "given_name": "Żaneta", "family_name": "Okonkwo"}
    early = system.caseworker.post(f"/cases/{case_id}/people", person)
    assert (early.status_code, early.json()["type"]) == (409, "urn:fmn:problem:consent-required")
    scan = system.a_scan(case_id)
    assert (scan.status_code, scan.json()["type"]) == (409, "urn:fmn:problem:consent-required")


def test_p8_declining_ends_the_shell_and_says_how_to_use_the_helpline(system: System) -> None:
    case_id = system.a_shell()
    answer = system.caseworker.post("/consents", {"case_id": case_id, "decision": "declined"})
    assert answer.status_code == 200
    assert set(answer.json()) == {"helpline"}
    assert system.caseworker.get(f"/cases/{case_id}").status_code == 410


def test_p8_a_stack_where_a_shell_was_declined_looks_like_one_where_it_expired(stack: Stack, worker_id: str) -> None:
    # Given two stacks on the same servers, in each a shell
    # When the one is declined, and the other's time runs out
    declined = _told(stack, f"declined{worker_id}", declining=True)
    expired = _told(stack, f"expired{worker_id}", declining=False)
    # Then they differ in ids and times alone: every collection, queue, bucket, file, log line and count is the same
    for where in sorted(declined.keys() | expired.keys()):
        assert declined.get(where) == expired.get(where), where
    # And what is compared is something: the tombstones, the ledger's entry, the audit of those who worked
    assert [row["state"] for row in declined["consent.gates"]] == ["closed"]
    assert [row["kind"] for row in declined["ledger.ledger"]] == ["shell_ended"]
    assert {row["action"] for row in declined["case.audit"]} == {"cases.start_case", "cases.read_case"}
    assert declined["consent.consents"] == []


_LOOKS = ("GET /livez", "GET /readyz", "GET /metrics", "GET /openapi.json")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d+)?([+-]\d{2}:\d{2}|Z)?")
_DIGEST = re.compile(r"[0-9a-f]{32,128}")
_SIGNED = re.compile(r"[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}")
_REFERENCE = re.compile(r"\b[A-Z2-9]{4}-[A-Z2-9]{4}\b")
# How long something took, which process did it, and in which bucket of the key tree a random id is, tell nothing.
_CHANCE = frozenset({"ms", "seconds", "pid", "port", "bucket"})

Seen = dict[str, Any]


def _told(stack: Stack, names: str, *, declining: bool) -> Seen:
    """Everything that is left anywhere of a shell that ended, ids and times apart."""
    provided = stack.provision(names)
    processes = stack.start_services(provided, only=["case", "consent", "document-worker", "notifier-worker"])
    system = System(stack, provided)
    try:
        with an_inside(system) as inside:
            mongo = inside.mongo
            case_id = system.a_shell()
            # The case service's own, and the notifier's, which alone is told of shells.
            eventually(lambda: _gates(mongo, names, case_id) == ["open"] * 2)
            worker = processes["case-worker"]
            worker.stop()
            if declining:
                said = {"case_id": case_id, "decision": "declined"}
                assert system.caseworker.post("/consents", said, Idempotency_Key="told once").status_code == 200
            else:
                over = datetime.now(UTC) - timedelta(minutes=5)
                inside.change("case", "cases", {"_id": case_id}, expires_at=over)
            # Which also looks for what expired, as soon as it starts
            worker.start()
            worker.wait_ready()
            eventually(lambda: _gates(mongo, names, case_id) == ["closed"] * 4)
            eventually(lambda: mongo[f"{names}_ledger"]["ledger"].count_documents({}) == 1)
            eventually(lambda: _nothing_to_do(mongo, names) and not any(inside.queued().values()))
            assert system.caseworker.get(f"/cases/{case_id}").status_code == 410
            counted = {f"{service} counted": _counted(provided.urls[service]) for service in ("case", "consent")}
            # Whatever is in hand is finished first, so what then lies in a queue would have stayed there
            stop_all(processes.values())
            return {
                **counted,
                **_collections(mongo, names),
                **{f"queue {name}": count for name, count in inside.queued().items()},
                **_files(stack, provided),
                **{f"{name} log": _lines(process.log, names) for name, process in processes.items()},
            }
    finally:
        stop_all(processes.values())
        for process in processes.values():
            stack.services.pop(process.name, None)


def _gates(mongo: MongoClient[Any], names: str, case_id: str) -> list[str]:
    rows = [mongo[f"{names}_{service}"]["gates"].find_one({"_id": case_id}) for service in SERVICES]
    return [row["state"] for row in rows if row is not None]


def _nothing_to_do(mongo: MongoClient[Any], names: str) -> bool:
    waiting = ("steps", "outbox", "deferred", "trying")
    return not any(mongo[f"{names}_{service}"][name].count_documents({}) for service in SERVICES for name in waiting)


def _plain(value: Any, names: str) -> Any:
    """The value without what is by chance or by the hour: ids, times, digests, signatures, sealed bytes."""
    if isinstance(value, dict):
        return {_plain(k, names): _plain(v, names) for k, v in value.items() if k not in _CHANCE}
    if isinstance(value, list):
        if value and all(isinstance(item, int) for item in value):
            return sum(value)
        return [_plain(item, names) for item in value]
    if isinstance(value, datetime | Timestamp):
        return "<time>"
    if isinstance(value, bytes | UUID):
        return "<bytes>"
    if not isinstance(value, str):
        return value
    text = value.replace(names, "<names>")
    for found, put in (
        (_SIGNED, "<signed>"),
        (_ID, "<id>"),
        (_TIME, "<time>"),
        (_DIGEST, "<digest>"),
        (_REFERENCE, "<reference>"),
    ):
        text = found.sub(put, text)
    return text


def _sorted(items: Iterable[Any]) -> list[Any]:
    return sorted(items, key=lambda item: json.dumps(item, sort_keys=True, default=str))


def _collections(mongo: MongoClient[Any], names: str) -> Seen:
    seen: Seen = {}
    for database in mongo.list_database_names():
        if not database.startswith(f"{names}_"):
            continue
        for name in mongo[database].list_collection_names():
            rows = mongo[database][name].find()
            plain = _sorted(_plain(dict(row), names) for row in rows)
            seen[f"{database.removeprefix(names + '_')}.{name}"] = _less_chance(name, plain)
    assert len(seen) > 20
    return seen


def _less_chance(name: str, rows: list[Any]) -> Any:
    """Which bucket a case's key is in, and who else, is by chance; how often keys were made or changed isn't."""
    if name == "buckets":
        return {count: sum(row.get(count, 0) for row in rows) for count in ("made", "version")}
    return [{**row, "version": None} for row in rows] if name == "keys" else rows


def _files(stack: Stack, provided: Provision) -> Seen:
    """Objects, the ledger's copy, letters, and whatever lies in a spool."""
    store, names = objects.admin(stack.places, stack.ports).s3, provided.prefix
    seen: Seen = {}
    listed = store.list_objects(f"{names}-document", recursive=True, include_version=True)
    seen["bucket"] = [item.object_name for item in listed]
    for service in SERVICES:
        seen[f"spool {service}"] = sorted(p.name for p in Path(provided.env[service]["FMN_SPOOL"]).rglob("*"))
    copy = Path(provided.env["consent"]["FMN_LEDGER_COPY"]) / "ledger.jsonl"
    seen["ledger copy"] = [_plain(json.loads(line), names) for line in copy.read_text().splitlines()]
    seen["post"] = sorted(p.name for p in provided.post.rglob("*"))
    return seen


def _lines(log: Path, names: str) -> list[Any]:
    """The lines of a log, but for those that say that somebody looked whether the process is there."""
    lines = []
    for line in log.read_text(encoding="utf-8").splitlines():
        said = json.loads(line) if line.startswith("{") else {"text": line}
        if f"{said.get('method')} {said.get('route')}" not in _LOOKS:
            lines.append(_plain(said, names))
    return _sorted(lines)


def _counted(url: str) -> list[str]:
    """The answers that a service has counted, by method, route and status."""
    text = requests.get(f"{url}/metrics", timeout=10).text
    counts = [line for line in text.splitlines() if line.startswith("fmn_http_answer_seconds_count")]
    return sorted(line for line in counts if not any(f'"{look.split()[1]}"' in line for look in _LOOKS))


# The helpline


def test_p3_a_helpline_call_is_noted_nowhere(system: System) -> None:
    answer = system.caseworker.call("POST", "/helpline-calls")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:fmn:problem:not-found")
    assert system.manager.get("/helpline-calls").status_code == 404
    # No route of any service takes one down
    for service in SERVICES:
        said = requests.get(f"{system.provided.urls[service]}/openapi.json", timeout=10).json()
        named = [path for path in said["paths"] if "call" in path or "helpline" in path]
        assert [path for path in named if path != "/v1/helpline-calls"] == []
    assert "requestBody" not in _described(system)["post"]
    assert not [p for p in _described(system)["post"].get("parameters", []) if p.get("in") != "header"]


def _described(system: System) -> Any:
    said = requests.get(f"{system.provided.urls['consent']}/openapi.json", timeout=10).json()
    return said["paths"]["/v1/helpline-calls"]


def test_p3_an_office_that_counts_keeps_one_number_a_month(system: System) -> None:
    with an_inside(system) as inside, inside.with_settings("consent-api", FMN_HELPLINE_TALLY="on"):
        log = system.process("consent-api").log
        audited, before = inside.rows("consent", "audit"), log.read_text().count("helpline")
        answers = [system.caseworker.call("POST", "/helpline-calls") for _ in range(3)]
        assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 3
        # Nothing can be said with it
        for more in (
            {"json": {}},
            {"json": {"note": "worried about school"}},
            {"data": b"x"},
            {"params": {"who": "x"}},
        ):
            assert system.caseworker.call("POST", "/helpline-calls", **more).status_code == 400
        assert system.auditor.call("POST", "/helpline-calls").status_code == 403
        month = f"{datetime.now(UTC):%Y-%m}"
        assert system.manager.read("/helpline-calls") == {"items": [{"month": month, "count": 3}], "next": None}
        assert inside.rows("consent", "helpline_calls") == [{"_id": month, "count": 3}]
        # And nothing else is left of any: no audit row, no line but of what was refused before it was heard
        assert inside.rows("consent", "audit") == audited
        lines = [json.loads(line) for line in log.read_text().splitlines() if "helpline-calls" in line]
        assert {line["status"] for line in lines[before:] if line["method"] == "POST"} <= {400, 403}
