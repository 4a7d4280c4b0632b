"""The judge: what the servers themselves hold when all is over, read with their administrators' rights.

It compares that with what was accepted, and believes no service's word. Each complaint is (case number or None, words).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

from joserfc import jws
from joserfc.jwk import KeySet

from deploy.local import objects
from shared.db.keys.tree import owner_of
from shared.events import SERVICES
from shared.ledger import LedgerBroken, from_row, linked
from tests.faults.driver import Told, what_waits
from tests.faults.story import Case
from tests.races.inside import Inside, Row

Complaint = tuple[int | None, str]
# What a family's case may hold, by service and store, and which list of `Case` says how many were accepted.
_MADE = {
    ("case", "people"): "people",
    ("case", "entries"): "entries",
    ("document", "documents"): "documents",
    ("document", "versions"): "documents",
    ("document", "paper_files"): "papers",
    ("consent", "consents"): "consents",
}

_KEPT_KEYS = frozenset({"office", "mac"})


class Judge:
    """Looks into every server once; `complaints` says all that is wrong. planted: ids of messages meant to wait."""

    def __init__(self, inside: Inside, told: Told, *, planted: frozenset[str] = frozenset()) -> None:
        self._inside = inside
        self._told = told
        self._planted = planted

    def of_cases(self) -> list[Complaint]:
        """What is wrong with these cases, and with anything that is put aside, half or nobody's."""
        return [
            *((case.number, case.failure) for case in self._told.cases if case.failure is not None),
            *self._kept_cases(),
            *self._forgotten_cases(),
            *self._waiting(),
            *self._gates_and_keys(),
            *self._objects_and_records(),
            *self._audit(),
        ]

    def complaints(self) -> list[Complaint]:
        """All: of the stream and the ledger too, which must hold what this run did."""
        return [*self.of_cases(), *self._stream(), *self._ledger()]

    # Every accepted request has its effects exactly once

    def _kept_cases(self) -> Iterator[Complaint]:
        for case in self._told.cases:
            if case.failure is None and case.ending != "forgotten":
                yield from ((case.number, words) for words in self._wrong_in_kept(case))

    def _wrong_in_kept(self, case: Case) -> Iterator[str]:
        if self._inside.row("case", "cases", _id=case.id) is None:
            yield "the case is gone"
        for (service, store), made in _MADE.items():
            there = Counter(self._key_of(store, row) for row in self._inside.rows(service, store, case_id=case.id))
            wanted = Counter(getattr(one, "id", one) for one in getattr(case, made))
            if there != wanted:
                yield f"{service}.{store} has {dict(there)}, accepted were {dict(wanted)}"
        withdrawn = self._inside.rows("consent", "endings", case_id=case.id, kind="withdrawn")
        if len(withdrawn) != len(case.withdrawals):
            yield f"{len(withdrawn)} withdrawals, accepted were {len(case.withdrawals)}"
        for service in SERVICES:
            # Whoever takes back the last consent to a file has asked for its erasure, which nobody has confirmed.
            if self._inside.gate(service, case.id) != ("frozen" if case.withdrawals else "open"):
                yield f"its gate is {self._inside.gate(service, case.id)} in {service}"
        yield from self._not_heard(case)

    @staticmethod
    def _key_of(store: str, row: Row) -> str:
        return str(row["document_id"] if store == "versions" else row["_id"])

    def _not_heard(self, case: Case) -> Iterator[str]:
        """The others know what the last event said."""
        casework = not case.withdrawals
        projection = self._inside.row("document", "projections", _id=case.id) or {}
        if any(one["purpose"] == "casework" for one in projection.get("standing", [])) is not casework:
            yield f"the document service's projection is {projection}"
        heard = self._inside.row("notifier", "projections", _id=case.id) or {}
        if [one["person"] for one in heard.get("people", [])] != [person.id for person in case.people]:
            yield f"the notifier has heard of {heard.get('people')}"
        if any(one["purpose"] == "casework" for one in heard.get("standing", [])) is not casework:
            yield f"the notifier has heard of {heard.get('standing')}"

    # Every erasure is certified, and nothing of the case is left

    def _forgotten_cases(self) -> Iterator[Complaint]:
        # As they were installed, and not as the service that is judged publishes them.
        keys = KeySet.import_key_set(json.loads(self._inside.system.provided.public_keys.read_text()))
        for case in self._told.cases:
            if case.failure is None and case.ending == "forgotten":
                yield from ((case.number, words) for words in self._wrong_in_forgotten(case, keys))

    def _wrong_in_forgotten(self, case: Case, keys: KeySet) -> Iterator[str]:
        if left := self._inside.left_of(case.id):
            yield f"left of an erased case: {left}"
        claims = opened(case.certificate or "", keys)
        if (claims["request"], claims["case"], claims["kept_promise"]) != (case.request, case.id, True):
            yield f"the certificate is about something else, or says the promise wasn't kept: {claims}"
        receipts = [opened(one, keys) for one in claims["receipts"]]
        if sorted(r["service"] for r in receipts) != sorted(SERVICES):
            yield f"receipts of {[r['service'] for r in receipts]}"
        found = {(r["service"], s["store"]): s for r in receipts for s in r["stores"]}
        for store, counts in found.items():
            if counts["remaining"]:
                yield f"{store} has {counts['remaining']} remaining by its own receipt"
        for store, made in _MADE.items():
            # Paper that isn't certified yet has moved to a store of its own by then.
            if made != "papers" and (wanted := len(getattr(case, made))) != found[store]["found"]:
                yield f"{store} found {found[store]['found']}, accepted were {wanted}"
        if sorted(p["paper_file"] for p in claims["paper"]) != sorted(case.papers):
            yield f"paper certified: {claims['paper']}"
        for service in SERVICES:
            if self._inside.gate(service, case.id) != "closed":
                yield f"its gate is {self._inside.gate(service, case.id)} in {service}"

    # Nothing waits, nothing is parked, nothing is half

    def _stream(self) -> Iterator[Complaint]:
        for said in self._told.said:
            for service in ("consent", "notifier"):
                keys = [f"{service}:{event_id}" for event_id in said.ids]
                handled = self._inside.rows(service, "inbox", case_id=said.case_id)
                if missing := set(keys) - {row["_id"] for row in handled}:
                    yield None, f"{len(missing)} of {len(keys)} events of the stream never reached {service}"
            heard = self._inside.row("notifier", "projections", _id=said.case_id) or {}
            if heard.get("people") != said.people:
                yield None, f"the last event said {said.people}, the notifier has {heard.get('people')}"

    def _waiting(self) -> Iterator[Complaint]:
        for words in what_waits(self._inside, but=self._planted):
            yield None, f"still waits: {words}"
        for service in SERVICES:
            for row in self._inside.rows(service, "parked"):
                if row["_id"] not in self._planted:
                    yield self._number(row["case_id"]), f"{service} parked {row['type']}: {row['reason']}"

    def _number(self, case_id: str | None) -> int | None:
        return next((case.number for case in self._told.cases if case.id == case_id), None)

    def _gates_and_keys(self) -> Iterator[Complaint]:
        for service in SERVICES:
            gates = {row["_id"]: row["state"] for row in self._inside.rows(service, "gates")}
            vault = self._inside.mongo[f"{self._inside.names}_{service}_vault"]
            keys = [owner_of(str(row["_id"])) for row in vault["keys"].find({}, {"_id": 1})]
            names = set(keys)
            if len(keys) > len(names):
                yield None, f"{service} has {len(keys) - len(names)} older keys of cases that have another one"
            yield from self._roots(service, vault["tree"].find_one())
            for row in vault["doomed"].find({"gone_at": None}):
                yield None, f"{service} has not destroyed the key {row['_id']}, which it deleted"
            for name in names:
                if name.startswith("unread:"):
                    # Of a day on which messages came that no one could read, for thirty days.
                    continue
                if ":" in name:
                    yield None, f"{service} still has the key {name}"
                elif name not in _KEPT_KEYS and gates.get(name, "missing") in ("missing", "closed"):
                    yield self._number(name), f"{service} has a key whose gate is {gates.get(name, 'missing')}: {name}"
            for case_id, state in gates.items():
                if state != "closed" and case_id not in names:
                    yield self._number(case_id), f"{service} has a gate that is {state} and no key"

    def _roots(self, service: str, tree: Row | None) -> Iterator[Complaint]:
        """In each place lies the root that the tree hangs on, and no other."""
        for folder in self._inside.system.provided.env[service]["FMN_ROOTS"].split(","):
            there = {path.stem for path in Path(folder).glob("*.root")}
            if tree is None or there != {tree["root"]}:
                yield None, f"{service} has {len(there)} roots in {folder}, or not the one of its tree"

    def _objects_and_records(self) -> Iterator[Complaint]:
        store = objects.admin(self._inside.system.stack.places, self._inside.system.stack.ports).s3
        bucket = f"{self._inside.names}-document"
        there = Counter(str(o.object_name) for o in store.list_objects(bucket, recursive=True, include_version=True))
        versions = self._inside.rows("document", "versions")
        recorded = {f"{row['case_id']}/{row['document_id']}/{row.get('place') or row['number']}" for row in versions}
        for key in sorted(set(there) - recorded):
            yield self._number(key.partition("/")[0]), f"an object without a record: {key}"
        for key in sorted(recorded - set(there)):
            yield self._number(key.partition("/")[0]), f"a record without an object: {key}"
        for key, count in there.items():
            if count > 1:
                yield self._number(key.partition("/")[0]), f"{count} versions of one object: {key}"
        for upload in store._list_multipart_uploads(bucket).uploads:
            yield None, f"an upload that was never finished: {upload.object_name}"
        for row in self._inside.rows("document", "receiving"):
            yield self._number(row["case_id"]), f"a row of an upload that isn't: {row['_id']}, {row['state']}"
        documents = {row["_id"] for row in self._inside.rows("document", "documents")}
        if half := documents ^ {row["document_id"] for row in versions}:
            yield None, f"documents without a version, or the other way round: {half}"

    # Audit and ledger agree with what was done

    def _audit(self) -> Iterator[Complaint]:
        system = self._inside.system
        done = {
            system.provided.urls[service]: {
                (row["sub"], row["record_id"]) for row in self._inside.rows(service, "audit", outcome="done")
            }
            for service in SERVICES
        }
        for case in self._told.cases:
            for call in case.calls:
                owner = system.url(call.what.partition(" ")[2]).partition("/v1")[0]
                if call.made is not None and call.status and (call.sub, call.made) not in done[owner]:
                    yield case.number, f"accepted and never audited: {call.what} made {call.made}"

    def _ledger(self) -> Iterator[Complaint]:
        rows = list(self._inside.mongo[f"{self._inside.names}_ledger"]["ledger"].find().sort("_id", 1))
        yield from ((None, words) for words in broken_links(rows))
        entries = Counter((row["kind"], row["about"]) for row in rows)
        certified = [str(case.request) for case in self._told.cases if case.certificate is not None]
        wanted = {(kind, request) for kind in ("begun", "erasure") for request in certified}
        withdrawn = self._inside.rows("consent", "endings", kind="withdrawn")
        wanted |= {("withdrawal", row["_id"]) for row in withdrawn if self._number(row["case_id"]) is not None}
        for key, count in entries.items():
            if count > 1:
                yield None, f"{count} ledger entries for {key}"
        if missing := wanted - set(entries):
            yield None, f"certified or withdrawn, and not in the ledger: {missing}"
        completed = {("erasure", row["_id"]) for row in self._inside.rows("consent", "requests", status="completed")}
        if strangers := {key for key in entries if key[0] == "erasure"} - completed:
            yield None, f"in the ledger and not completed: {strangers}"
        if unwritten := completed - set(entries):
            yield None, f"completed and not in the ledger: {unwritten}"
        copy = Path(self._inside.system.provided.env["consent"]["FMN_LEDGER_COPY"]) / "ledger.jsonl"
        copied = [json.loads(line)["hash"] for line in copy.read_text().splitlines()] if copy.exists() else []
        if copied != [row["hash"] for row in rows]:
            yield None, f"the ledger's copy has {len(copied)} entries, the ledger {len(rows)}"


def opened(token: str, keys: KeySet) -> dict[str, Any]:
    """The claims of a JWS, verified as an outsider would. Raises joserfc's errors."""
    found = jws.deserialize_compact(token, keys, algorithms=["Ed25519", "EdDSA"])
    return dict(json.loads(found.payload))


def broken_links(rows: Iterable[Row]) -> Iterator[str]:
    """Where a ledger's chain of hashes or its numbers don't hold."""
    try:
        for _ in linked(from_row(row | {"at": row["at"].replace(tzinfo=UTC)}) for row in rows):
            pass
    except LedgerBroken as broken:
        yield f"the ledger isn't whole: {broken}"


def messages_consumed(inside: Inside) -> int:
    """How many messages were taken from queues and settled, over all services."""
    return sum(inside.mongo[f"{inside.names}_{service}"]["inbox"].count_documents({}) for service in SERVICES)
