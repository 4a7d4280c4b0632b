"""What falls due, found among a million cases and among ten thousand, a hundred being due each time.

Annual reviews, as one run of the daily clock finds them while it looks for last days and young people too (every case
has a review and a young person, one of ten a last day). Shells whose time is over (the case service's sweep), requests
near their due time (`GET /requests?due_before`), and requests that wait behind a hold and are looked at again (the
consent worker's steps, the look included: gate, request, receipts and holds). Of ten cases one has an erasure that
waits behind a hold, of twenty one is a shell.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing

from tests.bench.bench import Bench
from tests.bench.crowd import Crowd
from tests.bench.results import Result, at_most

NAME = "clock"


def run(bench: Bench) -> list[Result]:
    due = bench.sized(100, 5)
    many, few = bench.sized(1_000_000, 20_000), bench.sized(10_000, 2_000)
    bench.say(f"making {few:,} and {many:,} cases")
    started = time.perf_counter()
    with (
        closing(Crowd(bench.stack.provision("benchfew"), cases=few, due=due)) as small,
        closing(Crowd(bench.stack.provision("benchmany"), cases=many, due=due)) as large,
    ):
        bench.say(f"made in {time.perf_counter() - started:.0f} s")
        times = bench.sized(30, 2)
        sides = {"many": large, "few": small}
        works: dict[str, Callable[[Crowd], float]] = {
            "annual reviews found": lambda crowd: _seconds(crowd.find_reviews, times, due),
            "shells found": lambda crowd: _seconds(crowd.find_shells, times, due),
            "due requests found": lambda crowd: _seconds(crowd.find_requests, times, due),
            "held requests looked at": lambda crowd: crowd.look_at_holds(),
        }
        results = []
        for work, measure in works.items():
            for crowd in sides.values():
                measure(crowd)
            found = bench.interleaved(
                {name: lambda crowd=crowd, measure=measure: measure(crowd) for name, crowd in sides.items()}  # type: ignore[misc]
            )
            figures = f"{found['many'] * 1e3:.1f} ms, {found['few'] * 1e3:.1f} ms"
            said = f"{work} by the clock among 1,000,000 cases, 100 due"
            results.append(
                Result(said, "the same among 10,000, 100 due", found["many"] / found["few"], at_most(1.2), figures)
            )
    for name in ("benchfew", "benchmany"):
        bench.stack.deprovision(name)
    return results


def _seconds(find: Callable[[], int], times: int, due: int) -> float:
    """Seconds that finding those that are due takes."""
    started = time.perf_counter()
    for _ in range(times):
        found = find()
        assert found == due, found
    return (time.perf_counter() - started) / times
