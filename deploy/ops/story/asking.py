"""The story's beginning: nothing is kept before the family agrees, and then only what they agreed to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from deploy.ops.story.family import Adult
from deploy.ops.story.office import Failed
from deploy.ops.story.tale import Telling
from deploy.ops.story.teller import until

_OPEN_WITHIN_S = 20
_WRITTEN_WITHIN_S = 40


def shell(tale: Telling) -> None:
    """A case that has a reference, and nobody in it."""
    made = tale.worker.post("case", "/cases", {"channel": "phone"})
    tale.case_id, tale.reference = str(made["id"]), str(made["reference"])
    if made["state"] != "shell":
        raise Failed("a case in the state shell", f"its state is {made['state']}", "case")
    tale.teller.done(f"A shell: reference {tale.reference}. It ends by itself on {made['expires_at'][:10]}.")


def too_early(tale: Telling) -> None:
    """A name before consent is refused, and nothing of it is kept."""
    path = f"/cases/{tale.case_id}/people"
    body = _person(tale.family.by_post, role="parent")
    problem = tale.worker.refused("case", "POST", path, 409, "consent-required", json=body)
    tale.teller.refused(f"409 consent-required: {problem['detail']}")
    if people := tale.worker.get("case", f"/cases/{tale.case_id}")["people"]:
        raise Failed("a shell with nobody in it", f"it has {len(people)} people", "case")


def consent(tale: Telling) -> None:
    """The family hears the statement, and agrees to casework."""
    statement = tale.worker.get("consent", "/statement")
    tale.teller.note(f"Statement {statement['version']}, read to the parent (sha256 {statement['sha256'][:12]}…)")
    family = tale.family
    given_by = {"name": family.by_post.name, "capacity": "parental_responsibility"}
    tale.worker.post("consent", "/consents", _consent(tale, statement["version"], given_by, "casework"))
    until(
        lambda: tale.worker.get("case", f"/cases/{tale.case_id}")["state"] == "open",
        within_s=_OPEN_WITHIN_S,
        expected="the case opens when the consent service tells of the consent",
        services=("consent", "case"),
    )
    tale.teller.done(f"{family.by_post.name} agrees to casework: the shell becomes an open case.")


def people(tale: Telling) -> None:
    """Two parents and a child; one parent wants letters, the other agrees to email as well."""
    family, path = tale.family, f"/cases/{tale.case_id}/people"
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
        tale.people[who] = str(tale.worker.post("case", path, body)["id"])
    version = tale.worker.get("consent", "/statement")["version"]
    given_by = {
        "name": family.by_email.name,
        "person_id": tale.people["by email"],
        "capacity": "parental_responsibility",
    }
    tale.worker.post("consent", "/consents", _consent(tale, version, given_by, "casework", "email"))
    tale.teller.done(f"{family.by_post.name}, by post; {family.by_email.name}, who agrees to email")
    tale.teller.done(
        f"Their child {family.child_given_name}, born {family.child_born:%-d %B %Y}. Each encrypted as stored."
    )


def entries(tale: Telling) -> None:
    """What the family wants, what is done, what came of it."""
    for kind, text in (("wish", tale.family.wish), ("action", tale.family.action), ("outcome", tale.family.outcome)):
        tale.worker.post("case", f"/cases/{tale.case_id}/entries", {"kind": kind, "text": text})
        tale.teller.done(f"{kind}: {text}")


def opening_letters(tale: Telling) -> None:
    """Each parent has an opening letter, in the way that they chose."""
    expected = "a letter and an email, both delivered"

    def delivered() -> bool:
        items = tale.worker.get("notifier", "/notifications", case_id=tale.case_id)["items"]
        stuck = [item for item in items if item["status"] in ("failed", "needs_attention", "cancelled")]
        if stuck:
            raise Failed(expected, f"one {stuck[0]['channel']} is {stuck[0]['status']}", "notifier")
        return sorted(i["channel"] for i in items if i["status"] == "delivered") == ["email", "letter"]

    with tale.teller.waiting("The notifier writes them …"):
        until(delivered, within_s=_WRITTEN_WITHIN_S, expected=expected, services=("notifier", "consent"))
    tale.teller.done(f"A letter to {tale.family.by_post.given_name}: a tagged PDF/A in {tale.post_place}")
    tale.teller.done(f"An email to {tale.family.by_email.given_name}: in {tale.mail_place}")


def _person(adult: Adult, **more: Any) -> dict[str, Any]:
    return {"given_name": adult.given_name, "family_name": adult.family_name, **more}


def _consent(tale: Telling, version: str, given_by: dict[str, str], *purposes: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "case_id": tale.case_id,
        "decision": "given",
        "given_by": given_by,
        "channel": "phone",
        "informed_at": (now - timedelta(minutes=4)).isoformat(),
        "given_at": now.isoformat(),
        "statement_version": version,
        "purposes": [{"purpose": purpose} for purpose in purposes],
    }
