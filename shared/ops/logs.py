"""Logs: one JSON object a line on standard output, made of the fields below and nothing else.

No text and no values of anybody's: what doesn't fit its field's type is left out, and counted. What libraries say is
cut down to where they said it, since their sentences may quote what was sent.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import structlog
from gunicorn import glogging  # type: ignore[import-untyped]

from shared.fields import Count, Day, Digest, Field, Flag, Id, Subject, Time
from shared.ops.memory import keep_memory_private
from shared.ops.settings import SettingsError

_EVENT = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Pattern:
    """The pattern of a route, the name of a module or a type: written by us, never by a caller."""

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_./<>:+-]{1,160}", value) is not None


FIELDS: Mapping[str, Field] = {
    "at": Time(),
    "level": Pattern(),
    "service": Pattern(),
    "process": Pattern(),
    # An answered request
    "request_id": Id(),
    "route": Pattern(),
    "method": Pattern(),
    "status": Count(),
    "ms": Count(),
    "trace_id": Digest(),
    # An error
    "error_id": Id(),
    "type": Pattern(),
    "module": Pattern(),
    "line": Count(),
    "logger": Pattern(),
    # What it is about
    "case_id": Id(),
    "request": Id(),
    "record_id": Id(),
    "event_id": Id(),
    "event_type": Pattern(),
    "sub": Subject(),
    "action": Pattern(),
    "outcome": Pattern(),
    "reason": Pattern(),
    "server": Pattern(),
    "store": Pattern(),
    "queue": Pattern(),
    "kind": Pattern(),
    "state": Pattern(),
    "count": Count(),
    "attempt": Count(),
    "entry": Count(),
    "seconds": Count(),
    "percent": Count(),
    "port": Count(),
    "due": Time(),
    "day": Day(),
    "ok": Flag(),
    "dropped": Count(),
}


def _allowed_only(_: Any, __: str, entry: MutableMapping[str, Any]) -> Mapping[str, Any]:
    event = entry.pop("event", "")
    kept: dict[str, Any] = {"event": event if _EVENT.fullmatch(str(event)) else "unnamed"}
    dropped = 0
    for name, value in entry.items():
        if name in FIELDS and FIELDS[name].accepts(value):
            kept[name] = value
        else:
            dropped += 1
    if dropped:
        kept["dropped"] = dropped
    return kept


class _WhereOnly(logging.Handler):
    """What a library logs, from WARNING up: its logger, module and line, and an exception's type."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, SettingsError):
            _ended_by(error)
            return
        log.log(
            record.levelno,
            "library",
            logger=record.name,
            module=record.module,
            line=record.lineno,
            **({} if error is None else {"type": type(error).__name__}),
        )


def configure(*, service: str, process: str, least: int = logging.INFO) -> None:
    """Set up logging for this process; called first thing by every process. least: the lowest level that is written."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _named(service, process),
            _allowed_only,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.PrintLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.addHandler(_WhereOnly(logging.WARNING))
    root.setLevel(logging.WARNING)
    # Python's own hooks would print a traceback, whose last line is an exception's text.
    sys.excepthook = lambda kind, error, trace: _ended_by(error)
    threading.excepthook = lambda ended: _ended_by(ended.exc_value)
    sys.unraisablehook = lambda ended: _ended_by(ended.exc_value)


def _ended_by(error: BaseException | None) -> None:
    if isinstance(error, KeyboardInterrupt | SystemExit) or error is None:
        return
    if isinstance(error, SettingsError):
        # A fixed sentence about a setting: the operator needs it, and it holds no personal data.
        sys.stderr.write(f"{error}\n")
    log.critical("stopped-by", **where(error))


def _named(service: str, process: str) -> structlog.typing.Processor:
    def add(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        entry["service"], entry["process"] = service, process
        return entry

    return add


class GunicornLogger(glogging.Logger):  # type: ignore[misc]
    """gunicorn's `logger_class`: its own words go the way of every library's, its access log is ours.

    It is the first of our code that gunicorn's master runs, so it also closes the memory of what is forked from there.
    """

    def setup(self, cfg: Any) -> None:
        keep_memory_private()
        super().setup(cfg)
        configure(service=os.environ.get("FMN_SERVICE", "unknown"), process="api")
        for logger in (self.error_log, self.access_log):
            for handler in list(logger.handlers):
                logger.removeHandler(handler)
        self.error_log.propagate = True

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Nothing: the answer is logged by route pattern in shared.http."""


log: structlog.stdlib.BoundLogger = structlog.get_logger()


def where(error: BaseException) -> dict[str, Any]:
    """An exception as {type, module, line}: the innermost line of ours, or the innermost. No text, no locals."""
    return {"type": type(error).__name__, **_line(error.__traceback__)}


def _line(trace: TracebackType | None) -> dict[str, Any]:
    frames = list(traceback.walk_tb(trace))
    if not frames:
        return {}
    ours = [item for item in frames if _module(item).startswith(("services.", "shared.", "deploy."))]
    innermost = (ours or frames)[-1]
    return {"module": _module(innermost), "line": innermost[1]}


def _module(item: tuple[Any, int]) -> str:
    return str(item[0].f_globals.get("__name__", "unknown"))
