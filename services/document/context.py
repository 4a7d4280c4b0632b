"""What one process of the document service works with."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.document.sandbox.sandbox import Sandbox
from services.document.store import Stores
from services.document.store.files import connect
from services.document.store.watch import Watch
from services.document.upload.clamd import Clamd
from shared.erasure.participant import ErasureParticipant
from shared.http.calls import Calls
from shared.ops.settings import SettingsError
from shared.service.runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The stores, the uploads of this process (`watch`), and the ways to other services.

    sandbox: reads strangers' files apart; its processes start with the first file, or when it is told to.
    require_known: makes sure that a case is known here. forget_answers: destroys the kept answers that show a record
    (`Idempotency.forget`). upload_limit: bytes of one file. scanner: None where no file is scanned for malware.
    """

    stores: Stores
    watch: Watch
    sandbox: Sandbox
    erasure: ErasureParticipant
    calls: Calls
    require_known: Callable[[str], None]
    forget_answers: Callable[..., None]
    spool: Path
    upload_limit: int
    scanner: Clamd | None

    def check_objects(self) -> None:
        """Raises what the object store's client raises unless the store answers."""
        self.stores.files.check()

    def check_sandbox(self) -> str:
        """How the processes that read files are confined. Raises NotConfined."""
        return self.sandbox.confinement()

    def check_scanner(self) -> None:
        """Raises ScannerAway unless the malware scanner answers, where there is one."""
        if self.scanner is not None:
            self.scanner.check()


def open_context(runtime: Runtime) -> Context:
    """Open the stores, and take from the settings what is needed. Raises SettingsError."""
    settings = runtime.settings
    stores = Stores.open(
        runtime.register, runtime.steps, runtime.keys, client=connect(settings), bucket=settings.bucket
    )
    return Context(
        stores=stores,
        watch=Watch(stores.receiving),
        sandbox=Sandbox(),
        erasure=runtime.erasure,
        calls=runtime.calls,
        require_known=runtime.require_known,
        forget_answers=runtime.kernel_stores.idempotency.forget,
        # Only its own process can read what lies there, so the system's own folder will do.
        spool=settings.spool or Path(tempfile.gettempdir()),
        upload_limit=settings.upload_limit_bytes,
        scanner=None if settings.clamd is None else _scanner(settings.clamd),
    )


def _scanner(setting: str) -> Clamd:
    try:
        return Clamd.at(setting)
    except ValueError as error:
        raise SettingsError("FMN_CLAMD must be host:port, or unix:/path of a socket, such as clamd:3310.") from error
