"""The middle of the story: a scan and a paper file, and finding them again by what a family says on the phone."""

from __future__ import annotations

import hashlib
from typing import Any

from deploy.ops.story.family import without_accents
from deploy.ops.story.office import Failed
from deploy.ops.story.tale import Tale, Telling


def scan(tale: Telling) -> None:
    """The scan is encrypted from its first byte, and comes back as it was."""
    fields = {"kind": "ehc_plan", "source": "family", "title": tale.family.scan_title}
    with tale.teller.waiting("Encrypting while it streams in …"):
        filed = tale.worker.upload(f"/cases/{tale.case_id}/documents", tale.scan_name, tale.scan, fields)
    digest = hashlib.sha256(tale.scan).hexdigest()
    if (filed["sha256"], filed["state"], filed["size"]) != (digest, "accepted", len(tale.scan)):
        raise Failed("the scan accepted with its own size and sha256", f"it is {filed['state']}", "document")
    answer = tale.worker.ask("GET", "document", f"/documents/{filed['id']}/content")
    if answer.status_code != 200 or answer.content != tale.scan:
        raise Failed("the scan's own bytes when it is downloaded", f"{answer.status_code}, other bytes", "document")
    about = f"{filed['media_type']}, {_pages(filed['pages'])}, {len(tale.scan) // 1024} kB"
    tale.teller.done(f"{tale.family.scan_title}: {about}, read back whole.")


def _pages(count: int) -> str:
    return "1 page" if count == 1 else f"{count} pages"


def paper(tale: Telling) -> None:
    """The paper it came from has its place too; an erasure will wait for it."""
    body = {"location": tale.family.paper_location, "description": tale.family.paper_description, "pages": 12}
    made = tale.worker.post("document", f"/cases/{tale.case_id}/paper-files", body)
    tale.paper_id = str(made["id"])
    tale.teller.done(f"Paper file {made['label']}: {tale.family.paper_description} ({tale.family.paper_location})")


def finding(tale: Telling) -> None:
    """By name without accents, by postcode, by phone: through keyed hashes, since the names are encrypted."""
    family = tale.family
    born = family.child_born.isoformat()
    compact = family.postcode.replace(" ", "").lower()
    asked: list[tuple[str, dict[str, Any]]] = [
        (without_accents(family.surname).upper(), {"date_of_birth": born}),
        (compact, {"postcode": compact}),
        ("+44 " + family.by_post.phone[1:], {"phone": "+44 " + family.by_post.phone[1:]}),
        (family.by_email.email.upper(), {"email": family.by_email.email.upper()}),
        (tale.reference, {"reference": tale.reference}),
    ]
    asked[0][1]["family_name"] = asked[0][0]
    for words, body in asked:
        items = tale.worker.post("case", "/cases/search", body, status=200)["items"]
        if tale.case_id not in [item["case_id"] for item in items]:
            raise Failed(f"the case found by {', '.join(body)}", f"{len(items)} other cases", "case")
        tale.teller.done(f"{words}  →  {tale.reference}")


def before_search(tale: Tale) -> None:
    """The family lives in the system, and their words lie nowhere in its files."""
    with tale.teller.waiting("Reading every file …"):
        found = tale.search()
    lines = tale.canary.without(found)
    if lines:
        for line in lines:
            tale.teller.failed(line)
        raise Failed("none of the family's words in any file", f"{len(lines)} places have them")
    tale.watch.collect()
    size = found.size // 2**20
    tale.teller.done(f"{len(tale.wanted)} needles, {found.files} files, {size} MB: no hit, though the case is open.")
