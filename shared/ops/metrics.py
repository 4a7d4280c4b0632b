"""Metrics for Prometheus: labels are route patterns, methods and statuses; never an id."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The metrics of one app, shown with those of its process (the outbox, the bus, Python itself)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._answers = Histogram(
            "fmn_http_answer_seconds",
            "Time to answer a request",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.audit_late = Counter(
            "fmn_audit_late_total", "Audit rows of safeguarding that had to be written late", registry=self.registry
        )
        self.ready = Gauge("fmn_ready", "1 while every server it needs answers", registry=self.registry)

    def answered(self, *, method: str, route: str, status: int, seconds: float) -> None:
        self._answers.labels(method, route, str(status)).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(REGISTRY) + generate_latest(self.registry)
