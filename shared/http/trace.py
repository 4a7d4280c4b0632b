"""W3C traceparent: who asked for what, across services. Nothing else that a caller sends is carried."""

from __future__ import annotations

import secrets

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()


def child_of(header: str | None) -> str:
    """A new step of the caller's trace, or of a new one where it names none that is valid."""
    carrier = {} if header is None else {"traceparent": header}
    parent = trace.get_current_span(_PROPAGATOR.extract(carrier)).get_span_context()
    trace_id = f"{parent.trace_id:032x}" if parent.is_valid else secrets.token_hex(16)
    flags = int(parent.trace_flags) & 1 if parent.is_valid else 0
    return f"00-{trace_id}-{secrets.token_hex(8)}-{flags:02x}"


def trace_id_of(traceparent: str | None) -> str | None:
    return None if traceparent is None else traceparent.split("-")[1]
