"""What it costs that files are read apart, and how soon a page is shown.

A small scan is inspected by a child process and in this one, in turns. A preview is the first page of a 20 MB scan
through the API: token, role, audit, the whole object fetched, decrypted and spooled, one page drawn by a child. Fifty
callers then file 200 kB each at the same moment in ten cases, read by two children at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from services.document.parsing.inspect import inspect
from services.document.sandbox.sandbox import Sandbox
from services.document.upload.spool import Spool
from shared.ids import new_id
from tests import samples
from tests.bench.bench import Bench
from tests.bench.results import Result, at_most
from tests.bench.scan import Form, Sender, scan

NAME = "previews"
_CALLERS, _CASES = 50, 10


def run(bench: Bench) -> list[Result]:
    system = bench.system()
    sender = Sender(system.provided.urls["document"], system.token("caseworker", sub="worker-one"))
    case_ids = [system.an_open_case() for _ in range(_CASES)]
    small = samples.pdf_scan(1, width=1240, height=1754, quality=12)
    large = sender.upload(case_ids[0], Form(scan(bench.sized(20_000_000, 4_000_000))), new_id())

    def preview() -> float:
        return _seconds(lambda: sender.preview(large))

    def fifty() -> float:
        def upload(number: int) -> object:
            return sender.upload(case_ids[number % _CASES], Form(small), new_id())

        def together() -> None:
            with ThreadPoolExecutor(_CALLERS) as callers:
                for done in [callers.submit(upload, number) for number in range(_CALLERS)]:
                    done.result()

        return _seconds(together)

    preview()
    shown = bench.interleaved({"preview": preview})["preview"]
    filed = bench.interleaved({"fifty": fifty})["fifty"]
    apart, here = _inspected(bench, small)
    return [
        Result(
            "a small scan is read apart", "in the same process", (apart - here) * 1000, at_most(15),
            f"apart {apart * 1000:.1f} ms, in the same process {here * 1000:.1f} ms", "ms more",
        ),
        Result("preview of the first page of a 20 MB scan", "–", shown * 1000, at_most(400), "800 px wide", "ms"),
        Result(
            "fifty uploads of 200 kB side by side", "–", filed, at_most(10),
            f"{_CALLERS / filed:.0f} a second, none 503", "s",
        ),
    ]  # fmt: skip


def _inspected(bench: Bench, content: bytes) -> tuple[float, float]:
    """Seconds that the inspection of a small scan takes: apart, and in this process."""
    sandbox, times = Sandbox(), bench.sized(20, 2)
    with Spool(bench.folder) as spool:
        spool.write(content)
        sandbox.inspect(spool)
        found = bench.interleaved(
            {
                "apart": lambda: min(_seconds(lambda: sandbox.inspect(spool)) for _ in range(times)),
                "here": lambda: min(_seconds(lambda: inspect(spool)) for _ in range(times)),
            }
        )
    sandbox.close()
    return found["apart"], found["here"]


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
