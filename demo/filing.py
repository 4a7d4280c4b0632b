"""The middle of the story: a scan and a paper file, and finding them again by what a family says on the phone."""

from __future__ import annotations

import hashlib
from typing import Any

from demo.family import without_accents
from demo.office import Failed
from demo.run import Demo, LocalDemo


def scan(demo: Demo) -> None:
    """The scan is encrypted from its first byte, and comes back as it was."""
    fields = {"kind": "ehc_plan", "source": "family", "title": demo.family.scan_title}
    with demo.narrator.waiting("Encrypting while it streams in …"):
        filed = demo.worker.upload(f"/cases/{demo.case_id}/documents", demo.scan_name, demo.scan, fields)
    digest = hashlib.sha256(demo.scan).hexdigest()
    if (filed["sha256"], filed["state"], filed["size"]) != (digest, "accepted", len(demo.scan)):
        raise Failed("the scan accepted with its own size and sha256", f"it is {filed['state']}", "document")
    answer = demo.worker.ask("GET", "document", f"/documents/{filed['id']}/content")
    if answer.status_code != 200 or answer.content != demo.scan:
        raise Failed("the scan's own bytes when it is downloaded", f"{answer.status_code}, other bytes", "document")
    about = f"{filed['media_type']}, {_pages(filed['pages'])}, {len(demo.scan) // 1024} kB"
    demo.narrator.done(f"{demo.family.scan_title}: {about}, read back whole.")


def _pages(count: int) -> str:
    return "1 page" if count == 1 else f"{count} pages"


def paper(demo: Demo) -> None:
    """The paper it came from has its place too; an erasure will wait for it."""
    body = {"location": demo.family.paper_location, "description": demo.family.paper_description, "pages": 12}
    made = demo.worker.post("document", f"/cases/{demo.case_id}/paper-files", body)
    demo.paper_id = str(made["id"])
    demo.narrator.done(f"Paper file {made['label']}: {demo.family.paper_description} ({demo.family.paper_location})")


def finding(demo: Demo) -> None:
    """By name without accents, by postcode, by phone: through keyed hashes, since the names are encrypted."""
    family = demo.family
    born = family.child_born.isoformat()
    compact = family.postcode.replace(" ", "").lower()
    asked: list[tuple[str, dict[str, Any]]] = [
        (without_accents(family.surname).upper(), {"date_of_birth": born}),
        (compact, {"postcode": compact}),
        ("+44 " + family.by_post.phone[1:], {"phone": "+44 " + family.by_post.phone[1:]}),
        (family.by_email.email.upper(), {"email": family.by_email.email.upper()}),
        (demo.reference, {"reference": demo.reference}),
    ]
    asked[0][1]["family_name"] = asked[0][0]
    for words, body in asked:
        items = demo.worker.post("case", "/cases/search", body, status=200)["items"]
        if demo.case_id not in [item["case_id"] for item in items]:
            raise Failed(f"the case found by {', '.join(body)}", f"{len(items)} other cases", "case")
        demo.narrator.done(f"{words}  →  {demo.reference}")


def before_search(demo: LocalDemo) -> None:
    """The family lives in the system, and their words lie nowhere in its files."""
    with demo.narrator.waiting("Reading every file …"):
        found = demo.search()
    lines = demo.canary.without(found)
    if lines:
        for line in lines:
            demo.narrator.failed(line)
        raise Failed("none of the family's words in any file", f"{len(lines)} places have them")
    demo.watch.collect()
    size = found.size // 2**20
    demo.narrator.done(f"{len(demo.wanted)} needles, {found.files} files, {size} MB: no hit, though the case is open.")
