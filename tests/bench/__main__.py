"""`python -m tests.bench [--smoke] [--write PAGE] [ROWS…]`: times our work beside the bare libraries.

Ends with 1 when a row can't run, or in a smoke run gives no sane ratio; a missed target is shown and ends with 0.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from deploy.local.places import PROJECT
from deploy.local.signals import Ended, ended_by_signals
from tests.bench import machine, table
from tests.bench.bench import Bench
from tests.bench.results import Result
from tests.bench.rows import Row, chosen


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="which rows; all of them when none is named")
    parser.add_argument("--smoke", action="store_true", help="every row once and small: does it run?")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table between the markers of this page")
    return parser.parse_args()


def _run(rows: list[Row], bench: Bench, console: Console) -> tuple[list[Result], list[str]]:
    """The results, and the names of the rows that failed."""
    results: list[Result] = []
    failed: list[str] = []
    for row in rows:
        started = time.monotonic()
        console.print(f"[bold]{row.NAME}[/]")
        try:
            found = row.run(bench)
        except Exception:  # noqa: BLE001 (one row that fails doesn't take the others' results away; it is named below)
            console.print(traceback.format_exc(), markup=False, highlight=False)
            failed.append(row.NAME)
            continue
        if not found or not all(result.is_sane for result in found):
            failed.append(row.NAME)
        results += found
        for result in found:
            console.print(f"  {result.work}: {result.ratio_text} ({result.target_text}) {result.verdict}", markup=False)
        console.print(f"  [dim]{time.monotonic() - started:.0f} s[/]")
    return results, failed


def main() -> int:
    arguments = _arguments()
    rows = chosen(arguments.rows)
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False, soft_wrap=False)
    started = time.monotonic()
    try:
        with (
            ended_by_signals(),
            Bench(
                smoke=arguments.smoke, say=lambda text: console.print(f"  [dim]{text}[/]", markup=True, highlight=False)
            ) as bench,
        ):
            results, failed = _run(rows, bench, console)
    except Ended as ended:
        return 128 + ended.number
    table.show(results, console)
    if arguments.smoke:
        console.print("A smoke run: it says that the rows run. Its ratios are of one small round and mean nothing.")
    console.print(f"{machine.described()}. {time.monotonic() - started:.0f} s.")
    table.write_json(results, PROJECT / "bench.json")
    if arguments.write and not failed:
        said = f"`make bench` on {machine.described()}; {datetime.now(UTC):%-d %B %Y}."
        table.write_page(results, arguments.write, said)
    missed = [result.work for result in results if result.held is False]
    if missed and not arguments.smoke:
        console.print(f"Missed: {'; '.join(missed)}. docs/performance.md says why.")
    if failed:
        console.print(f"[red]These rows could not be run: {', '.join(failed)}.[/]")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
