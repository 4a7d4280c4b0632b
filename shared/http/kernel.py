"""What every request of one app shares, and what one request knows about itself."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app, g

from shared.db import Register
from shared.db.unit_of_work import UnitOfWork
from shared.http.idempotency import Idempotency
from shared.ids import is_id
from shared.ops.disks import Disks
from shared.ops.metrics import Metrics
from shared.ops.settings import Settings
from shared.security.audit import Audit
from shared.security.authentication import Authenticator, Caller

_EXTENSION = "forgetmenot"


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelStores:
    """The stores that every service has for its HTTP side; the worker opens them too, so that erasure walks them."""

    audit: Audit
    idempotency: Idempotency


def open_kernel_stores(register: Register, settings: Settings) -> KernelStores:
    """Open both through the register. Call it once wherever a service's register is put together."""
    return KernelStores(audit=Audit(register), idempotency=Idempotency(register, settings.search_key))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    service: str
    settings: Settings
    unit_of_work: UnitOfWork
    stores: KernelStores
    authenticator: Authenticator
    metrics: Metrics
    disks: Disks


def install(app_extensions: dict[str, object], kernel: Kernel) -> None:
    app_extensions[_EXTENSION] = kernel


def current_kernel() -> Kernel:
    kernel: Kernel = current_app.extensions[_EXTENSION]
    return kernel


def current_caller() -> Caller:
    """Who is calling; only inside a route that has `@allow`."""
    caller: Caller = g.caller
    return caller


def require_room() -> None:
    """Inside a route that is `Inward.BY_BODY`, where it takes in something new: raises DiskLow below the floor."""
    current_kernel().disks.require_room()


def audit_case(case_id: str) -> None:
    """Name the case that this request is about, where neither its path, query nor body does."""
    if is_id(case_id):
        g.case_id = case_id


def audit_also(case_id: str) -> None:
    """Name a second case that this request is about: it has an audit row of its own."""
    if is_id(case_id):
        g.other_case_id = case_id


def audit_record(record_id: str) -> None:
    """Name the record that this request is about, where its path doesn't."""
    if is_id(record_id):
        g.record_id = record_id


def audit_as_safeguarding() -> None:
    """Show this request's audit to data protection alone, and let its answer go out even if that is written late."""
    g.audit_apart = g.audit_late = True


def leave_no_trace() -> None:
    """Leave no audit row, no log line and no count of this request, unless it fails: a decline, a helpline call."""
    g.traceless = True


def nothing_shown() -> None:
    """Leave no audit row of this request, unless it fails: its answer is empty, so nothing of a case was read."""
    g.nothing_shown = True
