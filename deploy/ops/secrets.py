"""`forgetmenot secrets`: every secret of a deployment with containers, made once, each a file for one uid alone.

A bind mount keeps the host's owner and mode. So each folder belongs to the uid that its containers run as; what two of
them must know (an account's password: the account's own service, and whoever makes the account) is in both folders.
"""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import stat
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from deploy.local.keys import ensure_keys
from deploy.local.places import PROJECT, private_folder, write_private
from deploy.local.provision import SAMPLE_OFFICE
from deploy.ops.provision import ADMINISTRATOR
from deploy.rabbitmq.definitions import account
from shared.events import SERVICES

NAMES = "fmn"
# Who reads each folder, by the uid in its container: docker-compose.yml gives each its own.
READERS: Mapping[str, int] = {
    "objects": 0,
    "mongo": 999,
    "rabbitmq": 999,
    "provision": 10000,
    "case": 10001,
    "document": 10002,
    "consent": 10003,
    "notifier": 10004,
}
# Files of the checkout that containers mount, whose uids aren't the checkout's owner.
MOUNTED = tuple(
    PROJECT / "deploy" / path
    for path in ("gateway/Caddyfile", "gateway/compose-ready.sh", "objects/compose-start.sh", "rabbitmq/compose.conf")
)
FOLDER = PROJECT / "secrets"
# The demo's settings lie in the folder until they become .env: so a run that died in between can be taken up again.
_WAITING = "demo.env"
# The folder's owner can be changed by root alone; for anyone else a container does it.
_CHOWN_IMAGE = "python:3.13-slim-trixie"


class CannotMake(Exception):
    """The secrets weren't made; the text says why, in one sentence."""


def make_secrets(folder: Path, dotenv: Path | None, readers: Mapping[str, int] = READERS) -> None:
    """Make `folder`, and for a demo `dotenv` too. Raises CannotMake when either exists: nothing is overwritten.

    readers: the uid that each folder in it is given to; one that isn't named stays the caller's. What is left to do of
    a demo's run that died between the two is done.
    """
    waiting = folder / _WAITING
    if dotenv and not dotenv.exists() and os.access(waiting, os.R_OK):
        _settle(waiting, dotenv)
        return
    for path in (folder, dotenv):
        if path and path.exists():
            raise CannotMake(
                f"{path} exists and is left as it is: data made with these secrets can't be read with others. "
                "Move it away first if that is what you want."
            )
    part = folder.with_name(f".{folder.name}.part")
    if part.exists():
        raise CannotMake(f"{part} is left from a run that failed: remove it and try again.")
    private_folder(part)
    _write_keys(part)
    _write_passwords(part, demo=dotenv is not None)
    if dotenv:
        settings = demo_settings() | ({} if folder == FOLDER else {"FMN_SECRETS_FOLDER": str(folder.resolve())})
        write_private(part / _WAITING, "".join(f'{name}="{value}"\n' for name, value in settings.items()))
    if readers:
        _give_to_readers(part, readers)
    part.rename(folder)
    if dotenv:
        _settle(waiting, dotenv)


def let_containers_read(files: Sequence[Path] = MOUNTED) -> list[Path]:
    """Let everybody read these files; answers those that not everybody could. Raises CannotMake.

    Under a umask such as 077 git makes files that their owner alone may read, and a bind mount keeps a file's mode.
    """
    closed = [path for path in files if not path.stat().st_mode & stat.S_IROTH]
    for path in closed:
        try:
            path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o444)
        except PermissionError as error:
            raise CannotMake(f"Containers can't read {path}, and only its owner can change that: chmod a+r.") from error
    return closed


def _settle(waiting: Path, dotenv: Path) -> None:
    """Make .env of the settings that wait in the folder, which may lie on another disk: a rename wouldn't do."""
    write_private(dotenv, waiting.read_text())
    waiting.unlink()


def demo_settings() -> dict[str, str]:
    """Settings that show everything on one machine: the mail catcher for a relay, an office that nobody has."""
    return {"FMN_SMTP_URL": "smtp://mailpit:1025", "FMN_SMTP_PLAIN": "on", **SAMPLE_OFFICE}


def _write_keys(part: Path) -> None:
    """The services' keys, the local issuer's, and everyone's public ones."""
    run = part / "run"
    public = ensure_keys(run)
    for folder in (run / "secrets").iterdir():
        folder.rename(part / folder.name)
    public.rename(part / public.name)
    shutil.rmtree(run)
    # Public, and read by every service.
    (part / public.name).chmod(0o644)


def _write_passwords(part: Path, *, demo: bool) -> None:
    files: dict[str, str] = {
        # MongoDB takes a keyfile of 6 to 1024 characters of base64.
        "mongo/keyfile": base64.b64encode(secrets.token_bytes(300)).decode(),
        "mongo/root-name": ADMINISTRATOR,
    }
    files["mongo/root-password"] = files["provision/mongo-password"] = _password()
    files["rabbitmq/admin-password"] = _password()
    for folder in ("objects", "provision"):
        files |= {f"{folder}/admin-{name}": value for name, value in _pair(files, "objects", "admin").items()}
    for service in SERVICES:
        name, mongo, rabbit = account(NAMES, service), _password(), _password()
        files[f"provision/{service}-mongo-password"] = mongo
        files[f"{service}/mongo-url"] = f"mongodb://{name}:{mongo}@mongo:27017/?authSource=admin&replicaSet=fmn"
        files[f"rabbitmq/{service}-password"] = rabbit
        files[f"{service}/amqp-url"] = f"amqp://{name}:{rabbit}@rabbitmq:5672/{NAMES}"
        pair = _pair(files, "provision", service)
        files |= {f"{service}/{name}": value for name, value in pair.items()}
        files |= {f"provision/{service}-{name}": value for name, value in pair.items()}
    if demo:
        for folder in ("objects", "provision"):
            files |= {f"{folder}/shared-{n}": files[f"document/{n}"] for n in ("s3-access-key", "s3-secret-key")}
    for path, content in files.items():
        write_private(part / path, content)


def _pair(files: Mapping[str, str], folder: str, whose: str) -> dict[str, str]:
    """That pair, made the first time. MinIO takes names of 3 to 20 characters and secrets of 8 to 40."""
    names = {"s3-access-key": 10, "s3-secret-key": 20}
    known = {name: files.get(f"{folder}/{whose}-{name}") for name in names}
    return {name: known[name] or secrets.token_hex(size).upper() for name, size in names.items()}


def _password() -> str:
    return secrets.token_urlsafe(32)


def _give_to_readers(part: Path, readers: Mapping[str, int]) -> None:
    """Hand each folder to the uid that reads it; readable by nobody else, and not by its owner's group."""
    if os.geteuid() == 0:
        for name, uid in readers.items():
            for path in [part / name, *(part / name).rglob("*")]:
                os.chown(path, uid, uid)
        return
    script = "; ".join(f"chown -R {uid}:{uid} /secrets/{name}" for name, uid in readers.items())
    command = [
        "docker", "run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL",
        "--cap-add", "CHOWN", "--cap-add", "DAC_READ_SEARCH", "--user", "0:0",
        "--volume", f"{part.resolve()}:/secrets", "--entrypoint", "sh", _CHOWN_IMAGE, "-ec", script,
    ]  # fmt: skip
    try:
        done = subprocess.run(command, check=False).returncode == 0  # noqa: S603
    except OSError:
        done = False
    if not done:
        shutil.rmtree(part, ignore_errors=True)
        raise CannotMake(
            "Each secret is given to the uid that reads it, which takes root or Docker, and neither was to be had: "
            "run this as root, or as a user who may use Docker."
        )


def register(app: typer.Typer) -> None:
    @app.command("secrets")
    def make(
        demo: Annotated[bool, typer.Option(help="Also write .env with settings for a look on this machine.")] = False,
        folder: Annotated[Path, typer.Option(envvar="FMN_SECRETS_FOLDER", help="Where to.")] = FOLDER,
    ) -> None:
        """Make the secrets that docker-compose.yml mounts. Overwrites nothing.

        What else it mounts of the checkout is made readable for everybody, as the containers need it.
        """
        try:
            for path in let_containers_read():
                typer.echo(f"{path} can be read by everybody now: the containers that mount it couldn't.")
            make_secrets(folder, PROJECT / ".env" if demo else None)
        except CannotMake as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from error
        typer.echo(f"Made {folder}: keep a copy of it somewhere safe and apart, for nothing can be read without it.")
        if folder != FOLDER and not demo:
            typer.echo(f'Compose looks for it where .env says: FMN_SECRETS_FOLDER="{folder.resolve()}"')
        if demo:
            typer.echo("Made .env. Next: docker compose --profile demo up --build --wait")
        else:
            typer.echo("Next: write .env (docs/runbook.md, Settings), then docker compose up --build --wait")
