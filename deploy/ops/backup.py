"""`forgetmenot backup`: archives of the data and of the keys, while the services run; `backup-key` makes the pair."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from minio.error import MinioException
from pymongo.errors import PyMongoError
from rich.console import Console
from urllib3.exceptions import HTTPError

from deploy.backup import catalogue
from deploy.backup.archives import Reader
from deploy.backup.catalogue import DATA, KEYS, KEYS_FOR, Archive
from deploy.backup.errors import BadArchive, CannotBackUp
from deploy.backup.installation import Installation, in_container, opened, variables_here
from deploy.local.errors import StackError
from deploy.local.stack import Stack
from deploy.ops.screen import show_table
from deploy.restore.errors import CannotRestore
from shared.clock import utc_now
from shared.errors import Temporary, Unavailable
from shared.ops.memory import keep_memory_private
from shared.ops.settings import SettingsError

PUBLIC_KEY = "FMN_BACKUP_KEY"
FOLDER = "FMN_BACKUP_FOLDER"
DAYS = "FMN_BACKUP_DAYS"
PRUNE = "prune"
_DAYS = 7
_NO_KEY = (
    "FMN_BACKUP_KEY is not set, so no backup is made: without an archive of the keys it would open nothing after the "
    "next erasure. `forgetmenot backup-key FILE` makes a key pair; set FMN_BACKUP_KEY to its public half, FILE.pub."
)

What = Annotated[
    str, typer.Argument(metavar="DIR|keys|prune", help="A folder for both archives; or `keys`, or `prune`.")
]
Folder = Annotated[Path | None, typer.Argument(metavar="[DIR]", envvar=FOLDER, help="The folder, of keys and prune.")]


def register(app: typer.Typer) -> None:
    @app.command("backup")
    def backup(
        what: What,
        folder: Folder = None,
        verify: Annotated[
            bool, typer.Option("--verify", help="Also load both archives under other names, and open every record.")
        ] = False,
    ) -> None:
        """Back up the data and the keys into a folder, while the services run.

        `backup keys DIR` archives the keys alone: run it hourly. `backup prune DIR` removes what is over. Each run
        does that too.
        """
        keep_memory_private()
        with sentences():
            variables = variables_here()
            public = None if what == PRUNE else public_key(variables)
            days, where = _days(), _folder(folder) if what in (KEYS, PRUNE) else Path(what)
            with opened(variables) as installation, catalogue.locked(where):
                try:
                    data_archive = None if public is None or what == KEYS else _make_data(installation, where, days)
                    # After the data, so that every record in it has its key here.
                    key_archive = None if public is None else _make_keys(installation, where, public)
                    if verify and data_archive is not None and key_archive is not None:
                        _verify(data_archive, key_archive)
                finally:
                    _prune(installation, where)

    @app.command("backup-key")
    def backup_key(
        file: Annotated[Path, typer.Argument(help="The new file for the private half, the identity.")],
    ) -> None:
        """Make the key pair of the backups. Keep the private half off every machine of the deployment."""
        # Loaded here only: Tink takes a while, and the other commands need no service's code.
        from deploy.backup.envelope import make_key_pair

        try:
            public = make_key_pair(file)
        except FileExistsError as error:
            typer.echo(f"{error.filename} exists and is left as it is.", err=True)
            raise typer.Exit(1) from error
        except OSError as error:
            typer.echo(f"{file} can't be written: {error.strerror}.", err=True)
            raise typer.Exit(1) from error
        typer.echo(f"Wrote {file}, the identity. A restore needs it, and nothing else does: keep it elsewhere.")
        typer.echo(f"Wrote {public}. Set FMN_BACKUP_KEY to its path.")


def public_key(variables: Mapping[str, Mapping[str, str]]) -> Path:
    """The operator's public key. Raises CannotBackUp without one."""
    path = os.environ.get(PUBLIC_KEY, variables["consent"].get(PUBLIC_KEY, ""))
    if not path:
        raise CannotBackUp(_NO_KEY)
    return Path(path)


@contextmanager
def sentences() -> Iterator[None]:
    """Turn what can go wrong into one sentence and exit code 1."""
    try:
        yield
    except (StackError, SettingsError, CannotBackUp, BadArchive, CannotRestore) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    except (PyMongoError, MinioException, HTTPError, Unavailable, Temporary) as error:
        typer.echo(f"A server failed ({type(error).__name__}); the log may say more. Run this again.", err=True)
        raise typer.Exit(1) from error


def _folder(given: Path | None) -> Path:
    if given is None:
        raise CannotBackUp("Name the folder of the archives, or set FMN_BACKUP_FOLDER.")
    return given


def _days() -> timedelta:
    text = os.environ.get(DAYS) or str(_DAYS)
    if not text.isdecimal() or int(text) < 1:
        raise CannotBackUp("FMN_BACKUP_DAYS must be 1 or more.")
    return timedelta(days=int(text))


def _make_data(installation: Installation, folder: Path, days: timedelta) -> Archive:
    from deploy.backup import data

    now = utc_now()
    archive = Archive(kind=DATA, folder=folder, began_at=now, until=now + days)
    catalogue.enter(installation, archive)
    manifest = data.make(installation, archive)
    counts = [said.get("count") for said in manifest["files"].values()]
    documents, objects = sum(count for count in counts if count is not None), counts.count(None)
    typer.echo(f"{archive.path}: {documents} documents and {objects} objects. It is removed after {_day(archive)}.")
    return archive


def _make_keys(installation: Installation, folder: Path, public: Path) -> Reader:
    from deploy.backup import keys

    now = utc_now()
    archive = Archive(kind=KEYS, folder=folder, began_at=now, until=now + KEYS_FOR)
    catalogue.enter(installation, archive)
    sealed = keys.make(installation, archive, public)
    typer.echo(f"{archive.path}: the keys and roots. It is removed when two newer ones are there.")
    return sealed


def _verify(archive: Archive, key_archive: Reader) -> None:
    """Say what a restore would find. Exit 1 where a record or a file doesn't open."""
    if in_container():
        raise CannotBackUp("--verify needs servers of its own, which a container lacks. See the runbook, Rehearse.")
    from deploy.restore.verify import verify

    found = verify(Stack.from_environment().attach(), archive, key_archive)
    show_table(
        Console(highlight=False),
        ("service", "store", "records", "without a key", "unreadable"),
        [(f.service, f.store, str(f.records), str(f.orphans), str(f.unreadable)) for f in found],
    )
    unreadable = sum(f.unreadable for f in found)
    typer.echo(f"{sum(f.records for f in found)} records and files were restored and read; {unreadable} don't open.")
    if unreadable:
        raise typer.Exit(1)


def _prune(installation: Installation, folder: Path) -> None:
    for archive in catalogue.prune(installation, folder, utc_now()):
        typer.echo(f"Removed {archive.path}.")


def _day(archive: Archive) -> str:
    return archive.until.strftime("%Y-%m-%d %H:%M UTC")
