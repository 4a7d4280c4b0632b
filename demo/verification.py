"""Demo steps: search all files for the family's words, verify the certificate, save the results."""

from __future__ import annotations

import json

from demo.client import Failed
from demo.run import Demo, LocalDemo
from deploy.local.places import private_folder, write_private
from deploy.ops.certificate import InvalidCertificate, check, summary
from deploy.ops.search import Found
from shared.security.signing import PublicKeys


def search_open_case(demo: LocalDemo) -> None:
    """Check that no file has the family's words while their case is open."""
    with demo.output.waiting("Reading every file …"):
        found = demo.search()
    _require_no_hits(demo, found)
    demo.recorder.collect()
    size = found.size // 2**20
    demo.output.done(f"{len(demo.wanted)} needles, {found.files} files, {size} MB: no hit, though the case is open.")


def verify_certificate(demo: Demo) -> None:
    """Verify the certificate with the published keys, and check that one changed byte makes it invalid."""
    keys = PublicKeys(demo.worker.public_keys()["keys"])
    try:
        valid = check(demo.certificate, keys)
    except InvalidCertificate as error:
        raise Failed("a certificate that holds", error.reason, "consent") from error
    for line in summary(valid):
        demo.output.done(line)
    if valid.claims["case"] != demo.case_id or valid.claims["request"] != demo.request_id:
        raise Failed("a certificate about this case", "it is about another", "consent")
    at = len(demo.certificate) // 2
    other = b"A" if demo.certificate[at : at + 1] != b"A" else b"B"
    try:
        check(demo.certificate[:at] + other + demo.certificate[at + 1 :], keys)
    except InvalidCertificate as error:
        demo.output.refused(f"With byte {at} changed: {error.reason}.")
    else:
        raise Failed("a changed byte makes the certificate invalid", "it still holds", "consent")


def search_after_erasure(demo: LocalDemo) -> None:
    """Plant the canary and search for its words, which must be found, and the family's, which must not."""
    demo.canary.plant()
    try:
        with demo.output.waiting("Reading every file …"):
            found = demo.search(demo.canary.needles)
    finally:
        demo.canary.remove()
    counts, forms = demo.canary.forms_found(found), len(demo.canary.needles)
    missed = [f"{place}: {count} of {forms} forms" for place, count in counts.items() if count < forms]
    if missed:
        raise Failed("the canary found in every form in every place", ", ".join(missed))
    demo.output.done(f"A canary planted unencrypted is found in {', '.join(counts)}, in each of {forms} forms.")
    _require_no_hits(demo, found)
    for line in found.not_searched():
        demo.output.note(f"Not searched: {line}")
    labels = len({needle.label for needle in demo.wanted})
    demo.output.done(
        f"The family: {labels} words and pieces in {len(demo.wanted)} forms, {found.files} files, "
        f"{found.size // 2**20} MB. No hit."
    )


def save_results(demo: LocalDemo) -> None:
    """Save the files of `save_files`, and the recorded events."""
    save_files(demo)
    count = demo.recorder.collect()
    demo.recorder.write(demo.folder / "events.jsonl")
    types = {str(event["type"]) for event in demo.recorder.events if event.get("subject") == demo.case_id}
    for needed in ("case.created.v1", "consent.given.v1", "erasure.started.v1", "erasure.completed.v1"):
        if needed not in types:
            raise Failed(f"{needed} among the events", f"{count} others were recorded", "case", "consent")
    demo.output.done(f"certificate.jose, receipts.json, letter.pdf, email.eml, events.jsonl ({count} events)")


def save_files(demo: Demo) -> None:
    """Save certificate, receipts, and the last letter and email to the demo's folder."""
    folder = private_folder(demo.folder)
    write_private(folder / "certificate.jose", demo.certificate)
    receipts = demo.dpo.get("consent", f"/requests/{demo.request_id}/receipts")
    write_private(folder / "receipts.json", json.dumps(receipts, indent=2))
    sent = [path for path in demo.sent if path not in demo.sent_before]
    for suffix, name in ((".pdf", "letter.pdf"), (".eml", "email.eml")):
        found = [path for path in sent if path.suffix == suffix]
        if not found:
            raise Failed(f"a last {suffix} that was sent", "there is none", "notifier")
        write_private(folder / name, demo.read(found[-1]))


def _require_no_hits(demo: LocalDemo, found: Found) -> None:
    """Raise Failed, after printing the hits, when a file has the family's words."""
    lines = demo.canary.other_hits(found)
    for line in lines:
        demo.output.failed(line)
    if lines:
        raise Failed("none of the family's words in any file", f"{len(lines)} places have them")
