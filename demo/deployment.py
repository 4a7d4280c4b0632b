"""The story told to a deployment in containers, through its gateway. Where it checks less than at home, it says so."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import typer
from rich.console import Console

from demo import filing, local, proof
from demo.family import draw
from demo.narrator import Narrator
from demo.office import Failed
from demo.run import Demo, Step
from demo.sample import sample_plan
from deploy.local.places import PROJECT, from_environment, places, private_folder, write_private
from shared.events import SERVICES

_CERTIFICATE = "/data/caddy/pki/authorities/local/root.crt"
_TIMEOUT_S = 15


class NoDeployment(Exception):
    """There is none to talk to, or a part of it that the story needs isn't there; the text says which."""


@dataclass(kw_only=True)
class Deployed(Demo):
    """A telling to a deployment: letters lie in the notifier's volume, emails in the mail catcher of profile demo."""

    mail_url: str

    @property
    def post_place(self) -> str:
        return "the volume post"

    @property
    def mail_place(self) -> str:
        return self.mail_url

    @property
    def outbound(self) -> set[Path]:
        """The letters printed so far, anyone's, and the emails to this family; by name, not on this machine's disk."""
        letters = compose("exec", "-T", "notifier-worker", "ls", "/post").decode().split()
        found = {Path("post") / name for name in letters if name.endswith(".pdf")}
        mails = self._mail("messages", limit="200").json()["messages"]
        ours = [mail for mail in mails if self.family.by_email.email in [to["Address"] for to in mail["To"]]]
        return found | {Path("mail") / f"{mail['ID']}.eml" for mail in ours}

    def read(self, path: Path) -> bytes:
        """The content of one that `outbound` named."""
        if path.suffix == ".pdf":
            return compose("exec", "-T", "notifier-worker", "cat", f"/post/{path.name}")
        return self._mail(f"message/{path.stem}/raw").content

    def _mail(self, path: str, **query: str) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(f"{self.mail_url}/api/v1/{path}", params=query, timeout=_TIMEOUT_S)
        answer.raise_for_status()
        return answer


# The embedded story's steps, less those that read the servers' files.
_ON_THE_STACK_ALONE = (filing.before_search, proof.searched, proof.taken_away)
STORY = tuple(step for step in local.STORY if step.run not in _ON_THE_STACK_ALONE)


def compose(*arguments: str) -> bytes:
    """The standard output of `docker compose …` in the project's folder. Raises NoDeployment when it fails."""
    try:
        done = subprocess.run(  # noqa: S603
            ["docker", "compose", *arguments],  # noqa: S607
            cwd=PROJECT,
            capture_output=True,
            check=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError) as error:
        words = getattr(error, "stderr", None) or b""
        said = words.decode(errors="replace").strip().splitlines()[-1:]
        raise NoDeployment(f"docker compose {arguments[0]} failed: {' '.join(said) or type(error).__name__}") from error
    return done.stdout


def tell_against(url: str, *, secrets: Path, authority: Path | None, mail_url: str, scan: Path | None) -> int:
    """Tell the story to the deployment at `url`; answers the exit code.

    authority: who vouches for its certificate; the gateway's own when None. scan: a file to file, or None for a sample.
    """
    console = Console(highlight=False)
    narrator = Narrator(console)
    try:
        with _trusted(authority) as trusted:
            demo = _tale(narrator, mail_url, scan)
            narrator.hide(demo.family.words.values())
            key = secrets / "issuer" / "issuer.jwk"
            if not key.exists():
                raise NoDeployment(f"There is no local issuer's key at {key}: was it made by `make secrets`?")
            demo.call_as(dict.fromkeys(SERVICES, url.rstrip("/")), key, trusted)
            return _told(demo)
    except (NoDeployment, OSError) as error:
        typer.echo(str(error), err=True)
        return 1


@contextmanager
def _trusted(authority: Path | None) -> Iterator[Path]:
    """A file with the certificate to trust."""
    if authority:
        yield authority
        return
    with tempfile.NamedTemporaryFile(suffix=".crt") as file:
        file.write(compose("exec", "-T", "gateway", "cat", _CERTIFICATE))
        file.flush()
        yield Path(file.name)


def _tale(narrator: Narrator, mail_url: str, scan: Path | None) -> Deployed:
    family = draw()
    content = scan.read_bytes() if scan else sample_plan(family)
    name = f"{family.scan_title}{scan.suffix if scan else '.pdf'}"
    return Deployed(narrator=narrator, family=family, scan=content, scan_name=name, mail_url=mail_url.rstrip("/"))


def _told(demo: Deployed) -> int:
    narrator, title = demo.narrator, ""
    try:
        for step in (*STORY, *_ENDING):
            title = step.title
            narrator.heading(title, step.explains)
            step.run(demo)
    except Failed as error:
        return _explain(narrator, title, error.expected, error.happened, *error.services)
    except requests.RequestException as error:
        return _explain(narrator, title, "an answer", type(error).__name__)
    except (LookupError, ValueError, TypeError) as error:
        return _explain(narrator, title, "an answer of the agreed shape", f"{type(error).__name__}: {error}")
    narrator.farewell(
        f"Every step held ({narrator.seconds:.0f} s)",
        [
            f"The family of case {demo.reference} was asked, helped, and forgotten, in containers.",
            "Not checked here: the servers' own files. The embedded demo (`make demo`) searches those.",
        ],
    )
    return 0


def _explain(narrator: Narrator, title: str, expected: str, happened: str, *services: str) -> int:
    narrator.failed(f"This step didn't hold: {title}")
    narrator.failed(f"Expected: {expected}")
    narrator.failed(f"Came:     {happened}")
    names = [f"{service}-{role}" for service in services for role in ("api", "worker")]
    narrator.failed(f"Look in:  docker compose logs {' '.join(names)}")
    return 1


def _logs(demo: Deployed) -> None:
    """No container has said a word of the family's in its log."""
    said = compose("logs", "--no-color", "--no-log-prefix").decode(errors="replace").casefold()
    words = {label: text for label, text in demo.family.words.items() if len(text) >= 6}
    found = [label for label, text in words.items() if text.casefold() in said]
    if found:
        raise Failed("none of the family's words in any container's log", ", ".join(found))
    demo.narrator.done(f"{len(words)} of the family's words, {len(said) // 1024} kB of logs: no hit.")


def _taken_away(demo: Deployed) -> None:
    """Certificate, receipts, and the last letter and email as they left."""
    folder = private_folder(places(from_environment()[0]).world / "demo")
    receipts: dict[str, Any] = demo.dpo.get("consent", f"/requests/{demo.request_id}/receipts")
    write_private(folder / "certificate.jose", demo.certificate)
    write_private(folder / "receipts.json", json.dumps(receipts, indent=2))
    went = demo.outbound - demo.letters_before
    for suffix, name in ((".pdf", "letter.pdf"), (".eml", "email.eml")):
        fitting = [path for path in went if path.suffix == suffix]
        if not fitting:
            raise Failed(f"a last {suffix} that went out", "there is none", "notifier")
        write_private(folder / name, demo.read(fitting[0]))
    demo.narrator.done(f"certificate.jose, receipts.json, letter.pdf, email.eml in {folder}")


_ENDING = (
    Step(title="The logs", run=_logs, explains="What the containers have written is read for the family's words."),
    Step(title="What is taken away", run=_taken_away, explains="As the family and the office would keep it."),
)
