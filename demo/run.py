"""One run of the demo: the state that its steps share, and running the steps."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minio.error import MinioException
from pymongo.errors import PyMongoError

from demo.canary import Canary
from demo.client import Client, Failed
from demo.family import Family, random_family
from demo.output import Output
from demo.recorder import EventRecorder
from demo.sample import sample_plan
from deploy.local.errors import StackError
from deploy.local.places import DEFAULT_PREFIX
from deploy.local.provision import Provision
from deploy.local.stack import Stack
from deploy.ops.finder import MIN_CHARACTERS, Needle, needles, piece
from deploy.ops.search import Found, Search

_PIECE_BYTES = 64
# A piece with fewer different bytes, such as a run of zeros, could be found by chance.
_MIN_DIFFERENT = 24


@dataclass(kw_only=True)
class Demo(ABC):
    """One run on any system under test: its family, its clients, and what its steps have created so far."""

    output: Output
    scan_path: Path | None
    # The content of `scan_path`, or of a generated sample when that is None.
    scan: bytes = field(default=b"", repr=False)
    family: Family = field(default_factory=random_family)
    case_id: str = ""
    reference: str = ""
    people: dict[str, str] = field(default_factory=dict)
    paper_id: str = ""
    request_id: str = ""
    sent_before: list[Path] = field(default_factory=list)
    certificate: bytes = b""
    worker: Client = field(init=False)
    colleague: Client = field(init=False)
    dpo: Client = field(init=False)

    def __post_init__(self) -> None:
        if self.scan_path is None:
            self.scan = sample_plan(self.family)

    @property
    def scan_name(self) -> str:
        return f"{self.family.scan_title}{self.scan_path.suffix if self.scan_path else '.pdf'}"

    def call_as(self, urls: Mapping[str, str], issuer_key: Path, authority: Path | None = None) -> None:
        """Create the clients of two caseworkers and the data protection officer. authority: a CA certificate."""
        self.worker = Client(urls, issuer_key, "caseworker-ada", "caseworker", authority=authority)
        self.colleague = Client(urls, issuer_key, "caseworker-ben", "caseworker", authority=authority)
        self.dpo = Client(urls, issuer_key, "data-protection-cleo", "data_protection", authority=authority)

    def prepare(self) -> None:
        """Get ready for the first step."""
        self.output.hide(self.family.words.values())

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Where to save certificate, receipts, letter and email."""

    @property
    @abstractmethod
    def sent(self) -> list[Path]:
        """All letters (.pdf) and this family's emails (.eml) that were sent so far."""

    @abstractmethod
    def read(self, path: Path) -> bytes:
        """Return the content of one of `sent`."""

    @property
    @abstractmethod
    def post_place(self) -> str:
        """Where letters go, as text."""

    @property
    @abstractmethod
    def mail_place(self) -> str:
        """Where emails go, as text."""

    @abstractmethod
    def logs_of(self, services: Iterable[str]) -> str:
        """Return where the logs of these services are, as text."""

    def erasure_request(self) -> dict[str, Any]:
        return self.worker.get("consent", f"/requests/{self.request_id}")


@dataclass(kw_only=True)
class LocalDemo(Demo):
    """A run on the embedded stack, whose servers' files can be searched."""

    stack: Stack
    provided: Provision
    started_at: float = field(default_factory=time.time)
    wanted: list[Needle] = field(default_factory=list, repr=False)
    recorder: EventRecorder = field(init=False)
    canary: Canary = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.call_as(self.provided.urls, self.provided.issuer_key)
        self.recorder = EventRecorder(self.stack, self.provided.prefix)
        self.canary = Canary(self.stack, self.provided.prefix)

    def prepare(self) -> None:
        """Create the needles, without words that the stack already contains: a search would find them afterwards."""
        super().prepare()
        texts = {label: text for label, text in self.family.words.items() if len(text) >= MIN_CHARACTERS}
        wanted = [needle for label, text in texts.items() for needle in needles(label, text)]
        wanted += [piece(f"64 bytes of the scan ({where})", data) for where, data in _pieces(self.scan).items()]
        known = {hit.label for hit in Search(wanted, self.stack.places).stack().hits}
        self.wanted = [needle for needle in wanted if needle.label not in known]
        if known:
            self.output.note(f"{len(known)} of the family's words are in the stack already and won't be searched for.")

    @property
    def folder(self) -> Path:
        return self.provided.world / "demo"

    @property
    def sent(self) -> list[Path]:
        header = f"X-Delivered-To: {self.family.by_email.email}\r\n".encode()
        mails = [path for path in self.provided.mail.glob("*.eml") if header in path.read_bytes()]
        return sorted([*self.provided.post.glob("*.pdf"), *mails], key=lambda path: path.stat().st_mtime)

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    @property
    def post_place(self) -> str:
        return str(self.provided.post)

    @property
    def mail_place(self) -> str:
        return str(self.provided.mail)

    def logs_of(self, services: Iterable[str]) -> str:
        prefix = "" if self.provided.prefix == DEFAULT_PREFIX else f"{self.provided.prefix}-"
        logs = self.stack.places.logs
        names = [f"{prefix}{service}-{role}.log" for service in services for role in ("api", "worker")]
        return ", ".join(str(logs / name) for name in names) or str(logs)

    def search(self, extra: Iterable[Needle] = ()) -> Found:
        """Search everything that is on the disk at this moment."""
        self.canary.flush_mongodb()
        skip = [self.scan_path] if self.scan_path else []
        return Search([*self.wanted, *extra], self.stack.places, since=self.started_at, skip=skip).everywhere()


def _pieces(scan: bytes) -> dict[str, bytes]:
    """Return 64 bytes each from three positions in the scan, varied enough not to be found by chance."""
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
    """One step of the demo. explains: what happens and why, for a first-time reader."""

    title: str
    explains: str
    # Called with a Demo; steps that search the servers' files need a LocalDemo.
    run: Callable[[Any], None]


def run_steps(demo: Demo, steps: Iterable[Step]) -> bool:
    """Run the steps in order. When one fails, print the failure and return False."""
    title = "Getting ready"
    try:
        demo.prepare()
        for step in steps:
            title = step.title
            demo.output.heading(title, step.explains)
            step.run(demo)
        return True
    except Failed as error:
        failed = error
    except (StackError, OSError, PyMongoError, MinioException) as error:
        failed = Failed("the servers to answer", f"{type(error).__name__}: {error}")
    except (LookupError, ValueError, TypeError) as error:
        failed = Failed("a response as the API describes it", f"{type(error).__name__}: {error}")
    demo.output.failed(f"This step didn't hold: {title}")
    demo.output.failed(f"Expected: {failed.expected}")
    demo.output.failed(f"Got:      {failed.happened}")
    demo.output.failed(f"See:      {demo.logs_of(failed.services)}")
    return False
