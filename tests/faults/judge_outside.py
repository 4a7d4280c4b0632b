"""The judge of what lies outside any database: letters and emails as their recipients have them, and bytes on disks."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from email import message_from_bytes, policy

from deploy.local import mongo
from deploy.ops.finder import needles, piece
from deploy.ops.search import Search, hit_lines
from tests.faults.driver import Told
from tests.faults.judge import Complaint
from tests.races.inside import Inside
from tests.unit.test_letters import words_of

# The longer heading first: a text is of the first template whose heading it has.
_HEADINGS = {
    "review_reminder": "Shall we keep your case file? A reminder",
    "review": "Shall we keep your case file?",
    "opening": "Your case file is open",
    "last": "We have forgotten you",
}


class Outside:
    """Everything under `world/` and `servers/`."""

    def __init__(self, inside: Inside, told: Told) -> None:
        self._inside = inside
        self._told = told

    def complaints(self) -> list[Complaint]:
        return [*self.of_letters(), *self._readable()]

    def of_letters(self) -> list[Complaint]:
        return [*self._twice(), *self._missing(), *self._reviewed()]

    def _went_out(self) -> Counter[tuple[str, str]]:
        """Letters and emails by (the recipient's name, template)."""
        provided = self._inside.system.provided
        gone: Counter[tuple[str, str]] = Counter()
        for path in provided.post.glob("*.pdf"):
            gone.update(self._about("".join(words_of(path.read_bytes()))))
        for path in provided.mail.glob("*.eml"):
            message = message_from_bytes(path.read_bytes(), policy=policy.default)
            body = message.get_body(("plain",))
            to = str(message["X-Delivered-To"]).partition("@")[0]
            gone.update(self._about(f"{to} {'' if body is None else body.get_content()}"))
        return gone

    def _about(self, text: str) -> set[tuple[str, str]]:
        plain = re.sub(r"\s+", "", text).lower()
        names = re.findall(f"{self._told.words.stem.lower()}[a-j]{{6}}", plain)
        templates = [name for name, heading in _HEADINGS.items() if heading.replace(" ", "").lower() in plain]
        return {(name, template) for name in names[:1] for template in templates[:1]}

    def _twice(self) -> Iterator[Complaint]:
        for (name, template), count in self._went_out().items():
            number = next((c.number for c in self._told.cases for p in c.people if p.name.lower() == name), None)
            case = next((c for c in self._told.cases if c.number == number), None)
            # Sent on purpose, it may be the second of that template.
            on_purpose = len(case.notifications) if case is not None and template == "opening" else 0
            if count > 1 + on_purpose:
                yield number, f"the {template} letter went to one person {count} times"

    def _missing(self) -> Iterator[Complaint]:
        """What hasn't gone stands as needing attention, or as unknown: nothing is silently dropped."""
        gone = self._went_out()
        for case in self._told.cases:
            if case.failure is not None or not case.people:
                continue
            rows = self._inside.rows("notifier", "notifications", case_id=case.id)
            states = {row["status"] for row in rows}
            # Who took everything back may have done so before the notifier heard of anybody to write to.
            if case.ending not in ("forgotten", "withdrawn") and not states:
                yield case.number, "no opening letter was ever thought of"
            for row in rows:
                person = next((one for one in case.people if one.id == row["person_id"]), None)
                if row["status"] == "delivered" and person and (person.name.lower(), row["template"]) not in gone:
                    yield case.number, f"the {row['template']} letter is said to be delivered, and nobody has it"
            if "sending" in states or ("created" in states and case.ending == "kept"):
                yield case.number, f"a letter is neither gone nor given to a person: {states}"
            told = self._inside.row("notifier", "last_letters", _id=case.request) if case.request else None
            if case.ending == "forgotten" and told is not None and told["outcome"] == "sent":
                adults = [person for person in case.people if person.is_adult]
                if not all((person.name.lower(), "last") in gone for person in adults):
                    yield case.number, "the last letter is said to be sent, and nobody has it"

    def _reviewed(self) -> Iterator[Complaint]:
        """The letters of an annual review: what was heard of as gone is there, and nobody else has any."""
        gone = self._went_out()
        for case in self._told.cases:
            for person in case.people if case.failure is None else ():
                has = {
                    template for template in ("review", "review_reminder") if (person.name.lower(), template) in gone
                }
                if missing := case.went - has:
                    yield case.number, f"said to be handed over, and nobody has it: {sorted(missing)}"
                if case.review is None and has:
                    yield case.number, f"its review isn't due, and it was written to: {sorted(has)}"

    def _readable(self) -> Iterator[Complaint]:
        """The raw search: no word of any family, in no file of the servers, logs, settings or scratch folders."""
        places = self._inside.system.stack.places
        with mongo.admin_client(places, self._inside.system.stack.ports) as client:
            client.admin.command("fsync")
        words, begun = self._told.words, time.time()
        wanted = [
            *needles("a family's words", words.stem),
            *needles("a family's words, small", words.stem.lower()),
            *(piece("a stretch of a scan", stretch) for stretch in words.pieces()),
        ]
        control = places.logs / "control.log"
        control.write_text(words.stem)
        try:
            found = Search(wanted, places, since=begun).stack()
        finally:
            control.unlink()
        if not any(hit.place == str(control) for hit in found.hits):
            yield None, "the raw search doesn't even find what was planted for it"
        for line in hit_lines(hit for hit in found.hits if hit.place != str(control)):
            yield None, f"readable: {line}"
