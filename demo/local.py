"""The whole story in its order, on a stack that is up or is started for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
import typer
from minio.error import MinioException
from pymongo.errors import PyMongoError
from rich.console import Console

from demo import asking, filing, forgetting, proof
from demo.family import draw
from demo.narrator import Narrator
from demo.office import Failed
from demo.run import LocalDemo, Step
from demo.sample import sample_plan
from deploy.local.errors import StackError
from deploy.local.machine import listens
from deploy.local.processes import running_pid
from deploy.local.provision import Provision, prefix_from_environment
from deploy.local.signals import Ended, ended_by_signals
from deploy.local.stack import Stack
from deploy.ops.screen import progress
from shared.events import SERVICES

STORY = (
    Step(title="A shell", run=asking.shell,
         explains="Somebody rings. The office opens a case: a reference to say on the phone, nothing personal."),
    Step(title="Too early", run=asking.too_early,
         explains="Storing a name before the family has agreed is refused by the service itself."),
    Step(title="Consent", run=asking.consent,
         explains="The parent hears the privacy statement and agrees. The consent service tells the others."),
    Step(title="The people", run=asking.people,
         explains="Now names may be kept. The second parent also agrees to email."),
    Step(title="What they want, what is done, what came of it", run=asking.entries,
         explains="The case's timeline."),
    Step(title="A scan is filed", run=filing.scan,
         explains="An EHC plan, pictures of paper. It is encrypted from its first byte; no plaintext touches a disk."),
    Step(title="Its paper is registered", run=filing.paper,
         explains="Forgetting means paper too, so the office says where it lies."),
    Step(title="They are found again", run=filing.finding,
         explains="Names are encrypted, so the search goes through keyed hashes. Accents and capitals don't matter."),
    Step(title="The opening letters", run=asking.opening_letters,
         explains="Written because the case opened: on paper to one parent, by email to the other, who agreed to it."),
    Step(title="Is any of it readable?", run=filing.before_search,
         explains="All files of servers, logs and temp folders are searched for the family's words, in every form."),
    Step(title="“Please forget us”", run=forgetting.asked,
         explains="The family asks by phone. The case is frozen at once, and a second person must confirm."),
    Step(title="Four services answer", run=forgetting.confirmed,
         explains="Each closes its gate, deletes, destroys the case's key, reads back, and signs a receipt."),
    Step(title="The paper is shredded", run=forgetting.shredded,
         explains="The erasure isn't done until the paper is certified by two people."),
    Step(title="The last letter, and the certificate", run=forgetting.certified,
         explains="Sealed before the erasure, the letter goes now that all is proven. Then its address is destroyed."),
    Step(title="Does the certificate hold?", run=proof.verified,
         explains="Checked offline, with nothing but the published keys."),
    Step(title="The search", run=proof.searched,
         explains="Once more through every file, with a canary planted to show that the search can see."),
    Step(title="What is taken away", run=proof.taken_away,
         explains="Left in world/demo/, as the family and the office would keep it."),
)  # fmt: skip


def tell(scan: Path | None, content: bytes | None) -> int:
    """Tell the story; answers the exit code. scan, content: the file to file, or None for a sample."""
    console = Console(highlight=False)
    narrator = Narrator(console)
    stack = Stack.from_environment()
    try:
        with ended_by_signals(), stack:
            narrator.heading(
                "The stack", "Four real servers (MongoDB, RabbitMQ, an object store, mail) and four services."
            )
            provided = _ready(stack, console, narrator)
            demo = _tale(stack, provided, narrator, scan, content)
            held = _told(demo)
    except Ended:
        console.print("Stopped before its end.")
        return 130
    except StackError as error:
        typer.echo(str(error), err=True)
        return 1
    if held:
        _last_screen(demo)
    return 0 if held else 1


def _ready(stack: Stack, console: Console, narrator: Narrator) -> Provision:
    """Servers and services, started where they aren't up; what was up stays up."""
    with progress(console) as report:
        if _is_ours(stack):
            stack.attach()
        else:
            stack.report = report
            stack.start_servers()
        provided = stack.provision(prefix_from_environment())
        stack.report = report
        if missing := _missing(provided):
            stack.start_services(provided, only=missing)
    stack.report = lambda _part, _state: None
    if not console.is_terminal:
        narrator.note("The family's words are cut short below: kept in a file, this text would itself be found.")
    narrator.done(f"Up in {narrator.seconds:.0f} s. All of it under {stack.places.root}")
    return provided


def _is_ours(stack: Stack) -> bool:
    """Whether servers are up in this folder; others may hold the same ports for another."""
    return (stack.places.run / "stack.json").exists() and stack.is_up()


def _missing(provided: Provision) -> list[str]:
    """The services' processes that aren't running."""
    apis = [f"{name}-api" for name in SERVICES if not listens(provided.ports[name])]
    pids = provided.run / "pids"
    return apis + [f"{name}-worker" for name in SERVICES if running_pid(pids / f"{name}-worker") is None]


def _tale(stack: Stack, provided: Provision, narrator: Narrator, scan: Path | None, content: bytes | None) -> LocalDemo:
    family = draw()
    if content is None:
        content = sample_plan(family)
    suffix = scan.suffix if scan else ".pdf"
    return LocalDemo(
        stack=stack,
        provided=provided,
        narrator=narrator,
        family=family,
        scan=content,
        scan_name=f"{family.scan_title}{suffix}",
        skip=(scan,) if scan else (),
    )


def _told(demo: LocalDemo) -> bool:
    """Every step in its order; False when one didn't hold, which is said."""
    narrator = demo.narrator
    step = Step(title="Getting ready", explains="", run=lambda _tale: None)
    with _heard(demo):
        try:
            narrator.hide(demo.family.words.values())
            if known := demo.choose_words():
                narrator.note(f"{known} of the family's words are in the stack already and won't be looked for.")
            for step in STORY:
                narrator.heading(step.title, step.explains)
                step.run(demo)
        except Failed as error:
            _explain(demo, step, error.expected, error.happened, error.services)
            return False
        except (StackError, OSError, PyMongoError, MinioException, requests.RequestException) as error:
            _explain(demo, step, "the servers to answer", f"{type(error).__name__}: {error}", ())
            return False
        except (LookupError, ValueError, TypeError) as error:
            _explain(demo, step, "an answer of the agreed shape", f"{type(error).__name__}: {error}", ())
            return False
    return True


@contextmanager
def _heard(demo: LocalDemo) -> Iterator[None]:
    demo.watch.begin()
    try:
        yield
    finally:
        demo.watch.end()


def _explain(demo: LocalDemo, step: Step, expected: str, happened: str, services: tuple[str, ...]) -> None:
    """The step, what was expected, what came, and where to look."""
    narrator, logs = demo.narrator, demo.stack.places.logs
    prefix = "" if demo.provided.prefix == "fmn" else f"{demo.provided.prefix}-"
    narrator.failed(f"This step didn't hold: {step.title}")
    narrator.failed(f"Expected: {expected}")
    narrator.failed(f"Came:     {happened}")
    names = [f"{prefix}{service}-{role}.log" for service in services for role in ("api", "worker")]
    narrator.failed(f"Look in:  {', '.join(str(logs / name) for name in names) or logs}")


def _last_screen(demo: LocalDemo) -> None:
    folder = _short(demo.demo_folder)
    kept = {
        "certificate.jose": "the proof, signed; nothing personal in it",
        "receipts.json": "what each service found, deleted and read back",
        "events.jsonl": "what the services told one another meanwhile",
        "letter.pdf": "the last letter, as it was posted",
        "email.eml": "the last email, as it was sent",
    }
    demo.narrator.farewell(
        f"Every step held ({demo.narrator.seconds:.0f} s)",
        [
            f"The family of case {demo.reference} was asked, helped, and forgotten.",
            "What is left of them was given away:",
            "",
            f"  {folder}/",
            *(f"    {name:18}{what}" for name, what in kept.items()),
            "",
            "Check it yourself:",
            f"  .venv/bin/forgetmenot certificate verify {folder / 'certificate.jose'}",
            "Tell it yourself:",
            "  make up, and in another terminal  .venv/bin/forgetmenot token --role caseworker",
        ],
    )


def _short(path: Path) -> Path:
    """As one would type it from here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
