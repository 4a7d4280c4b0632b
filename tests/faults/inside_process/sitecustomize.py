"""Put on the PYTHONPATH of the services' processes by the fault suite: lets them die at a named line.

Python imports a module of this name before anything else. Production code has no hooks: the functions named below are
wrapped from here. A step is armed by a file, `armed/<service>-<role>/<step>`, which the process that comes to it takes
away before it kills itself, so that its next life goes on; `<step>.died` says so until the suite has taken notice.
`deadly/<event id>` is never taken away: the handler of that event dies each time. `clock` has the seconds by which the
services' clocks are wrong.
"""

import ctypes
import functools
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

FOLDER = os.environ.get("FAULTS_INSIDE")
# It is on the same machine as the services, so its clock is wrong with theirs.
IS_READER = "reader.main" in sys.orig_argv
_PR_SET_PDEATHSIG = 1
# Step: where its function lives, the service that has it (None: all), and on which side of it the process dies.
STEPS = {
    # First, since others copy the function's name when they are imported.
    "told-not-committed": ("services.notifier.actions.review_events", "emit_review_outcome", "notifier", "after"),
    "before-transaction": ("shared.db.unit_of_work", "UnitOfWork.run", None, "before"),
    "in-transaction": ("shared.db.unit_of_work", "outbox_row", None, "before"),
    "gate-not-committed": ("shared.db.gates", "Gates.make", None, "after"),
    "in-inbox-transaction": ("shared.messaging.inbox", "Inbox._apply", None, "after"),
    "after-transaction": ("shared.messaging.outbox", "Outbox.hand_over", None, "before"),
    "before-publish": ("shared.messaging.bus.publisher", "Publisher.begin", None, "before"),
    "before-confirm": ("shared.messaging.bus.publisher", "Publisher._on_confirm", None, "before"),
    "before-ack": ("shared.messaging.bus.consumer", "_Generation.ack", None, "before"),
    "before-audit": ("shared.security.audit", "Audit.write", None, "before"),
    "doomed-not-rotated": ("shared.erasure.named_keys", "NamedKeys.rotate", None, "before"),
    "fenced-not-rotated": ("shared.db.keys.rotation", "Rotation._rotate", None, "before"),
    "root-made-not-named": ("shared.db.keys.roots", "Folders.create", None, "after"),
    "root-not-destroyed": ("shared.db.keys.roots", "Folders.destroy", None, "before"),
    "root-destroyed-not-said": ("shared.db.keys.roots", "Folders.destroy", None, "after"),
    "counted-not-deleted": ("shared.erasure.participant", "delete_all", None, "before"),
    "deleted-not-read-back": ("shared.erasure.walk", "Walk.remaining", None, "before"),
    "key-gone-no-receipt": ("shared.erasure.participant", "ErasureParticipant._receipt", None, "before"),
    "stored-not-recorded": ("shared.db.objects", "ObjectStore.put", "document", "after"),
    "sending-not-handed-over": (
        "services.notifier.transports.configured",
        "Transports.print_letter",
        "notifier",
        "before",
    ),
    "handed-over-not-said": ("services.notifier.transports.configured", "Transports.print_letter", "notifier", "after"),
    "sending-not-mailed": ("services.notifier.transports.configured", "Transports.send_email", "notifier", "before"),
    "mailed-not-said": ("services.notifier.transports.configured", "Transports.send_email", "notifier", "after"),
    # The first entry is that an erasure begins.
    "decided-not-in-ledger": ("services.consent.store.ledger", "Ledger.append", "consent", "before"),
    "in-ledger-not-copied": ("services.consent.store.ledger_copy", "LedgerCopy.add", "consent", "before"),
    "in-ledger-not-begun": ("services.consent.store.ledger", "Ledger.append", "consent", "after"),
    "signed-not-in-ledger": ("services.consent.actions.erasure_receipts", "_certified", "consent", "after"),
    "in-ledger-not-completed": ("services.consent.actions.erasure_receipts", "_say_completed", "consent", "before"),
    # An intake, from the shell to the people's being in the case; `emit_people` before what copies its name.
    "taken-not-committed": ("services.case.actions.people", "emit_people", "case", "after"),
    "shell-not-begun": ("services.case.actions.intake", "begin_intake", "case", "before"),
    "shell-not-answered": ("services.case.actions.intake", "begin_intake", "case", "after"),
    "taken-not-answered": ("services.case.actions.intake", "complete_intake", "case", "after"),
    "shown-not-decided": ("services.consent.actions.intake", "record_consent", "consent", "before"),
    "decided-not-committed": ("services.consent.actions.intake", "record_consent", "consent", "after"),
    "decided-not-delivered": ("services.consent.actions.intake", "deliver", "consent", "before"),
    "delivered-not-answered": ("services.consent.actions.intake", "deliver", "consent", "after"),
    # An annual review, from the clock's run to its end.
    "clock-not-begun": ("services.consent.actions.clock", "run_clock", "consent", "before"),
    "clock-not-committed": ("services.consent.actions.clock", "_keep_run", "consent", "after"),
    "clock-not-answered": ("services.consent.actions.clock", "run_clock", "consent", "after"),
    "look-not-begun": ("services.consent.actions.reviews", "process_review", "consent", "before"),
    "asked-not-committed": ("services.consent.actions.reviews", "_emit_review_asked", "consent", "after"),
    "looked-not-settled": ("services.consent.actions.reviews", "process_review", "consent", "after"),
    "letter-not-committed": ("services.notifier.actions.reviews", "queue_review_letter", "notifier", "after"),
    "heard-not-committed": ("services.consent.actions.review_letters", "record_hand_over", "consent", "after"),
    "silent-not-frozen": ("services.consent.actions.reviews", "expire_unanswered", "consent", "before"),
    "frozen-not-committed": ("services.consent.actions.reviews", "expire_unanswered", "consent", "after"),
    "answer-not-committed": ("services.consent.actions.review_answers", "settle_review_tasks", "consent", "after"),
    "answer-not-said": ("services.consent.actions.review_answers", "answer", "consent", "after"),
}


def _die_if_armed(armed: Path) -> None:
    try:
        armed.rename(armed.with_suffix(".hit"))
    except FileNotFoundError:
        return
    armed.with_suffix(".died").touch()
    os.kill(os.getpid(), signal.SIGKILL)


def _wrap(module: str, path: str, around: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replace a function of a module or of a class in it. Raises AttributeError when it isn't there any more."""
    owner: Any = importlib.import_module(module)
    *through, name = path.split(".")
    for step in through:
        owner = getattr(owner, step)
    function = getattr(owner, name)
    setattr(owner, name, functools.wraps(function)(around(function)))


def _dying(armed: Path, side: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def around(function: Callable[..., Any]) -> Callable[..., Any]:
        def before(*args: Any, **kwargs: Any) -> Any:
            _die_if_armed(armed)
            return function(*args, **kwargs)

        def after(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            _die_if_armed(armed)
            return result

        return before if side == "before" else after

    return around


def _deadly(folder: Path) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def around(function: Callable[..., Any]) -> Callable[..., Any]:
        def apply(inbox: Any, tx: Any, event: Any, *rest: Any) -> Any:
            if (folder / event.id).exists():
                os.kill(os.getpid(), signal.SIGKILL)
            return function(inbox, tx, event, *rest)

        return apply

    return around


def _offset(file: Path) -> timedelta:
    try:
        return timedelta(seconds=float(file.read_text()))
    except FileNotFoundError:
        return timedelta()


def _wrong_clock(file: Path) -> None:
    """The clock that the services read, and the one by which tokens are judged; servers have clocks of their own."""

    def around(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda: function() + _offset(file)

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Shifted":
            return super().now(tz) + _offset(file)

    _wrap("shared.clock", "utc_now", around)
    tokens = importlib.import_module("jwt.api_jwt")
    tokens.datetime = Shifted  # type: ignore[attr-defined]


def _prepare(folder: Path) -> None:
    # First, since the others copy the function's name when they are imported.
    _wrong_clock(folder / "clock")
    if IS_READER:
        return
    service = os.environ["FMN_SERVICE"]
    role = "worker" if "FMN_READY_FILE" in os.environ else "api"
    for step, (module, path, only, side) in STEPS.items():
        if only in (None, service):
            _wrap(module, path, _dying(folder / "armed" / f"{service}-{role}" / step, side))
    _wrap("shared.messaging.inbox", "Inbox._apply", _deadly(folder / "deadly"))
    if role == "worker" and "FAULTS_QUICK" in os.environ:
        importlib.import_module(f"services.{service}.main")
        # It is run under another name.
        del sys.modules[f"services.{service}.main"]
        _live_again_and_again(folder / "armed" / f"{service}-{role}")


def _live_again_and_again(armed: Path) -> None:
    """Returns in a child, which then runs what this process was started for; in another one each time that it is killed
    at a step. Nothing has run before the fork but imports.
    """
    while True:
        child = os.fork()
        if child == 0:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _, child=child: os.kill(child, number))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code != -signal.SIGKILL:
            os._exit(code if code >= 0 else 128 - code)
        Path(os.environ["FMN_READY_FILE"]).unlink(missing_ok=True)
        while any(armed.glob("*.died")):
            time.sleep(0.01)


if FOLDER is not None and (IS_READER or "FMN_SERVICE" in os.environ):
    try:
        _prepare(Path(FOLDER))
    except BaseException as error:  # noqa: BLE001 - a service without its wrapping must not run
        # `site` would print this and go on without any of it.
        os.write(2, f"the fault suite's wrapping failed: {type(error).__name__}: {error}\n".encode())
        os._exit(70)
