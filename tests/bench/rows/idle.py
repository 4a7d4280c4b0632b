"""What the four services cost while nothing happens: their own processor time, and what they cause at the servers.

The servers' own cost is measured while the services' processes are stopped (SIGSTOP), and taken off.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from tests.bench.bench import Bench
from tests.bench.results import Result, at_most
from tests.bench.rows.memory import family

NAME = "idle"
_TICKS = os.sysconf("SC_CLK_TCK")
# Shorter than the broker waits for a heartbeat, so that no connection is lost.
_STOPPED_SECONDS = 6.0


def run(bench: Bench) -> list[Result]:
    system = bench.system()
    services = [pid for process in system.stack.services.values() for pid in family(process.pid)]
    servers = [pid for process in system.stack.servers.values() for pid in family(process.pid)]
    time.sleep(bench.sized(20.0, 2.0))  # until what was begun at the start is over

    def share(pids: Iterable[int], seconds: float) -> float:
        """Their processor time, in per cent of one core."""
        before = _cpu_seconds(pids)
        time.sleep(seconds)
        return (_cpu_seconds(pids) - before) / seconds * 100

    def measured() -> float:
        with_services = share([*services, *servers], bench.sized(20.0, 4.0))
        for pid in services:
            os.kill(pid, signal.SIGSTOP)
        try:
            alone = share(servers, _STOPPED_SECONDS)
        finally:
            for pid in services:
                os.kill(pid, signal.SIGCONT)
        time.sleep(2.0)
        bench.say(f"all: {with_services:.2f} %, servers alone: {alone:.2f} %")
        return max(0.01, with_services - alone)

    idle = bench.interleaved({"idle": measured})["idle"]
    figures = "the processes of four services, and what they cause at the servers"
    return [Result("an idle stack, of one core", "–", idle, at_most(3), figures, "%")]


def _cpu_seconds(pids: Iterable[int]) -> float:
    return sum(_ticks(pid) for pid in pids) / _TICKS


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
