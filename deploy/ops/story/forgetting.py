"""The heart of the story: asked by phone, confirmed by a colleague, erased everywhere, certified."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from rich.console import RenderableType

from deploy.ops.story.office import Failed
from deploy.ops.story.tale import Telling
from deploy.ops.story.teller import drawn, until
from shared.events import SERVICES

_CHECKED = ["family", "authority", "safeguarding"]
_HEADS = ("service", "answer", "found", "deleted", "remaining", "still to come")
_ERASED_WITHIN_S = 60
_LETTER_WITHIN_S = 60


def asked(tale: Telling) -> None:
    """A parent rings; from now on the case is frozen."""
    body = {
        "kind": "erasure",
        "case_id": tale.case_id,
        "received_at": datetime.now(UTC).isoformat(),
        "channel": "phone",
        "made_by": {"person_id": tale.people["by post"], "authority": "parental_responsibility"},
    }
    made = tale.worker.post("consent", "/requests", body)
    tale.request_id = str(made["id"])
    tale.teller.done(f"Logged by Ada, due {made['due_on']}; it waits on: {', '.join(made['waiting_on'])}")
    own = {"checked": _CHECKED}
    path = f"/requests/{tale.request_id}/confirmation"
    tale.worker.refused("consent", "POST", path, 403, "forbidden", json=own)
    tale.teller.refused("403 forbidden: Ada logged it, so Ada can't confirm it.")
    until(
        lambda: bool(tale.worker.get("case", f"/cases/{tale.case_id}")["frozen"]),
        within_s=20,
        expected="the case frozen by the request",
        services=("consent", "case"),
    )
    note = {"kind": "note", "text": "One more thing"}
    tale.worker.refused("case", "POST", f"/cases/{tale.case_id}/entries", 423, "frozen", json=note)
    tale.teller.refused("423 frozen: nothing is added to a case whose erasure was asked for.")


def confirmed(tale: Telling) -> None:
    """The colleague confirms, and the four services answer one by one."""
    tale.letters_before = tale.outbound
    path = f"/requests/{tale.request_id}/confirmation"
    tale.colleague.post("consent", path, {"checked": _CHECKED}, status=200)
    tale.teller.done("Ben confirms: this is the family, they may ask it, no safeguarding concern stands.")
    told: set[str] = set()

    def shown() -> RenderableType:
        return drawn(_HEADS, _rows(receipts))

    receipts: list[dict[str, Any]] = []

    def answered() -> bool:
        receipts[:] = _receipts(tale)
        if not tale.teller.console.is_terminal:
            for receipt in receipts:
                if receipt["service"] not in told:
                    told.add(receipt["service"])
                    tale.teller.done(" ".join(_row(receipt["service"], receipt)[:2]))
        if failed := [r["service"] for r in receipts if r["outcome"] == "failed"]:
            raise Failed("every service reads back and finds nothing", f"{failed[0]} still has something", *failed)
        return bool(tale.request()["waiting_on"] == ["paper"])

    with tale.teller.waiting("Erasing, and reading back …", shown):
        until(answered, within_s=_ERASED_WITHIN_S, expected="a receipt of all four services", services=SERVICES)
    tale.teller.table(_HEADS, _rows(receipts))
    tale.worker.refused("case", "GET", f"/cases/{tale.case_id}", 410, "erased")
    tale.teller.done("The case is 410 erased by every door. It waits on: paper")


def shredded(tale: Telling) -> None:
    """Paper is certified by one who did it and one who saw it."""
    body = {"method": "shredded", "by": "Ada", "witnessed_by": "Ben"}
    answer = tale.worker.ask("POST", "document", f"/paper-files/{tale.paper_id}/disposal", json=body)
    if not answer.ok:
        raise Failed("the disposal taken", f"status {answer.status_code}", "document")
    tale.teller.done("Shredded by Ada, witnessed by Ben.")


def certified(tale: Telling) -> None:
    """The last letter goes when everything is gone, and then the certificate is signed."""
    with tale.teller.waiting("The last letter goes; the certificate is signed …"):
        until(
            lambda: bool(tale.request()["status"] == "completed"),
            within_s=_LETTER_WITHIN_S,
            expected="the request completed",
            services=("consent", "notifier", "document"),
        )
    answer = tale.dpo.ask("GET", "consent", f"/requests/{tale.request_id}/certificate")
    if answer.status_code != 200:
        raise Failed("the certificate", f"status {answer.status_code}", "consent")
    tale.certificate = answer.content
    went = sorted(path.suffix for path in tale.outbound - tale.letters_before)
    if ".pdf" not in went or ".eml" not in went:
        raise Failed("a last letter in post and one in mail", f"{len(went)} went", "notifier")
    tale.teller.done(f"Last letter in {tale.post_place}, last email in {tale.mail_place}.")
    tale.teller.done(f"Completed; it was due on {tale.request()['due_on']}. The certificate is signed.")


def _receipts(tale: Telling) -> list[dict[str, Any]]:
    return list(tale.dpo.get("consent", f"/requests/{tale.request_id}/receipts")["items"])


def _rows(receipts: Iterable[dict[str, Any]]) -> list[tuple[str, ...]]:
    latest = {str(receipt["service"]): receipt for receipt in receipts}
    return [_row(service, latest.get(service)) for service in SERVICES]


def _row(service: str, receipt: dict[str, Any] | None) -> tuple[str, ...]:
    if receipt is None:
        return service, "…", "", "", "", ""
    counts = [str(sum(int(store[name]) for store in receipt["stores"])) for name in ("found", "deleted", "remaining")]
    return service, str(receipt["outcome"]).replace("_", " "), *counts, ", ".join(receipt["late"])
