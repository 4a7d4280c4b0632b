"""The real jobs, each of which says what it loaded: in a child nothing can be loaded any more."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, BinaryIO

from services.document.parsing import jobs
from services.document.parsing.source import Source


def _watched(name: str) -> jobs.Job:
    def watched(source: Source, arguments: Mapping[str, Any], output: BinaryIO) -> Mapping[str, Any]:
        before, opened = set(sys.modules), []
        sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
        said = jobs.JOBS[name](source, arguments, output)
        return {**said, "loaded": sorted(set(sys.modules) - before), "opened": opened}

    return watched


JOBS = {name: _watched(name) for name in jobs.JOBS}
warm_up = jobs.warm_up
