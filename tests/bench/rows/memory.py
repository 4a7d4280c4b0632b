"""The most memory that a process of the document service has while ten uploads of 100 MB run at once.

Measured as resident memory at its highest (VmHWM), of the api that takes them in and of the worker beside it; then
against ten uploads of a fifth of the size, since it must not grow with the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from shared.ids import new_id
from tests.bench.bench import Bench
from tests.bench.memory import forget_peak, peak_mb
from tests.bench.results import Result, at_most
from tests.bench.scan import Form, Sender, scan

NAME = "memory"
_AT_ONCE = 10


def run(bench: Bench) -> list[Result]:
    system = bench.system()
    case_id = system.an_open_case()
    sender = Sender(system.provided.urls["document"], system.token("caseworker", sub="worker-one"))
    # Less the processes that read files: each lives for one file.
    pids = [pid for name in ("document-api", "document-worker") for pid in family(system.process(name).pid)]
    pids = [pid for pid in pids if "parsing" not in Path(f"/proc/{pid}/cmdline").read_text()]

    def peak(size: int) -> float:
        form = Form(scan(size))
        for pid in pids:
            forget_peak(pid)
        with ThreadPoolExecutor(_AT_ONCE) as clients:
            for done in [clients.submit(sender.upload, case_id, form, new_id()) for _ in range(_AT_ONCE)]:
                done.result()
        return max(peak_mb(pid) for pid in pids)

    small = bench.sized(20_000_000, 4_000_000)
    peak(small)  # what a process keeps for good once it has been busy is no part of a file's size
    less = peak(small)
    more = peak(bench.sized(100_000_000, 8_000_000))
    bench.say(f"ten small: {less:.0f} MB, ten large: {more:.0f} MB")
    return [
        Result(
            "peak memory while ten 100 MB uploads run", "–", more, at_most(250), "the largest process of its service",
            "MB",
        ),
        Result(
            "the same, flat in file size", "ten 20 MB uploads", more / less, at_most(1.15),
            f"{more:.0f} MB, {less:.0f} MB",
        ),
    ]  # fmt: skip


def family(pid: int) -> Iterable[int]:
    """A process and its children: gunicorn's own does the waiting, its child the work."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from family(int(child))
