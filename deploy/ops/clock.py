"""`forgetmenot clock run`: what falls due by itself, now or, on a stack that allows it, at another time."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import requests
import typer

from deploy.local.places import Ports, from_environment, places
from deploy.local.provision import names_from_environment, run_ports
from shared.fields import Subject
from shared.security.authentication import service_token
from shared.security.signing import Signer

_SERVICE = "consent"
_TIMEOUT_SECONDS = 60
_SAID = {
    "shells": "shells whose time is over",
    "letters": "reviews to write about",
    "reminders": "reviews to remind of",
    "silences": "reviews that nobody answered",
    "expiries": "files with a consent whose last day is over",
    "rights": "files whose young people are looked at",
}


def register(app: typer.Typer) -> None:
    clock = typer.Typer(help="The daily clock: shells, reviews, expiries, reminders.", no_args_is_help=True)
    app.add_typer(clock, name="clock")

    @clock.callback()
    def _clock() -> None:
        """The daily clock: shells, reviews, expiries, reminders."""

    @clock.command()
    def run(
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count; nothing is changed.")] = False,
        now: Annotated[str, typer.Option(help="Another time than now (RFC 3339): needs FMN_TIME_TRAVEL=on.")] = "",
        confirm: Annotated[str, typer.Option(help="Whose name lets a run go on that would stop.")] = "",
        against: Annotated[
            str | None,
            typer.Option(envvar="FMN_CONSENT_URL", help="Another consent service than the local stack's."),
        ] = None,
        secrets: Annotated[
            Path | None,
            typer.Option(envvar="FMN_SECRETS", help="With --against: that service's folder of secrets."),
        ] = None,
    ) -> None:
        """Run the clock once. Exit 1 where it stopped, or couldn't be reached; then nothing was changed."""
        body: dict[str, Any] = {"dry_run": dry_run}
        if now:
            body["now"] = _time(now)
        if confirm:
            if not Subject().accepts(confirm):
                raise typer.BadParameter("--confirm is an opaque name without spaces, such as `manager-1`.")
            body["confirm"] = confirm
        url, key = _service(against, secrets)
        answer = _ask(url, key, body)
        if answer.status_code != 200:
            typer.echo(_detail(answer), err=True)
            if answer.status_code == 409:
                counted = _ask(url, key, body | {"dry_run": True})
                if counted.status_code == 200:
                    _show("It would be about", counted.json())
                typer.echo("Run it again with --confirm NAME if this is right.", err=True)
            raise typer.Exit(1)
        _show("It would be about" if dry_run else "Taken up", answer.json())


def _time(text: str) -> str:
    said = "--now is a time with its offset, such as 2027-01-31T09:00:00+00:00."
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(said) from None
    if moment.tzinfo is None:
        raise typer.BadParameter(said)
    return moment.isoformat()


def _service(against: str | None, secrets: Path | None) -> tuple[str, Path]:
    """Where the consent service is, and the key of its own tokens. Ends the program where there is none."""
    if against is None:
        root, base = from_environment()
        here, names = places(root), names_from_environment()
        url = f"http://127.0.0.1:{run_ports(here, Ports(base=base), names)[_SERVICE]}"
        key = here.run_of(names) / "secrets" / _SERVICE / "token.jwk"
    elif secrets is None:
        raise typer.BadParameter("--against takes --secrets too: the folder with the service's keys.")
    else:
        url, key = against.rstrip("/"), secrets / "token.jwk"
    if not key.exists():
        typer.echo(f"There is no key at {key}: start the stack once (`make up`).", err=True)
        raise typer.Exit(1)
    return url, key


def _ask(url: str, key: Path, body: dict[str, Any]) -> requests.Response:
    """POST to the consent service as itself. Ends the program with a sentence when it doesn't answer."""
    token = service_token(Signer(json.loads(key.read_text())), caller=_SERVICE, called=_SERVICE, now=datetime.now(UTC))
    try:
        with requests.Session() as session:
            session.trust_env = False
            return session.post(
                f"{url}/v1/clock",
                json=body,
                headers={"Authorization": f"Bearer {token}"},
                timeout=_TIMEOUT_SECONDS,
            )
    except requests.RequestException as error:
        typer.echo("The consent service doesn't answer: is the stack up? Nothing is known to have changed.", err=True)
        raise typer.Exit(1) from error


def _detail(answer: requests.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"The consent service answered {answer.status_code}."


def _show(heading: str, said: dict[str, Any]) -> None:
    """Numbers alone; no id, no name."""
    typer.echo(f"{heading}, at {said['now']}:")
    for name, words in _SAID.items():
        typer.echo(f"  {said['counts'][name]} {words}")
    if said["stopped"]:
        typer.echo(f"  It would stop, unless it is confirmed: {said['stopped']}.")
