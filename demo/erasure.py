"""Demo steps: request an erasure, confirm it, dispose of the paper, wait for the certificate."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from rich.console import RenderableType

from demo.client import Failed, until
from demo.output import rendered_table
from demo.run import Demo
from shared.events import SERVICES

_CHECKED = ["family", "authority", "safeguarding"]
_HEADS = ("service", "answer", "found", "deleted", "remaining", "still to come")
_ERASED_WITHIN_S = 60
_LETTER_WITHIN_S = 60


def request_erasure(demo: Demo) -> None:
    """Log a parent's request, check who can't confirm it, and check that the case is frozen."""
    body = {
        "kind": "erasure",
        "case_id": demo.case_id,
        "received_at": datetime.now(UTC).isoformat(),
        "channel": "phone",
        "made_by": {"person_id": demo.people["by post"], "authority": "parental_responsibility"},
    }
    made = demo.worker.post("consent", "/requests", body)
    demo.request_id = str(made["id"])
    demo.output.done(f"Logged by Ada, due {made['due_on']}; it waits on: {', '.join(made['waiting_on'])}")
    own = {"checked": _CHECKED}
    path = f"/requests/{demo.request_id}/confirmation"
    demo.worker.expect_refusal("consent", "POST", path, 403, "forbidden", json=own)
    demo.output.refused("403 forbidden: Ada logged it, so Ada can't confirm it.")
    until(
        lambda: bool(demo.worker.get("case", f"/cases/{demo.case_id}")["frozen"]),
        within_s=20,
        expected="the case frozen by the request",
        services=("consent", "case"),
    )
    note = {"kind": "note", "text": "One more thing"}
    demo.worker.expect_refusal("case", "POST", f"/cases/{demo.case_id}/entries", 423, "frozen", json=note)
    demo.output.refused("423 frozen: nothing can be added to a case after a request for its erasure.")


def confirm_erasure(demo: Demo) -> None:
    """Confirm the request as a colleague, and wait for the receipts of the four services."""
    demo.sent_before = demo.sent
    path = f"/requests/{demo.request_id}/confirmation"
    demo.colleague.post("consent", path, {"checked": _CHECKED}, status=200)
    demo.output.done("Ben confirms: this is the family, they may ask it, no safeguarding concern stands.")
    printed: set[str] = set()
    receipts: list[dict[str, Any]] = []

    def table() -> RenderableType:
        return rendered_table(_HEADS, _rows(receipts))

    def erased() -> bool:
        receipts[:] = demo.dpo.get("consent", f"/requests/{demo.request_id}/receipts")["items"]
        if not demo.output.console.is_terminal:
            for receipt in receipts:
                if receipt["service"] not in printed:
                    printed.add(receipt["service"])
                    demo.output.done(" ".join(_row(receipt["service"], receipt)[:2]))
        if failed := [r["service"] for r in receipts if r["outcome"] == "failed"]:
            raise Failed("every service reads back and finds nothing", f"{failed[0]} still has something", *failed)
        return {"paper"} <= set(demo.erasure_request()["waiting_on"]) <= {"paper", "elsewhere"}

    with demo.output.waiting("Erasing, and reading back …", table):
        until(erased, within_s=_ERASED_WITHIN_S, expected="a receipt of all four services", services=SERVICES)
    demo.output.table(_HEADS, _rows(receipts))
    demo.worker.expect_refusal("case", "GET", f"/cases/{demo.case_id}", 410, "erased")
    waits = ", ".join(demo.erasure_request()["waiting_on"])
    demo.output.done(f"The API says that the case is erased (410). The request waits on: {waits}")


def shred_paper(demo: Demo) -> None:
    """Record the disposal of the paper, with a witness."""
    body = {"method": "shredded", "by": "Ada", "witnessed_by": "Ben"}
    answer = demo.worker.request("POST", "document", f"/paper-files/{demo.paper_id}/disposal", json=body)
    if not answer.ok:
        raise Failed("the disposal recorded", f"status {answer.status_code}", "document")
    demo.output.done("Shredded by Ada, witnessed by Ben.")
    if "elsewhere" in demo.erasure_request()["waiting_on"]:
        # A deployment has one place outside the software unless it is told of others.
        emptied = {"place": "printer", "by": "Ada"}
        demo.worker.post("consent", f"/requests/{demo.request_id}/elsewhere", emptied, status=200)
        demo.output.done("No letter is left in the printer's folder, Ada certifies.")


def wait_for_certificate(demo: Demo) -> None:
    """Wait until the last letter is sent and the certificate is signed."""
    with demo.output.waiting("Sending the last letter and signing the certificate …"):
        until(
            lambda: bool(demo.erasure_request()["status"] == "completed"),
            within_s=_LETTER_WITHIN_S,
            expected="the request completed",
            services=("consent", "notifier", "document"),
        )
    answer = demo.dpo.request("GET", "consent", f"/requests/{demo.request_id}/certificate")
    if answer.status_code != 200:
        raise Failed("the certificate", f"status {answer.status_code}", "consent")
    demo.certificate = answer.content
    sent = {path.suffix for path in demo.sent if path not in demo.sent_before}
    if not sent >= {".pdf", ".eml"}:
        raise Failed("a last letter by post and one by email", f"sent: {', '.join(sent) or 'none'}", "notifier")
    demo.output.done(f"Last letter in {demo.post_place}, last email in {demo.mail_place}.")
    demo.output.done(f"Completed; it was due on {demo.erasure_request()['due_on']}. The certificate is signed.")


def _rows(receipts: Iterable[dict[str, Any]]) -> list[tuple[str, ...]]:
    latest = {str(receipt["service"]): receipt for receipt in receipts}
    return [_row(service, latest.get(service)) for service in SERVICES]


def _row(service: str, receipt: dict[str, Any] | None) -> tuple[str, ...]:
    if receipt is None:
        return service, "…", "", "", "", ""
    counts = [str(sum(int(store[name]) for store in receipt["stores"])) for name in ("found", "deleted", "remaining")]
    return service, str(receipt["outcome"]).replace("_", " "), *counts, ", ".join(receipt["late"])
