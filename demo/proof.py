"""The story's end: what anyone can check without believing us."""

from __future__ import annotations

import json
from email import message_from_bytes
from pathlib import Path

from demo.office import Failed
from demo.run import Demo, LocalDemo
from deploy.local.places import private_folder, write_private
from deploy.ops.certificate import InvalidCertificate, check, summary
from deploy.ops.search import Found
from shared.security.signing import PublicKeys


def verified(demo: Demo) -> None:
    """The certificate holds by the published keys alone, and no longer when one byte is changed."""
    published = demo.worker.keys()
    keys = PublicKeys(published["keys"])
    try:
        holds = check(demo.certificate, keys)
    except InvalidCertificate as error:
        raise Failed("a certificate that holds", error.reason, "consent") from error
    for line in summary(holds):
        demo.narrator.done(line)
    if holds.claims["case"] != demo.case_id or holds.claims["request"] != demo.request_id:
        raise Failed("a certificate about this case", "it is about another", "consent")
    at = len(demo.certificate) // 2
    other = b"A" if demo.certificate[at : at + 1] != b"A" else b"B"
    try:
        check(demo.certificate[:at] + other + demo.certificate[at + 1 :], keys)
    except InvalidCertificate as error:
        demo.narrator.refused(f"With byte {at} changed: {error.reason}.")
    else:
        raise Failed("a changed byte to break the certificate", "it still held", "consent")


def searched(demo: LocalDemo) -> None:
    """One search for two sets of words: the canary's must be found, the family's must not."""
    demo.canary.plant()
    try:
        with demo.narrator.waiting("Reading every file …"):
            found = demo.search(demo.canary.needles)
    finally:
        demo.canary.remove()
    seen, forms = demo.canary.seen(found), len(demo.canary.needles)
    blind = [place for place, count in seen.items() if count < forms]
    if blind:
        counts = ", ".join(f"{place}: {seen[place]} of {forms} forms" for place in blind)
        raise Failed("the canary found in every form wherever it was planted", counts)
    demo.narrator.done(f"A canary planted unencrypted is found in {', '.join(seen)}, in each of {forms} forms.")
    _none_of_the_family(demo, found)


def _none_of_the_family(demo: LocalDemo, found: Found) -> None:
    lines = demo.canary.without(found)
    for line in lines:
        demo.narrator.failed(line)
    if lines:
        raise Failed("none of the family's words in any file", f"{len(lines)} places have them")
    for line in found.not_searched():
        demo.narrator.note(f"Not searched: {line}")
    labels = len({needle.label for needle in demo.wanted})
    demo.narrator.done(
        f"The family: {labels} words and pieces in {len(demo.wanted)} forms, {found.files} files, "
        f"{found.size // 2**20} MB. No hit."
    )


def taken_away(demo: LocalDemo) -> None:
    """What the family and the office keep, in `world/demo/`."""
    folder = private_folder(demo.demo_folder)
    write_private(folder / "certificate.jose", demo.certificate)
    receipts = demo.dpo.get("consent", f"/requests/{demo.request_id}/receipts")
    write_private(folder / "receipts.json", json.dumps(receipts, indent=2))
    went = demo.outbound - demo.letters_before
    write_private(folder / "letter.pdf", _newest(went, ".pdf").read_bytes())
    address = demo.family.by_email.email
    mails = {path for path in went if _delivered_to(path) == address}
    write_private(folder / "email.eml", _newest(mails, ".eml").read_bytes())
    heard = demo.watch.collect()
    demo.watch.write(folder / "events.jsonl")
    kinds = {str(event["type"]) for event in demo.watch.events if event.get("subject") == demo.case_id}
    for needed in ("case.created.v1", "consent.given.v1", "erasure.started.v1", "erasure.completed.v1"):
        if needed not in kinds:
            raise Failed(f"{needed} among the events", f"{heard} others were heard", "case", "consent")
    demo.narrator.done(f"certificate.jose, receipts.json, letter.pdf, email.eml, events.jsonl ({heard} events)")


def _newest(paths: set[Path], suffix: str) -> Path:
    fitting = [path for path in paths if path.suffix == suffix]
    if not fitting:
        raise Failed(f"a last {suffix} that went out", "there is none", "notifier")
    return max(fitting, key=lambda path: path.stat().st_mtime)


def _delivered_to(path: Path) -> str | None:
    return message_from_bytes(path.read_bytes()).get("X-Delivered-To") if path.suffix == ".eml" else None
