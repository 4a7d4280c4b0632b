"""Watching the printer's folder: a letter in it lies in clear, outside every erasure, until it is taken."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from prometheus_client import Gauge

from services.notifier.context import Context
from shared.ops.logs import log

_WAITING: Final = Gauge(
    "fmn_printer_letters_waiting", "Letters in the printer's folder for longer than FMN_PRINTER_HOURS"
)


def report_waiting(context: Context, now: datetime) -> None:
    """Raise the alarm for letters that have lain in the printer's folder too long; a count, and no names.

    Raises OSError while the folder can't be read.
    """
    if context.printer_patience is None:
        return
    waiting = context.transports.letters_waiting(before=now - context.printer_patience)
    _WAITING.set(waiting)
    if waiting:
        log.error("printer.letters_waiting", count=waiting)
