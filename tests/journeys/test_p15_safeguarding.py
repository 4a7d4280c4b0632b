"""P15: the only exception is a safeguarding risk: never refused, reviewed by a second person, seen by no one else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from deploy.local.machine import free_port
from shared.ids import new_id
from tests.helpers import eventually, kill, problem, start
from tests.journeys.test_p24_forgotten import certificate_of, forget
from tests.races.inside import Inside, an_inside
from tests.system import Caller, System

NAME = "Quillfeather-Abernathy"


@pytest.fixture(scope="module")
def inside(system: System) -> Iterator[Inside]:
    with an_inside(system) as opened:
        yield opened


def worry(**more: Any) -> dict[str, Any]:
    return {
        "recipient": f"Children's services, {NAME}",
        "what": "bruises on both arms, seen today",
        "basis": "safeguarding",
        "reason": "the child is not safe tonight",
        **more,
    }


def alerts(system: System, id: str) -> list[EmailMessage]:
    """The emails that name this record."""
    found = [message_from_bytes(path.read_bytes(), policy=default) for path in system.provided.mail.glob("*.eml")]
    return [mail for mail in found if isinstance(mail, EmailMessage) and id in str(mail.get_body(("plain",)))]


def told(made: Any) -> str:
    """The number of what was recorded; the answer has nothing else."""
    assert made.status_code == 201, made.text
    assert set(made.json()) == {"id", "basis", "recorded_at"}
    assert made.headers["Location"] == f"/v1/disclosures/{made.json()['id']}"
    return str(made.json()["id"])


# Never refused


def test_p15_any_staff_may_record_one_whatever_the_case_is(system: System) -> None:
    # Given a shell, an open case, a frozen one, an erased one, and one that nobody ever heard of
    shell, open_, frozen, erased = system.a_shell(), system.an_open_case(), system.an_open_case(), system.an_open_case()
    forget(system, erased)
    system.an_erasure(frozen)
    eventually(lambda: system.caseworker.read(f"/cases/{frozen}")["frozen"])
    staff = (system.caseworker, system.manager, system.lead, system.data_protection)
    # When any of the staff records that somebody was told
    for case_id in (shell, open_, frozen, erased, new_id()):
        for caller in staff:
            # Then it is recorded, at once and with the same answer
            id = told(caller.post(f"/cases/{case_id}/disclosures", worry()))
            assert system.data_protection.read(f"/disclosures/{id}")["case_id"] == case_id
    # And with no case at all, or for one that is gone
    for caller in staff:
        assert system.lead.read(f"/disclosures/{told(caller.post('/disclosures', worry()))}")["case_id"] is None
    gone = told(system.caseworker.post("/disclosures", worry(case_id=erased)))
    assert system.lead.read(f"/disclosures/{gone}")["case_id"] == erased


def test_p15_those_who_are_no_staff_may_not(system: System) -> None:
    case_id = system.an_open_case()
    for role in ("auditor", "app"):
        caller = system.caller(role, sub=f"an-{role}")
        assert problem(caller.post("/disclosures", worry())) == (403, "forbidden")
        assert problem(caller.post(f"/cases/{case_id}/disclosures", worry())) == (403, "forbidden")
    assert system.lead.read("/disclosures", case_id=case_id)["items"] == []


def test_p15_what_is_left_out_does_not_stop_it(system: System) -> None:
    bare = {"recipient": "the police", "what": "an address", "basis": "safeguarding"}
    id = told(system.caseworker.post(f"/cases/{system.a_shell()}/disclosures", bare))
    # But the lead's review asks for the reason that is missing
    review = {"outcome": "justified", "words": "right to ring them"}
    answer = system.lead.post(f"/disclosures/{id}/review", review)
    assert problem(answer) == (400, "invalid")
    assert list(answer.json()["errors"]) == ["reason"]
    system.lead.made(f"/disclosures/{id}/review", {**review, "reason": "a threat was made"})
    assert system.lead.read(f"/disclosures/{id}")["reason"] == "a threat was made"


def test_p15_it_is_recorded_and_the_lead_alerted_while_other_services_and_the_broker_are_away(system: System) -> None:
    frozen, erased = system.an_open_case(), system.an_open_case()
    forget(system, erased)
    system.an_erasure(frozen)
    eventually(lambda: system.caseworker.read(f"/cases/{frozen}")["frozen"])
    # Given that the consent service is killed, and neither the case service nor the notifier reaches RabbitMQ
    with system.away("consent-api", "consent-worker"), no_broker(system, "case-api", "case-worker", "notifier-worker"):
        # When somebody records one, for a frozen case, for an erased one and for none
        made = [
            told(system.caseworker.post(f"/cases/{frozen}/disclosures", worry())),
            told(system.caseworker.post(f"/cases/{erased}/disclosures", worry())),
            told(system.caseworker.post("/disclosures", worry())),
        ]
        # Then each is there, and the lead is told of each by email
        for id in made:
            assert system.lead.read(f"/disclosures/{id}")["state"] == "open"
            eventually(lambda id=id: alerts(system, id))  # type: ignore[misc]


@contextmanager
def no_broker(system: System, *names: str) -> Iterator[None]:
    """These processes run with a RabbitMQ that nothing listens for."""
    dead = free_port()
    processes = [system.process(name) for name in names]
    before = [process.program for process in processes]
    for process in processes:
        secrets = Path(process.program.env["FMN_SECRETS"])
        copy = secrets.with_name(f"{secrets.name}-{process.name}-without-broker")
        shutil.copytree(secrets, copy, dirs_exist_ok=True)
        url = (copy / "amqp-url").read_text()
        head, _, tail = url.rpartition(":")
        (copy / "amqp-url").write_text(f"{head}:{dead}/{tail.partition('/')[2]}")
        kill([process])
        process.program = replace(process.program, env={**process.program.env, "FMN_SECRETS": str(copy)})
        process.start()
        # A worker without a broker never says that it is ready to consume.
        if process.program.ready_file is None:
            process.wait_ready()
    try:
        yield
    finally:
        kill(processes)
        for process, program in zip(processes, before, strict=True):
            process.program = program
        start(processes)


def test_p15_it_is_recorded_although_the_audit_cannot_be_written_which_is_written_late(
    system: System, inside: Inside
) -> None:
    case_id = system.an_open_case()
    database = inside.mongo[f"{inside.names}_case"]
    # Given an audit that takes nothing
    database.command({"collMod": "audit", "validator": {"never": {"$exists": True}}})
    try:
        assert system.caseworker.get(f"/cases/{case_id}").status_code == 503
        id = told(system.caseworker.post(f"/cases/{case_id}/disclosures", worry()))
        other = told(system.caseworker.post("/disclosures", worry()))
    finally:
        database.command({"collMod": "audit", "validator": {}})
    # Then what was done is in the audit as soon as it takes rows again
    system.caseworker.read(f"/cases/{case_id}")
    assert [row["outcome"] for row in inside.rows("case", "audit", record_id=id)] == ["done"]
    assert [row["outcome"] for row in inside.rows("case", "audit", record_id=other)] == ["done"]


# Alerted and reviewed


def test_p15_the_lead_is_alerted_with_a_number_and_nothing_else(system: System) -> None:
    case_id = system.an_open_case()
    reference = system.caseworker.read(f"/cases/{case_id}")["reference"]
    id = told(system.caseworker.post(f"/cases/{case_id}/disclosures", worry()))
    (mail,) = eventually(lambda: alerts(system, id))
    assert mail["X-Delivered-To"] == "safeguarding@sendias.example"
    for secret in (case_id, reference, NAME, "bruises", "safe tonight", "Children"):
        assert secret not in mail.as_string()
    assert "afeguarding" not in str(mail["Subject"])
    eventually(lambda: system.lead.read(f"/disclosures/{id}")["alerted_at"] is not None)
    assert len(alerts(system, id)) == 1


def test_p15_a_second_person_reviews_it_and_finds_it_among_the_open_ones(system: System) -> None:
    lead, deputy = system.lead, system.caller("safeguarding_lead", sub="deputy-lead")
    # Given one that the lead recorded herself
    id = told(lead.post("/disclosures", worry()))
    assert id in [item["id"] for item in every_one(deputy, state="open")]
    review = {"outcome": "justified", "words": "they had to know at once"}
    # When she reviews it, she is refused; her deputy isn't
    assert problem(lead.post(f"/disclosures/{id}/review", review)) == (403, "forbidden")
    for nobody in (system.caseworker, system.manager, system.data_protection, system.auditor):
        assert problem(nobody.post(f"/disclosures/{id}/review", review)) == (403, "forbidden")
    assert deputy.made(f"/disclosures/{id}/review", review) == {"id": id, "state": "reviewed", "outcome": "justified"}
    # Then it is no longer open, who reviewed it is said, and it can't be reviewed again
    assert id not in [item["id"] for item in every_one(deputy, state="open")]
    reviewed = system.data_protection.read(f"/disclosures/{id}")
    assert (reviewed["reviewed_by"], reviewed["review"]) == ("deputy-lead", review["words"])
    again = system.caller("safeguarding_lead", sub="third").post(f"/disclosures/{id}/review", review)
    assert problem(again) == (409, "conflict")


def test_p15_a_decision_not_to_share_is_recorded_too(system: System) -> None:
    decided = {"what": "a worry about money", "basis": "safeguarding", "decision": "not_shared", "reason": "no risk"}
    case_id = system.an_open_case()
    id = told(system.caseworker.post(f"/cases/{case_id}/disclosures", decided))
    kept = system.lead.read(f"/disclosures/{id}")
    assert (kept["decision"], kept["recipient"], kept["reason"]) == ("not_shared", None, "no risk")
    # On another basis there is nothing to record
    answer = system.caseworker.post(f"/cases/{case_id}/disclosures", {**decided, "basis": "consent"})
    assert problem(answer) == (400, "invalid")


def every_one(caller: Caller, **query: str) -> list[dict[str, Any]]:
    """All pages of what the lead sees."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        read = caller.read("/disclosures", limit="2", **query, **cursor)
        found += read["items"]
        if read["next"] is None:
            return found
        cursor = {"cursor": read["next"]}


# Seen by no one else


def test_p15_nobody_else_can_tell_whether_there_is_one(system: System, inside: Inside) -> None:
    # Given two families, of whom the same is known
    watched, other = system.an_open_case(), system.an_open_case()
    people = {case_id: system.a_person(case_id) for case_id in (watched, other)}
    eventually(lambda: [status for c in people for status in letters(system, c)] == ["delivered", "delivered"])
    before = seen(system, watched)
    # When something is recorded about one of them, refused once for its form, reviewed, held and read
    with inside.listening() as heard:
        bad = system.caseworker.post(f"/cases/{watched}/disclosures", {**worry(), "what": ""})
        assert problem(bad) == (400, "invalid")
        id = told(system.caseworker.post(f"/cases/{watched}/disclosures", worry()))
        system.lead.made(f"/disclosures/{id}/review", {"outcome": "justified", "words": "yes"})
        read = system.lead.get(f"/disclosures/{id}")
        hold = {"until": "2099-12-31", "reason": "an inquiry"}
        match = {"If-Match": read.headers["ETag"]}
        held = system.data_protection.call("PUT", f"/disclosures/{id}/hold", json=hold, headers=match)
        assert held.status_code == 200
        eventually(lambda: alerts(system, id))
        said = heard()
    # Then nothing was said to any other service about it
    assert [key for key, body in said if watched.encode() in body or id.encode() in body] == []
    # And everything that others see of that family is as it was, and as it is of the other family
    assert seen(system, watched) == before
    seen(system, other)
    for caller in (system.caseworker, system.manager, system.auditor):
        assert problem(caller.get(f"/disclosures/{id}")) == (403, "forbidden")
        assert problem(caller.get("/disclosures")) == (403, "forbidden")
    assert audit_of(system.auditor, watched) == audit_of(system.auditor, other)
    assert id not in json.dumps(system.auditor.read("/audit/case", limit="200"))
    # While the lead and data protection see it, and data protection who did what with it
    assert [item["id"] for item in system.lead.read(f"/cases/{watched}/disclosures")["items"]] == [id]
    done = {row["action"] for row in system.data_protection.read("/audit/case", case_id=watched, limit="200")["items"]}
    assert "disclosures.record_disclosure" in done
    # And when both are forgotten, receipts and certificates don't tell them apart
    ends = [ending(system, case_id) for case_id in (watched, other)]
    assert ends[0] == ends[1]
    # Nor does what is answered afterwards
    answers = [system.caseworker.get(f"/cases/{case_id}/disclosures").json() for case_id in (watched, other)]
    assert answers[0] == answers[1]
    # And the record has outlived the file
    assert system.lead.read(f"/disclosures/{id}")["what"] == "bruises on both arms, seen today"
    assert [item["id"] for item in system.lead.read(f"/cases/{watched}/disclosures")["items"]] == [id]
    assert inside.left_of(watched) == []


def letters(system: System, case_id: str) -> list[str]:
    return [one["status"] for one in system.caseworker.read("/notifications", case_id=case_id)["items"]]


def seen(system: System, case_id: str) -> dict[str, Any]:
    """What casework sees of a family: the answers, their ETags, and every list."""
    paths = ("", "/people", "/entries", "/contacts", "/disclosures", "/documents", "/paper-files")
    answers = {path: system.caseworker.get(f"/cases/{case_id}{path}") for path in paths}
    shown = {path: (a.status_code, a.json(), a.headers.get("ETag")) for path, a in answers.items()}
    return {
        **shown,
        "notifications": system.caseworker.read("/notifications", case_id=case_id),
        "consents": system.caseworker.read("/consents", case_id=case_id),
    }


def audit_of(caller: Caller, case_id: str) -> dict[str, set[tuple[str, str, str, int]]]:
    """What was done about a case as the caller sees it, in every service."""
    return {
        service: {
            (row["action"], row["role"], row["outcome"], row["status"])
            for row in caller.read(f"/audit/{service}", case_id=case_id, limit="200")["items"]
        }
        for service in ("case", "document", "consent", "notifier")
    }


def ending(system: System, case_id: str) -> tuple[Any, ...]:
    """What is said when a family is forgotten, but for ids and times."""
    request_id, certificate = forget(system, case_id)
    receipts = system.auditor.read(f"/requests/{request_id}/receipts")["items"]
    counts = sorted(
        (r["service"], r["attempt"], r["outcome"], s["store"], s["found"], s["deleted"], s["remaining"])
        for r in receipts
        for s in r["stores"]
    )
    late = [(r["service"], r["late"]) for r in sorted(receipts, key=lambda r: r["service"])]
    plain = {name: certificate[name] for name in ("kept_promise", "last_letter", "what_remains", "paper")}
    # Organisations that no family names any more are the whole office's: other tests leave some, for a minute.
    plain["what_remains"] = [one for one in plain["what_remains"] if "no family names any more" not in one["what"]]
    assert certificate_of(system, request_id)["case"] == case_id
    return counts, late, plain
