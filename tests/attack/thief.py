"""A thief who knows the formats: opens what can be opened of everything on an embedded stack's disks.

    python -m tests.attack.thief --local .local --port-base 8400 --names fmn --words words.json

words.json: {"words": {label: text}, "people": [{family_name, date_of_birth, postcode, email, phone}], "bodies": [...],
"case_id": optional}. It is the dictionary, and tells whose parts are counted. Prints numbers and names of fields, and
nothing that was sealed. Reads the format before the key tree too.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.local.places import Places, Ports, places
from shared.events import SERVICES
from tests.attack import files, old_format, tree_format
from tests.attack.dictionaries import Dictionary, dictionary, guess
from tests.attack.disks import Loot, take
from tests.attack.files import File
from tests.attack.parts import Guess, Part
from tests.attack.tree_format import Ring


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoils:
    """What came of it. files: stored files that opened. tried: how many digests there were."""

    parts: Sequence[Part]
    files: Sequence[File]
    guesses: Sequence[Guess]
    tried: Mapping[str, int]
    rings: Mapping[str, Ring] = field(repr=False)
    loot: Loot = field(repr=False)

    def of(self, case_id: str, *others: str) -> list[Part]:
        """The sealed parts that name this case, or are under its key, or under a key that names one of the others."""
        ids = (case_id, *others)
        return [part for part in self.parts if part.case_id == case_id or any(id in part.key for id in ids)]

    def opened(self, parts: Iterable[Part] | None = None) -> list[Part]:
        return [part for part in (self.parts if parts is None else parts) if part.opened is not None]

    def mentioning(self, words: Iterable[str]) -> list[Part]:
        """The opened parts, whosever they are, in which one of the words can be read."""
        words = list(words)
        return [part for part in self.opened() if part.mentions(words)]


def steal(
    places: Places, ports: Ports, names: str, words: Dictionary, also: Mapping[Path, bytes] | None = None
) -> Spoils:
    """Take everything, open what opens, and guess the rest. also: see `take`."""
    loot = take(places, ports, names, also=also)
    rings = tree_format.rings(loot, SERVICES)
    parts = [*tree_format.parts(loot, rings), *old_format.parts(loot)]
    secrets = dict(loot.secrets)
    for service, ring in rings.items():
        for tree in ring.trees:
            for bucket, key in enumerate(tree.keys):
                secrets.setdefault(key, f"the key of bucket {bucket} of {service}")
        for name, keys in ring.named.items():
            for key in keys:
                secrets.setdefault(key, f"the key {name} of {service}")
    guesses = guess(loot, words, secrets)
    opened = files.opened(parts, places.servers, names)
    return Spoils(parts=parts, files=opened, guesses=guesses.fallen, tried=guesses.tried, rings=rings, loot=loot)


def told(spoils: Spoils, words: Mapping[str, str], case_id: str | None) -> list[str]:
    """The result in lines: numbers, places and names of fields."""
    loot = spoils.loot
    whole = "from its beginning" if loot.oplog_is_whole else "its beginning is gone"
    lines = [
        f"documents, each version once: {', '.join(f'{n} from {place}' for place, n in loot.counts.items())}"
        f" (oplog: {whole}; {loot.read_in_files} telling ones in MongoDB's files)",
        f"possible secrets in the run folder: {len(loot.secrets)}",
        *(
            f"{service}: {len(ring.trees)} trees, {len(ring.named)} named keys opened"
            for service, ring in spoils.rings.items()
        ),
        f"sealed parts: {len(spoils.parts)}, opened: {len(spoils.opened())}",
    ]
    about = spoils.mentioning(words.values())
    cases = {part.case_id for part in about if part.case_id} if case_id is None else {case_id}
    for case in sorted(cases):
        of = spoils.of(case)
        lines.append(f"case {case}: {len(of)} sealed parts, opened: {len(spoils.opened(of))}")
        for where, count in sorted(Counter(part.where for part in spoils.opened(of)).items()):
            fields = sorted({name for part in spoils.opened(of) if part.where == where for name in part.fields})
            lines.append(f"  {where}: {count} ({', '.join(fields)})")
        lines.append(f"  stored files: {sum(file.case_id == case for file in spoils.files)} opened")
    lines.append(f"opened parts in which the words can be read: {len(about)}")
    for label, word in words.items():
        places_of = Counter(part.where for part in about if part.mentions([word]))
        if places_of:
            lines.append(f"  {label}: {', '.join(f'{where} {n}' for where, n in places_of.items())}")
    tried = ", ".join(f"{count} {kind}" for kind, count in spoils.tried.items())
    lines.append(f"digests tried: {tried}; fallen to the dictionary: {len(spoils.guesses)}")
    fallen = Counter((one.kind, one.where, one.case_id or "no case", one.secret) for one in spoils.guesses)
    for (kind, where, case, secret), count in sorted(fallen.items()):
        lines.append(f"  {kind}, {where}, {case}: {count} with {secret}")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.attack.thief", description=__doc__)
    parser.add_argument("--local", type=Path, required=True)
    parser.add_argument("--port-base", type=int, required=True)
    parser.add_argument("--names", default="fmn")
    parser.add_argument("--words", type=Path, required=True)
    given = parser.parse_args(arguments)
    said: dict[str, Any] = json.loads(given.words.read_text())
    words = dictionary(said.get("people", ()), said.get("bodies", ()), tuple(said.get("words", {}).values()))
    spoils = steal(places(given.local), Ports(base=given.port_base), given.names, words)
    print("\n".join(told(spoils, said.get("words", {}), said.get("case_id"))))


if __name__ == "__main__":
    main()
