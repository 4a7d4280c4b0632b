"""The demo on the embedded stack, which it starts if it isn't up."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console

from demo import casework, documents, erasure, verification
from demo.output import Output
from demo.run import LocalDemo, Step, run_steps
from deploy.local.errors import StackError
from deploy.local.machine import listens
from deploy.local.processes import running_pid
from deploy.local.provision import Provision, prefix_from_environment
from deploy.local.signals import Ended, ended_by_signals
from deploy.local.stack import Stack
from deploy.ops.screen import progress
from shared.erasure.readings import READER
from shared.events import SERVICES

STEPS = (
    Step(title="A shell", run=casework.open_case,
         explains="A parent rings. The office opens a case: a reference to use on the phone, and no personal data."),
    Step(title="Before consent", run=casework.try_name_before_consent,
         explains="The service refuses to store a name before the family has agreed."),
    Step(title="Consent", run=casework.record_consent,
         explains="The parent hears the privacy statement and agrees. The consent service publishes an event."),
    Step(title="The people", run=casework.add_people,
         explains="Now the case can have names. The second parent also agrees to email."),
    Step(title="The entries", run=casework.add_entries,
         explains="The case's timeline: what the family wants, what is done, and the outcome."),
    Step(title="A scan is filed", run=documents.upload_scan,
         explains="An EHC plan as scanned images. It is encrypted from its first byte; no plaintext touches a disk."),
    Step(title="The paper file is registered", run=documents.register_paper,
         explains="An erasure includes paper, so the office records where it is."),
    Step(title="The case is found again", run=documents.find_case,
         explains="Names are encrypted, so the search uses keyed hashes. Accents and capitals don't matter."),
    Step(title="The opening letters", run=casework.wait_for_letters,
         explains="Sent because the case opened: on paper to one parent, by email to the other, who agreed to it."),
    Step(title="Is any of it readable?", run=verification.search_open_case,
         explains="All files of servers, logs and temp folders are searched for the family's words, in every form."),
    Step(title="“Please forget us”", run=erasure.request_erasure,
         explains="The family asks by phone. The case is frozen at once, and a second person must confirm."),
    Step(title="Four services answer", run=erasure.confirm_erasure,
         explains="Each closes its gate, deletes, destroys the case's key, reads back, and signs a receipt."),
    Step(title="The paper is shredded", run=erasure.shred_paper,
         explains="The erasure isn't complete until two people have certified the disposal of the paper."),
    Step(title="The last letter, and the certificate", run=erasure.wait_for_certificate,
         explains="The letter was sealed before the erasure. It is sent now, and then its address is destroyed."),
    Step(title="Does the certificate hold?", run=verification.verify_certificate,
         explains="Verified offline, with the published keys only."),
    Step(title="The search", run=verification.search_after_erasure,
         explains="All files are searched again. A planted canary shows that the search can find words."),
    Step(title="The files to keep", run=verification.save_results,
         explains="Saved in world/demo/, for the family and the office."),
)  # fmt: skip


def run(scan_path: Path | None, scan: bytes) -> int:
    """Run the demo; return the exit code. scan_path, scan: the user's scan and its content; None for a sample."""
    console = Console(highlight=False)
    output = Output(console)
    stack = Stack.from_environment()
    try:
        with ended_by_signals(), stack:
            output.heading(
                "The stack", "Four real servers (MongoDB, RabbitMQ, an object store, mail) and four services."
            )
            provided = _start(stack, console, output)
            demo = LocalDemo(stack=stack, provided=provided, output=output, scan_path=scan_path, scan=scan)
            with demo.recorder:
                held = run_steps(demo, STEPS)
    except Ended:
        console.print("Stopped before its end.")
        return 130
    except StackError as error:
        typer.echo(str(error), err=True)
        return 1
    if held:
        _print_summary(demo)
    return 0 if held else 1


def _start(stack: Stack, console: Console, output: Output) -> Provision:
    """Start the servers and services that aren't up."""
    with progress(console) as report:
        # Without the file, another folder's stack may have these ports.
        if (stack.places.run / "stack.json").exists() and stack.is_up():
            stack.attach()
        else:
            stack.report = report
            stack.start_servers()
        provided = stack.provision(prefix_from_environment())
        stack.report = report
        if missing := _not_running(provided):
            stack.start_services(provided, only=missing)
    stack.report = lambda _part, _state: None
    if not console.is_terminal:
        output.note("The family's words are shortened below: if this output is saved, the search would find them.")
    output.done(f"Up in {output.seconds:.0f} s. All of it under {stack.places.root}")
    return provided


def _not_running(provided: Provision) -> list[str]:
    """Return the names of the services' processes that aren't running."""
    apis = [f"{name}-api" for name in SERVICES if not listens(provided.ports[name])]
    pids = provided.run / "pids"
    apis += [] if listens(provided.ports[READER]) else [READER]
    return apis + [f"{name}-worker" for name in SERVICES if running_pid(pids / f"{name}-worker") is None]


def _print_summary(demo: LocalDemo) -> None:
    here = Path.cwd()
    folder = demo.folder.relative_to(here) if demo.folder.is_relative_to(here) else demo.folder
    files = {
        "certificate.jose": "the signed certificate, without personal data",
        "receipts.json": "what each service found, deleted and read back",
        "events.jsonl": "the events that the services published",
        "letter.pdf": "the last letter, as it was posted",
        "email.eml": "the last email, as it was sent",
    }
    demo.output.summary(
        f"Every step held ({demo.output.seconds:.0f} s)",
        [
            f"The family of case {demo.reference} was asked, helped, and forgotten.",
            "These files are for the family and the office:",
            "",
            f"  {folder}/",
            *(f"    {name:18}{what}" for name, what in files.items()),
            "",
            "Check it yourself:",
            f"  .venv/bin/forgetmenot certificate verify {folder / 'certificate.jose'}",
            "Use the API yourself:",
            "  make up, and in another terminal  .venv/bin/forgetmenot token --role caseworker",
        ],
    )
