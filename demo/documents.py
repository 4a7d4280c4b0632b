"""Demo steps: file a scan, register a paper file, find the case by what a family says on the phone."""

from __future__ import annotations

import hashlib

from demo.client import Failed
from demo.family import without_accents
from demo.run import Demo


def upload_scan(demo: Demo) -> None:
    """Upload the scan, and check that the download has the same bytes."""
    fields = {"kind": "ehc_plan", "source": "family", "title": demo.family.scan_title}
    with demo.output.waiting("Uploading and encrypting …"):
        filed = demo.worker.upload(f"/cases/{demo.case_id}/documents", demo.scan_name, demo.scan, fields)
    digest = hashlib.sha256(demo.scan).hexdigest()
    if (filed["sha256"], filed["state"], filed["size"]) != (digest, "accepted", len(demo.scan)):
        raise Failed("the scan accepted with its own size and sha256", f"it is {filed['state']}", "document")
    answer = demo.worker.request("GET", "document", f"/documents/{filed['id']}/content")
    if answer.status_code != 200 or answer.content != demo.scan:
        raise Failed("a download with the scan's bytes", f"{answer.status_code}, other bytes", "document")
    about = f"{filed['media_type']}, {_pages(filed['pages'])}, {len(demo.scan) // 1024} kB"
    demo.output.done(f"{demo.family.scan_title}: {about}, downloaded unchanged.")


def _pages(count: int | None) -> str:
    if count is None:
        return "without pages"
    return "1 page" if count == 1 else f"{count} pages"


def register_paper(demo: Demo) -> None:
    """Register the paper that was scanned; an erasure waits for its disposal."""
    body = {"location": demo.family.paper_location, "description": demo.family.paper_description, "pages": 12}
    made = demo.worker.post("document", f"/cases/{demo.case_id}/paper-files", body)
    demo.paper_id = str(made["id"])
    demo.output.done(f"Paper file {made['label']}: {demo.family.paper_description} ({demo.family.paper_location})")


def find_case(demo: Demo) -> None:
    """Find the case by name without accents, postcode, phone, email and reference."""
    family = demo.family
    born = family.child_born.isoformat()
    compact = family.postcode.replace(" ", "").lower()
    queries = [
        {"family_name": without_accents(family.surname).upper(), "date_of_birth": born},
        {"postcode": compact},
        {"phone": "+44 " + family.by_post.phone[1:]},
        {"email": family.by_email.email.upper()},
        {"reference": demo.reference},
    ]
    for body in queries:
        items = demo.worker.post("case", "/cases/search", body, status=200)["items"]
        if demo.case_id not in [item["case_id"] for item in items]:
            raise Failed(f"the case found by {', '.join(body)}", f"{len(items)} other cases", "case")
        demo.output.done(f"{next(iter(body.values()))}  →  {demo.reference}")
