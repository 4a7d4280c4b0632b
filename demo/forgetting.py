"""The heart of the story: asked by phone, confirmed by a colleague, erased everywhere, certified."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from rich.console import RenderableType

from demo.narrator import drawn, until
from demo.office import Failed
from demo.run import Demo
from shared.events import SERVICES

_CHECKED = ["family", "authority", "safeguarding"]
_HEADS = ("service", "answer", "found", "deleted", "remaining", "still to come")
_ERASED_WITHIN_S = 60
_LETTER_WITHIN_S = 60


def asked(demo: Demo) -> None:
    """A parent rings; from now on the case is frozen."""
    body = {
        "kind": "erasure",
        "case_id": demo.case_id,
        "received_at": datetime.now(UTC).isoformat(),
        "channel": "phone",
        "made_by": {"person_id": demo.people["by post"], "authority": "parental_responsibility"},
    }
    made = demo.worker.post("consent", "/requests", body)
    demo.request_id = str(made["id"])
    demo.narrator.done(f"Logged by Ada, due {made['due_on']}; it waits on: {', '.join(made['waiting_on'])}")
    own = {"checked": _CHECKED}
    path = f"/requests/{demo.request_id}/confirmation"
    demo.worker.refused("consent", "POST", path, 403, "forbidden", json=own)
    demo.narrator.refused("403 forbidden: Ada logged it, so Ada can't confirm it.")
    until(
        lambda: bool(demo.worker.get("case", f"/cases/{demo.case_id}")["frozen"]),
        within_s=20,
        expected="the case frozen by the request",
        services=("consent", "case"),
    )
    note = {"kind": "note", "text": "One more thing"}
    demo.worker.refused("case", "POST", f"/cases/{demo.case_id}/entries", 423, "frozen", json=note)
    demo.narrator.refused("423 frozen: nothing is added to a case whose erasure was asked for.")


def confirmed(demo: Demo) -> None:
    """The colleague confirms, and the four services answer one by one."""
    demo.letters_before = demo.outbound
    path = f"/requests/{demo.request_id}/confirmation"
    demo.colleague.post("consent", path, {"checked": _CHECKED}, status=200)
    demo.narrator.done("Ben confirms: this is the family, they may ask it, no safeguarding concern stands.")
    told: set[str] = set()

    def shown() -> RenderableType:
        return drawn(_HEADS, _rows(receipts))

    receipts: list[dict[str, Any]] = []

    def answered() -> bool:
        receipts[:] = _receipts(demo)
        if not demo.narrator.console.is_terminal:
            for receipt in receipts:
                if receipt["service"] not in told:
                    told.add(receipt["service"])
                    demo.narrator.done(" ".join(_row(receipt["service"], receipt)[:2]))
        if failed := [r["service"] for r in receipts if r["outcome"] == "failed"]:
            raise Failed("every service reads back and finds nothing", f"{failed[0]} still has something", *failed)
        return bool(demo.request()["waiting_on"] == ["paper"])

    with demo.narrator.waiting("Erasing, and reading back …", shown):
        until(answered, within_s=_ERASED_WITHIN_S, expected="a receipt of all four services", services=SERVICES)
    demo.narrator.table(_HEADS, _rows(receipts))
    demo.worker.refused("case", "GET", f"/cases/{demo.case_id}", 410, "erased")
    demo.narrator.done("The case is 410 erased by every door. It waits on: paper")


def shredded(demo: Demo) -> None:
    """Paper is certified by one who did it and one who saw it."""
    body = {"method": "shredded", "by": "Ada", "witnessed_by": "Ben"}
    answer = demo.worker.ask("POST", "document", f"/paper-files/{demo.paper_id}/disposal", json=body)
    if not answer.ok:
        raise Failed("the disposal taken", f"status {answer.status_code}", "document")
    demo.narrator.done("Shredded by Ada, witnessed by Ben.")


def certified(demo: Demo) -> None:
    """The last letter goes when everything is gone, and then the certificate is signed."""
    with demo.narrator.waiting("The last letter goes; the certificate is signed …"):
        until(
            lambda: bool(demo.request()["status"] == "completed"),
            within_s=_LETTER_WITHIN_S,
            expected="the request completed",
            services=("consent", "notifier", "document"),
        )
    answer = demo.dpo.ask("GET", "consent", f"/requests/{demo.request_id}/certificate")
    if answer.status_code != 200:
        raise Failed("the certificate", f"status {answer.status_code}", "consent")
    demo.certificate = answer.content
    went = sorted(path.suffix for path in demo.outbound - demo.letters_before)
    if ".pdf" not in went or ".eml" not in went:
        raise Failed("a last letter in post and one in mail", f"{len(went)} went", "notifier")
    demo.narrator.done(f"Last letter in {demo.post_place}, last email in {demo.mail_place}.")
    demo.narrator.done(f"Completed; it was due on {demo.request()['due_on']}. The certificate is signed.")


def _receipts(demo: Demo) -> list[dict[str, Any]]:
    return list(demo.dpo.get("consent", f"/requests/{demo.request_id}/receipts")["items"])


def _rows(receipts: Iterable[dict[str, Any]]) -> list[tuple[str, ...]]:
    latest = {str(receipt["service"]): receipt for receipt in receipts}
    return [_row(service, latest.get(service)) for service in SERVICES]


def _row(service: str, receipt: dict[str, Any] | None) -> tuple[str, ...]:
    if receipt is None:
        return service, "…", "", "", "", ""
    counts = [str(sum(int(store[name]) for store in receipt["stores"])) for name in ("found", "deleted", "remaining")]
    return service, str(receipt["outcome"]).replace("_", " "), *counts, ", ".join(receipt["late"])
