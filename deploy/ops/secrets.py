"""`forgetmenot secrets`: create all secrets of a deployment with containers, each in a file that one uid can read.

A bind mount keeps the host's owner and mode, so each folder belongs to the uid of the containers that mount it. A
secret that two containers need (an account's password: its service, and the one that creates it) is in both folders.
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
from deploy.local.places import ADMINISTRATOR, DEFAULT_PREFIX, PROJECT, private_folder, write_private
from deploy.local.provision import SAMPLE_OFFICE
from deploy.objects.accounts import KeyPair
from deploy.rabbitmq.definitions import account
from shared.erasure.readings import READER
from shared.events import SERVICES

# The uid that reads each folder, as in docker-compose.yml.
READERS: Mapping[str, int] = {
    "objects": 0,
    "mongo": 999,
    "rabbitmq": 999,
    "provision": 10000,
    "case": 10001,
    "document": 10002,
    "consent": 10003,
    "notifier": 10004,
    "reader": 10006,
}
# Files of the checkout that containers mount; their uids don't own the checkout.
MOUNTED = tuple(
    PROJECT / "deploy" / path
    for path in ("gateway/Caddyfile", "gateway/compose-ready.sh", "objects/compose-start.sh", "rabbitmq/compose.conf")
)
FOLDER = PROJECT / "secrets"
# The demo's settings are first written to the folder, so that a run that died before it wrote .env can be completed.
_PENDING_DOTENV = "demo.env"
# Only root can change a folder's owner; for other users a container does it.
_CHOWN_IMAGE = "python:3.13-slim-trixie"


class CannotMake(Exception):
    """The secrets weren't created; the text says why, in one sentence."""


def make_secrets(folder: Path, dotenv: Path | None, readers: Mapping[str, int] = READERS) -> None:
    """Create `folder`, and for a demo `dotenv`. Raises CannotMake when either exists: nothing is overwritten.

    readers: the uid that becomes the owner of each folder in it; other folders stay the caller's. A demo's run that
    died between the two is completed.
    """
    pending = folder / _PENDING_DOTENV
    if dotenv and not dotenv.exists() and os.access(pending, os.R_OK):
        _move_dotenv(pending, dotenv)
        return
    for path in (folder, dotenv):
        if path and path.exists():
            raise CannotMake(
                f"{path} exists and is left as it is: the servers know these passwords, and others know these keys. To "
                "create new ones, move it away first."
            )
    part = folder.with_name(f".{folder.name}.part")
    if part.exists():
        raise CannotMake(f"{part} remains from a run that failed: remove it and try again.")
    private_folder(part)
    _write_keys(part)
    _write_passwords(part, demo=dotenv is not None)
    if dotenv:
        settings = demo_settings() | ({} if folder == FOLDER else {"FMN_SECRETS_FOLDER": str(folder.resolve())})
        write_private(part / _PENDING_DOTENV, "".join(f'{name}="{value}"\n' for name, value in settings.items()))
    if readers:
        _change_owners(part, readers)
    part.rename(folder)
    if dotenv:
        _move_dotenv(pending, dotenv)


def let_containers_read(files: Sequence[Path] = MOUNTED) -> list[Path]:
    """Make these files readable for all users; return those that weren't. Raises CannotMake.

    Under a umask such as 077 git creates files that only their owner can read, and a bind mount keeps a file's mode.
    """
    closed = [path for path in files if not path.stat().st_mode & stat.S_IROTH]
    for path in closed:
        try:
            path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o444)
        except PermissionError as error:
            raise CannotMake(f"Containers can't read {path}; its owner must run: chmod a+r {path}") from error
    return closed


def _move_dotenv(pending: Path, dotenv: Path) -> None:
    """Move the pending settings to .env. The folder can be on another disk, where a rename fails."""
    write_private(dotenv, pending.read_text())
    pending.unlink()


def demo_settings() -> dict[str, str]:
    """Return settings for a trial on one machine: the mail catcher as relay, and an invented office."""
    return {"FMN_SMTP_URL": "smtp://mailpit:1025", "FMN_SMTP_PLAIN": "on", **SAMPLE_OFFICE}


def _write_keys(part: Path) -> None:
    """Write the keys of the services and the local issuer, and all public keys."""
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
        # MongoDB accepts a keyfile of 6 to 1024 base64 characters.
        "mongo/keyfile": base64.b64encode(secrets.token_bytes(300)).decode(),
        "mongo/root-name": ADMINISTRATOR,
    }
    files["mongo/root-password"] = files["provision/mongo-password"] = _password()
    files["rabbitmq/admin-password"] = _password()
    _add_pair(files, "objects/admin-", "provision/admin-")
    for service in SERVICES:
        name, mongo, rabbit = account(DEFAULT_PREFIX, service), _password(), _password()
        files[f"provision/{service}-mongo-password"] = mongo
        files[f"{service}/mongo-url"] = f"mongodb://{name}:{mongo}@mongo:27017/?authSource=admin&replicaSet=fmn"
        files[f"rabbitmq/{service}-password"] = rabbit
        files[f"{service}/amqp-url"] = f"amqp://{name}:{rabbit}@rabbitmq:5672/{DEFAULT_PREFIX}"
        _add_pair(files, f"{service}/", f"provision/{service}-")
    name, mongo = account(DEFAULT_PREFIX, READER), _password()
    files[f"provision/{READER}-mongo-password"] = mongo
    files[f"{READER}/mongo-url"] = f"mongodb://{name}:{mongo}@mongo:27017/?authSource=admin&replicaSet=fmn"
    _add_pair(files, f"{READER}/", f"provision/{READER}-")
    if demo:
        # Of a store without accounts, the reader has the only pair too.
        for folder in ("objects", "provision", READER):
            files |= {f"{folder}/shared-{n}": files[f"document/{n}"] for n in ("s3-access-key", "s3-secret-key")}
    for path, content in files.items():
        write_private(part / path, content)


def _add_pair(files: dict[str, str], *prefixes: str) -> None:
    """Add one new key pair under each prefix."""
    pair = KeyPair.generate()
    for prefix in prefixes:
        files |= {f"{prefix}s3-access-key": pair.access, f"{prefix}s3-secret-key": pair.secret}


def _password() -> str:
    return secrets.token_urlsafe(32)


def _change_owners(part: Path, readers: Mapping[str, int]) -> None:
    """Make each folder's reader its owner, as root or through Docker. Raises CannotMake."""
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
            "Each secret must belong to the uid that reads it, and only root or Docker can do that: run this as root, "
            "or as a user who may use Docker."
        )


def register(app: typer.Typer) -> None:
    @app.command("secrets")
    def make(
        demo: Annotated[bool, typer.Option(help="Also write .env with settings for a trial on this machine.")] = False,
        folder: Annotated[Path, typer.Option(envvar="FMN_SECRETS_FOLDER", help="The folder to create.")] = FOLDER,
    ) -> None:
        """Create the secrets that docker-compose.yml mounts. Overwrites nothing.

        Also makes the files of the checkout that containers mount readable for all users.
        """
        try:
            for path in let_containers_read():
                typer.echo(f"Made {path} readable for all users: the containers that mount it couldn't read it.")
            make_secrets(folder, PROJECT / ".env" if demo else None)
        except CannotMake as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from error
        typer.echo(f"Created {folder}. Keep a copy in another safe place: the servers know these passwords.")
        typer.echo("The keys of the data aren't in it: docs/runbook.md, Roots.")
        if folder != FOLDER and not demo:
            typer.echo(f'Add to .env: FMN_SECRETS_FOLDER="{folder.resolve()}"')
        if demo:
            typer.echo("Created .env. Next: docker compose --profile demo up --build --wait")
        else:
            typer.echo("Next: write .env (docs/runbook.md, Settings), then docker compose up --build --wait")
