"""What the steps of one telling share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.canary import Canary
from demo.family import Family
from demo.narrator import Narrator
from demo.office import Caller
from demo.watch import Watch
from deploy.local.provision import Provision
from deploy.local.stack import Stack
from deploy.ops.finder import Needle, needles, piece
from deploy.ops.search import Found, Search

_PIECE_BYTES = 64
# A window with few values in it, such as a run of zeros, could lie anywhere.
_MIN_DIFFERENT = 24


@dataclass(kw_only=True)
class Demo:
    """One telling, wherever it is told: the family it is about, who calls, and what its steps have made so far."""

    narrator: Narrator
    family: Family
    scan: bytes = field(repr=False)
    scan_name: str
    case_id: str = ""
    reference: str = ""
    people: dict[str, str] = field(default_factory=dict)
    paper_id: str = ""
    request_id: str = ""
    letters_before: set[Path] = field(default_factory=set)
    certificate: bytes = b""
    worker: Caller = field(init=False)
    colleague: Caller = field(init=False)
    dpo: Caller = field(init=False)

    def call_as(self, urls: Mapping[str, str], issuer_key: Path, authority: Path | None = None) -> None:
        """Give the three of the office their tokens. authority: who vouches for the server's certificate."""
        self.worker = Caller(urls, issuer_key, "caseworker-ada", "caseworker", authority=authority)
        self.colleague = Caller(urls, issuer_key, "caseworker-ben", "caseworker", authority=authority)
        self.dpo = Caller(urls, issuer_key, "data-protection-cleo", "data_protection", authority=authority)

    @property
    def outbound(self) -> set[Path]:
        """Every letter (.pdf) and email (.eml) that has left so far."""
        raise NotImplementedError

    @property
    def post_place(self) -> str:
        """Where letters go, in words."""
        raise NotImplementedError

    @property
    def mail_place(self) -> str:
        """Where emails go, in words."""
        raise NotImplementedError

    def request(self) -> dict[str, Any]:
        return self.worker.get("consent", f"/requests/{self.request_id}")


@dataclass(kw_only=True)
class LocalDemo(Demo):
    """A telling on the embedded stack, whose servers' files can be searched."""

    stack: Stack
    provided: Provision
    skip: tuple[Path, ...] = ()
    drawn_at: float = field(default_factory=time.time)
    wanted: list[Needle] = field(default_factory=list, repr=False)
    watch: Watch = field(init=False)
    canary: Canary = field(init=False)

    def __post_init__(self) -> None:
        self.call_as(self.provided.urls, self.provided.issuer_key)
        self.watch = Watch(self.stack, self.provided.prefix)
        self.canary = Canary(self.stack, self.provided.prefix)

    @property
    def post_place(self) -> str:
        return str(self.provided.post)

    @property
    def mail_place(self) -> str:
        return str(self.provided.mail)

    @property
    def demo_folder(self) -> Path:
        return self.provided.world / "demo"

    @property
    def outbound(self) -> set[Path]:
        """Every letter and email that has left so far, on this stack."""
        return {*self.provided.post.glob("*.pdf"), *self.provided.mail.glob("*.eml")}

    def choose_words(self) -> int:
        """Make the needles, less those that the stack has already: found afterwards, they would say nothing."""
        wanted = [n for label, text in self.family.words.items() if len(text) >= 6 for n in needles(label, text)]
        wanted += [piece(f"64 bytes of the scan ({where})", data) for where, data in _pieces(self.scan).items()]
        known = {hit.label for hit in Search(wanted, self.stack.places).stack().hits}
        self.wanted = [needle for needle in wanted if needle.label not in known]
        return len(known)

    def search(self, extra: list[Needle] | None = None) -> Found:
        """The raw search, as it is at this moment, on what the servers have written down."""
        self.canary.settle_mongo()
        return Search(
            [*self.wanted, *(extra or [])], self.stack.places, since=self.drawn_at, skip=self.skip
        ).everywhere()


def _pieces(scan: bytes) -> dict[str, bytes]:
    """64 bytes from inside the scan, at three places where they can't be mistaken for anything else."""
    found = {}
    for where, share in (("a quarter in", 0.25), ("the middle", 0.5), ("three quarters in", 0.75)):
        start = int(len(scan) * share)
        for at in range(start, max(start + 1, len(scan) - _PIECE_BYTES), _PIECE_BYTES):
            data = scan[at : at + _PIECE_BYTES]
            if len(data) == _PIECE_BYTES and len(set(data)) >= _MIN_DIFFERENT:
                found[where] = data
                break
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the story. explains: what is happening and why, for somebody who sees it for the first time."""

    title: str
    explains: str
    # Given a Tale; a step that needs no files of servers is content with a Telling.
    run: Callable[[Any], None]
