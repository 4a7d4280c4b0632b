"""A stack of its own whose clock can be moved, and `forgetmenot clock run` on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from typer.testing import Result

from deploy.local.stack import Stack
from tests.helpers import eventually, kill
from tests.operator_commands import command
from tests.races.inside import an_inside
from tests.system import System


@dataclass(kw_only=True)
class Clock:
    """The clock of one system, always moved on from where it was."""

    system: System
    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    def run(self, *arguments: str) -> Result:
        """`forgetmenot clock run`, as an operator types it."""
        return command(self.system, "clock", "run", *arguments)

    def ahead(self, **by: float) -> str:
        """Move it on by so much, and run it then; what the program printed."""
        self.now += timedelta(**by)
        done = self.run("--now", self.now.isoformat(), "--confirm", "manager-1")
        assert done.exit_code == 0, done.output
        return done.output

    def until(self, day: date) -> str:
        """Move it on to noon of that day."""
        return self.ahead(seconds=(datetime.combine(day, time(12), UTC) - self.now).total_seconds())

    # The story

    def a_year_passes(self) -> None:
        self.ahead(days=366)

    def reviews(self, case_id: str) -> list[dict[str, Any]]:
        return list(self.system.caseworker.read("/reviews", case_id=case_id)["items"])

    def the_review(self, case_id: str, **more: Any) -> dict[str, Any]:
        """The case's first review, once it says so much."""

        def found() -> dict[str, Any] | None:
            first = self.reviews(case_id)[0]
            return first if all(first[name] == value for name, value in more.items()) else None

        return eventually(found) or {}

    def written_to(self, case_id: str, letters: int = 1, template: str = "review") -> list[dict[str, Any]]:
        """The letters of that kind about this case, once there are so many, all gone and heard of."""

        def gone() -> list[dict[str, Any]]:
            items = self.system.caseworker.read("/notifications", case_id=case_id)["items"]
            sent = [one for one in items if one["template"] == template]
            assert len(sent) <= letters, "something was sent twice"
            return sent if len(sent) == letters and all(one["status"] == "delivered" for one in sent) else []

        sent = eventually(gone)
        heard = "handed_at" if template == "review" else "reminder_handed_at"
        eventually(lambda: all(one[heard] for one in self.reviews(case_id) if one["state"] == "asked"))
        return sent

    def tasks(self, case_id: str) -> list[str]:
        return [t["kind"] for t in self.system.caseworker.read("/tasks", case_id=case_id, state="open")["items"]]

    def settled(self, case_id: str) -> None:
        """Wait until everything is done that the clock took up about this case."""
        with an_inside(self.system) as inside:
            eventually(lambda: inside.rows("consent", "steps", case_id=case_id) == [])

    def stays_open(self, case_id: str) -> None:
        """Nothing that the clock took up has asked for this file to be erased."""
        self.settled(case_id)
        assert self.system.caseworker.read("/requests", case_id=case_id)["items"] == []
        assert not self.is_frozen(case_id)

    def is_frozen(self, case_id: str) -> bool:
        return bool(self.system.caseworker.read(f"/cases/{case_id}")["frozen"])


@contextmanager
def a_clock(stack: Stack, names: str, **env: str) -> Iterator[Clock]:
    """A system of its own, where time travel is on."""
    provided = stack.provision(names)
    started = stack.start_services(provided, extra_env={"FMN_TIME_TRAVEL": "on", **env})
    try:
        yield Clock(system=System(stack, provided))
    finally:
        kill(started.values())
        for process in started.values():
            stack.services.pop(process.name, None)
