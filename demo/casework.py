"""Demo steps: open a case, record consent, add people and entries, wait for the opening letters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from demo.client import Failed, until
from demo.family import Adult
from demo.run import Demo

_OPEN_WITHIN_S = 20
_WRITTEN_WITHIN_S = 40


def open_case(demo: Demo) -> None:
    """Open a case: it has a reference and no people."""
    made = demo.worker.post("case", "/cases", {"channel": "phone"})
    demo.case_id, demo.reference = str(made["id"]), str(made["reference"])
    if made["state"] != "shell":
        raise Failed("a case in the state shell", f"its state is {made['state']}", "case")
    demo.output.done(f"A shell: reference {demo.reference}. It expires on {made['expires_at'][:10]}.")


def try_name_before_consent(demo: Demo) -> None:
    """Check that a name before consent is refused and not stored."""
    path = f"/cases/{demo.case_id}/people"
    body = _person(demo.family.by_post, role="parent")
    problem = demo.worker.expect_refusal("case", "POST", path, 409, "consent-required", json=body)
    demo.output.refused(f"409 consent-required: {problem['detail']}")
    if people := demo.worker.get("case", f"/cases/{demo.case_id}")["people"]:
        raise Failed("a shell without people", f"it has {len(people)}", "case")


def record_consent(demo: Demo) -> None:
    """Record that a parent heard the statement and agrees to casework; wait until the case is open."""
    statement = demo.worker.get("consent", "/statement")
    demo.output.note(f"Statement {statement['version']}, read to the parent (sha256 {statement['sha256'][:12]}…)")
    family = demo.family
    given_by = {"name": family.by_post.name, "capacity": "parental_responsibility"}
    demo.worker.post("consent", "/consents", _consent(demo, statement["version"], given_by, "casework"))
    until(
        lambda: demo.worker.get("case", f"/cases/{demo.case_id}")["state"] == "open",
        within_s=_OPEN_WITHIN_S,
        expected="the case opens after the consent service publishes the consent",
        services=("consent", "case"),
    )
    demo.output.done(f"{family.by_post.name} agrees to casework: the shell becomes an open case.")


def add_people(demo: Demo) -> None:
    """Add two parents and a child; one parent prefers letters, the other also agrees to email."""
    family, path = demo.family, f"/cases/{demo.case_id}/people"
    first = _person(family.by_post, role="parent", address=family.address, phone=family.by_post.phone,
                    parental_responsibility=True, preferred_channel="letter")  # fmt: skip
    second = _person(family.by_email, role="parent", email=family.by_email.email, preferred_channel="email",
                     parental_responsibility=True)  # fmt: skip
    child = {
        "role": "child",
        "given_name": family.child_given_name,
        "family_name": family.surname,
        "date_of_birth": family.child_born.isoformat(),
    }
    for who, body in (("by post", first), ("by email", second), ("child", child)):
        demo.people[who] = str(demo.worker.post("case", path, body)["id"])
    version = demo.worker.get("consent", "/statement")["version"]
    given_by = {
        "name": family.by_email.name,
        "person_id": demo.people["by email"],
        "capacity": "parental_responsibility",
    }
    demo.worker.post("consent", "/consents", _consent(demo, version, given_by, "casework", "email"))
    demo.output.done(f"{family.by_post.name}, by post; {family.by_email.name}, who agrees to email")
    demo.output.done(
        f"Their child {family.child_given_name}, born {family.child_born:%-d %B %Y}. Each is stored encrypted."
    )


def add_entries(demo: Demo) -> None:
    """Add a wish, an action and an outcome."""
    for kind, text in (("wish", demo.family.wish), ("action", demo.family.action), ("outcome", demo.family.outcome)):
        demo.worker.post("case", f"/cases/{demo.case_id}/entries", {"kind": kind, "text": text})
        demo.output.done(f"{kind}: {text}")


def wait_for_letters(demo: Demo) -> None:
    """Wait until each parent has got an opening letter by their preferred channel."""
    expected = "a letter and an email, both delivered"

    def delivered() -> bool:
        items = demo.worker.get("notifier", "/notifications", case_id=demo.case_id)["items"]
        stuck = [item for item in items if item["status"] in ("failed", "needs_attention", "cancelled")]
        if stuck:
            raise Failed(expected, f"one {stuck[0]['channel']} is {stuck[0]['status']}", "notifier")
        return sorted(i["channel"] for i in items if i["status"] == "delivered") == ["email", "letter"]

    with demo.output.waiting("The notifier sends them …"):
        until(delivered, within_s=_WRITTEN_WITHIN_S, expected=expected, services=("notifier", "consent"))
    demo.output.done(f"A letter to {demo.family.by_post.given_name}: a tagged PDF/A in {demo.post_place}")
    demo.output.done(f"An email to {demo.family.by_email.given_name}: in {demo.mail_place}")


def _person(adult: Adult, **more: Any) -> dict[str, Any]:
    return {"given_name": adult.given_name, "family_name": adult.family_name, **more}


def _consent(demo: Demo, version: str, given_by: dict[str, str], *purposes: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "case_id": demo.case_id,
        "decision": "given",
        "given_by": given_by,
        "channel": "phone",
        "informed_at": (now - timedelta(minutes=4)).isoformat(),
        "given_at": now.isoformat(),
        "statement_version": version,
        "purposes": [{"purpose": purpose} for purpose in purposes],
    }
