"""The demo on a deployment in containers, through its gateway. It can't search the servers' files."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
import typer
from rich.console import Console

from demo import local, verification
from demo.client import Failed
from demo.output import Output
from demo.run import Demo, Step, run_steps
from deploy import direct_http
from deploy.local.places import PROJECT, from_environment, places
from deploy.ops.finder import MIN_CHARACTERS
from shared.events import SERVICES

_GATEWAY_CA = "/data/caddy/pki/authorities/local/root.crt"
_TIMEOUT_S = 15


class NoDeployment(Exception):
    """The deployment, or a part that the demo needs, is missing; the text says which."""


@dataclass(kw_only=True)
class DeployedDemo(Demo):
    """A run on a deployment: letters are in the notifier's volume, emails in the mail catcher of profile demo."""

    mail_url: str

    @property
    def folder(self) -> Path:
        return places(from_environment()[0]).world / "demo"

    @property
    def sent(self) -> list[Path]:
        letters = compose("exec", "-T", "notifier-worker", "ls", "/post").decode().split()
        mails = self._mail("messages", limit="200").json()["messages"]
        own = [mail for mail in mails if self.family.by_email.email in [to["Address"] for to in mail["To"]]]
        return [
            *(Path("post") / name for name in letters if name.endswith(".pdf")),
            *(Path("mail") / f"{mail['ID']}.eml" for mail in own),
        ]

    def read(self, path: Path) -> bytes:
        if path.suffix == ".pdf":
            return compose("exec", "-T", "notifier-worker", "cat", f"/post/{path.name}")
        return self._mail(f"message/{path.stem}/raw").content

    @property
    def post_place(self) -> str:
        return "the volume post"

    @property
    def mail_place(self) -> str:
        return self.mail_url

    def logs_of(self, services: Iterable[str]) -> str:
        names = [f"{service}-{role}" for service in services for role in ("api", "worker")]
        return f"docker compose logs {' '.join(names)}"

    def _mail(self, path: str, **query: str) -> requests.Response:
        answer = direct_http.request("GET", f"{self.mail_url}/api/v1/{path}", params=query, timeout=_TIMEOUT_S)
        answer.raise_for_status()
        return answer


def compose(*arguments: str) -> bytes:
    """Run `docker compose …` in the project's folder and return its standard output. Raises NoDeployment."""
    try:
        done = subprocess.run(  # noqa: S603
            ["docker", "compose", *arguments],  # noqa: S607
            cwd=PROJECT,
            capture_output=True,
            check=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError) as error:
        stderr = getattr(error, "stderr", None) or b""
        reason = stderr.decode(errors="replace").strip().splitlines()[-1:] or [type(error).__name__]
        raise NoDeployment(f"docker compose {arguments[0]} failed: {reason[0]}") from error
    return done.stdout


def run_against(
    url: str, *, secrets: Path, authority: Path | None, mail_url: str, scan_path: Path | None, scan: bytes
) -> int:
    """Run the demo on the deployment at `url`; return the exit code.

    authority: the CA certificate to trust; None for the gateway's. scan_path, scan: as in demo.local.run.
    """
    output = Output(Console(highlight=False))
    try:
        with _ca_file(authority) as ca_file:
            demo = DeployedDemo(output=output, scan_path=scan_path, scan=scan, mail_url=mail_url.rstrip("/"))
            key = secrets / "issuer" / "issuer.jwk"
            if not key.exists():
                raise NoDeployment(f"There is no local issuer key at {key}: did `make secrets` create that folder?")
            demo.call_as(dict.fromkeys(SERVICES, url.rstrip("/")), key, ca_file)
            held = run_steps(demo, STEPS)
    except (NoDeployment, OSError) as error:
        typer.echo(str(error), err=True)
        return 1
    if held:
        output.summary(
            f"Every step held ({output.seconds:.0f} s)",
            [
                f"The family of case {demo.reference} was asked, helped, and forgotten, in containers.",
                "Not checked here: the servers' own files. The embedded demo (`make demo`) searches those.",
            ],
        )
    return 0 if held else 1


@contextmanager
def _ca_file(authority: Path | None) -> Iterator[Path]:
    """Yield a file with the CA certificate to trust."""
    if authority:
        yield authority
        return
    with tempfile.NamedTemporaryFile(suffix=".crt") as file:
        file.write(compose("exec", "-T", "gateway", "cat", _GATEWAY_CA))
        file.flush()
        yield Path(file.name)


def _search_logs(demo: DeployedDemo) -> None:
    """Check that no container's log has the family's words."""
    logs = compose("logs", "--no-color", "--no-log-prefix").decode(errors="replace").casefold()
    words = {label: text for label, text in demo.family.words.items() if len(text) >= MIN_CHARACTERS}
    found = [label for label, text in words.items() if text.casefold() in logs]
    if found:
        raise Failed("none of the family's words in any container's log", ", ".join(found))
    demo.output.done(f"{len(words)} of the family's words, {len(logs) // 1024} kB of logs: no hit.")


def _save_files(demo: DeployedDemo) -> None:
    verification.save_files(demo)
    demo.output.done(f"certificate.jose, receipts.json, letter.pdf, email.eml in {demo.folder}")


# The embedded demo's steps without those that read the servers' files.
_LOCAL_ONLY = (verification.search_open_case, verification.search_after_erasure, verification.save_results)
STEPS = (
    *(step for step in local.STEPS if step.run not in _LOCAL_ONLY),
    Step(title="The logs", run=_search_logs, explains="The containers' logs are searched for the family's words."),
    Step(title="The files to keep", run=_save_files, explains="For the family and the office."),
)
