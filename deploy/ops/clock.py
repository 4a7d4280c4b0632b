"""`forgetmenot clock run`: process what is due, now or, on a stack that allows it, at another time."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import requests
import typer

from deploy import direct_http
from deploy.local.places import Ports, from_environment, places
from deploy.local.provision import prefix_from_environment, service_ports_of
from shared.fields import Subject
from shared.security.authentication import service_token
from shared.security.signing import Signer

_SERVICE = "consent"
_TIMEOUT_SECONDS = 60
_LABELS = {
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
        """Makes typer treat `run` as a subcommand although it is the only one."""

    @clock.command()
    def run(
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what is due; change nothing.")] = False,
        now: Annotated[str, typer.Option(help="Run as of this time (RFC 3339); needs FMN_TIME_TRAVEL=on.")] = "",
        confirm: Annotated[str, typer.Option(help="Your name, to confirm a run that would otherwise stop.")] = "",
        against: Annotated[
            str | None,
            typer.Option(envvar="FMN_CONSENT_URL", help="URL of a consent service, if not the local stack's."),
        ] = None,
        secrets: Annotated[
            Path | None,
            typer.Option(envvar="FMN_SECRETS", help="With --against: that service's folder of secrets."),
        ] = None,
    ) -> None:
        """Run the clock once. Exit 1 when it stopped, with nothing changed, or when the service doesn't answer."""
        body: dict[str, Any] = {"dry_run": dry_run}
        if now:
            body["now"] = _time(now)
        if confirm:
            if not Subject().accepts(confirm):
                raise typer.BadParameter("--confirm must be an opaque name without spaces, such as `manager-1`.")
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
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.isoformat()
    except ValueError:
        pass
    raise typer.BadParameter("--now must be a time with an offset, such as 2027-01-31T09:00:00+00:00.")


def _service(against: str | None, secrets: Path | None) -> tuple[str, Path]:
    """Return the consent service's URL and the file with its token key. Exits when there is no key."""
    if against is None:
        root, base = from_environment()
        here, prefix = places(root), prefix_from_environment()
        url = f"http://127.0.0.1:{service_ports_of(here, Ports(base=base), prefix)[_SERVICE]}"
        key = here.run_of(prefix) / "secrets" / _SERVICE / "token.jwk"
    elif secrets is None:
        raise typer.BadParameter("--against needs --secrets: the folder with the service's keys.")
    else:
        url, key = against.rstrip("/"), secrets / "token.jwk"
    if not key.exists():
        typer.echo(f"There is no key at {key}: start the stack once (`make up`).", err=True)
        raise typer.Exit(1)
    return url, key


def _ask(url: str, key: Path, body: dict[str, Any]) -> requests.Response:
    """POST to the consent service with its own token. Exits with a sentence when it doesn't answer."""
    token = service_token(Signer(json.loads(key.read_text())), caller=_SERVICE, called=_SERVICE, now=datetime.now(UTC))
    try:
        headers = {"Authorization": f"Bearer {token}"}
        return direct_http.request("POST", f"{url}/v1/clock", json=body, headers=headers, timeout=_TIMEOUT_SECONDS)
    except requests.RequestException as error:
        typer.echo("The consent service doesn't answer: is the stack up? It isn't known if anything changed.", err=True)
        raise typer.Exit(1) from error


def _detail(answer: requests.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"The consent service answered {answer.status_code}."


def _show(heading: str, answer: dict[str, Any]) -> None:
    """Print the counts; no ids and no names."""
    typer.echo(f"{heading}, at {answer['now']}:")
    for name, label in _LABELS.items():
        typer.echo(f"  {answer['counts'][name]} {label}")
    if answer["stopped"]:
        typer.echo(f"  It would stop, unless it is confirmed: {answer['stopped']}.")
