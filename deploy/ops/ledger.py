"""`forgetmenot ledger`: compare the ledger with its copy and signed heads, and put back the one that isn't right.

Against the embedded stack by default; in the container of the consent service's worker, whose environment has its
settings, `docker compose exec consent-worker python -m deploy.container ledger check`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final
from unittest.mock import patch

import typer
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from deploy.local.errors import StackError
from deploy.ops.keys import _services as settings_of
from services.consent.store.ledger_copy import Disagree, LedgerCopy, read_text
from shared.clock import utc_now
from shared.db.unit_of_work import Row, connect
from shared.ledger import Entry, Head, LedgerBroken, VerifiedLedger, from_row, read_copy, read_head, verified
from shared.ops.settings import SettingsError, load
from shared.security.signing import PublicKeys

_SERVICE: Final = "consent"


class Side(StrEnum):
    ROWS = "rows"
    COPY = "copy"

    @property
    def other(self) -> Side:
        return Side.COPY if self is Side.ROWS else Side.ROWS

    def lacks(self, head: Head, name: str) -> str:
        """The sentence for it."""
        verb = "lack" if self is Side.ROWS else "lacks"
        return f"The {self} {verb} entry {head.number}, for which the {name} was signed."


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One side of the ledger, verified. ledger: None where it doesn't hold, and `wrong` says why."""

    ledger: VerifiedLedger | None
    wrong: str = ""

    def __str__(self) -> str:
        return self.wrong if self.ledger is None else f"whole, {self.ledger.number} entries"


class Refused(Exception):
    """It can't be put back; the text says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Both sides of one ledger, and the heads that are known of it, by what they are called."""

    rows: Collection[Row]
    copy: LedgerCopy
    keys: PublicKeys
    heads: dict[str, Path]

    def look(self, side: Side) -> Found:
        """Verify one side. Raises OSError where the folder of the copy can't be read."""
        if side is Side.ROWS:
            return self._verified(lambda: map(from_row, self.rows.find().sort("_id", 1)))
        if not self.copy.folder.is_dir():
            raise FileNotFoundError(self.copy.folder)
        return self._verified(self.copy.entries) if self.copy.exists() else Found(ledger=None, wrong="missing")

    def read_heads(self) -> Iterator[tuple[str, Head | None]]:
        """Each head that is there, by name; None for one that isn't signed."""
        for name, path in self.heads.items():
            try:
                jws = read_text(path)
                if jws is not None:
                    yield name, read_head(jws, self.keys)
            except (Disagree, LedgerBroken):
                yield name, None

    def problems(self) -> list[str]:
        """A sentence for each thing that isn't as it should be."""
        found = {side: self.look(side) for side in Side}
        said = [f"{side}: {one}." for side, one in found.items() if one.ledger is None]
        if not said:
            rows, copied = (_entries(found[side]) for side in Side)
            if copied not in (rows, rows[:-1]):
                said.append(f"The rows and the copy differ from entry {_first_difference(rows, copied)} on.")
        for name, head in self.read_heads():
            if head is None:
                said.append(f"The {name} isn't signed by the consent service.")
                continue
            said += [
                side.lacks(head, name)
                for side, one in found.items()
                if one.ledger is not None and one.ledger.lacks(head)
            ]
        return said

    def put_back(self, side: Side) -> int:
        """Make one side as the other, which must hold; returns its number of entries. Raises Refused, OSError."""
        with self.copy.locked():
            source = self._source(side.other)
            if side is Side.COPY:
                aside = f"{utc_now():%Y%m%d-%H%M%S-%f}"
                self.copy.put_back(source, aside=aside)
            else:
                put_back_rows(self.rows, source)
        return len(source)

    def _source(self, side: Side) -> tuple[Entry, ...]:
        found = self.look(side)
        if found.ledger is None:
            raise Refused(f"Nothing was changed: the other side isn't right either ({side}: {found}).")
        for name, head in self.read_heads():
            if head is None:
                raise Refused(f"The {name} isn't signed by the consent service. Move it away first, and keep it.")
            if found.ledger.lacks(head):
                raise Refused(f"Nothing was changed. {side.lacks(head, name)}")
        other = self.look(side.other).ledger
        if other is not None and other.number > found.ledger.number:
            raise Refused("Nothing was changed: the side to be replaced is whole, and has more entries.")
        return found.ledger.entries

    def _verified(self, read: Callable[[], Iterable[Entry]]) -> Found:
        try:
            return Found(ledger=verified(read(), self.keys))
        except (LedgerBroken, Disagree) as error:
            where = "" if error.number is None else f" at entry {error.number}"
            return Found(ledger=None, wrong=f"not whole ({error.reason}{where})")


def put_back_rows(rows: Collection[Row], entries: Iterable[Entry]) -> None:
    """Insert the entries that the collection lacks, with an account that may insert.

    Raises Refused where a row is there that isn't one of them: an administrator must delete it first.
    """
    there = {row["_id"]: row for row in rows.find()}
    missing: list[Row] = []
    for entry in entries:
        row = there.pop(entry.number, None)
        if row is None:
            missing.append(entry.row)
        elif not _is_same(row, entry):
            raise Refused(_ALTERED.format(number=entry.number))
    if there:
        raise Refused(_ALTERED.format(number=min(map(str, there))))
    if missing:
        rows.insert_many(missing)


_ALTERED: Final = (
    "MongoDB has another entry {number} than the copy. Nothing was changed. Delete the rows that aren't right as "
    "MongoDB's administrator (docs/runbook.md, The ledger), then run this again."
)


def _is_same(row: Row, entry: Entry) -> bool:
    try:
        return from_row(row) == entry
    except LedgerBroken:
        return False


def _entries(found: Found) -> tuple[Entry, ...]:
    return () if found.ledger is None else found.ledger.entries


def _first_difference(rows: tuple[Entry, ...], copied: tuple[Entry, ...]) -> int:
    same = next((n for n, (a, b) in enumerate(zip(rows, copied, strict=False)) if a != b), None)
    return 1 + (min(len(rows), len(copied)) if same is None else same)


def register(app: typer.Typer) -> None:
    commands = typer.Typer(no_args_is_help=True, help="The ledger of what was ended, its copy and its signed heads.")
    app.add_typer(commands, name="ledger")

    @commands.command()
    def check(
        head: Annotated[Path | None, typer.Option(help="A head that was published and kept elsewhere.")] = None,
    ) -> None:
        """Verify the rows in MongoDB and the copy, each alone, and compare them. Exit 1 where something is wrong."""
        with _sentences(), _sides(head) as sides:
            for side in Side:
                typer.echo(f"{side}: {sides.look(side)}")
            for name, signed in sides.read_heads():
                typer.echo(f"{name}: " + ("isn't signed" if signed is None else _shown(signed)))
            problems = sides.problems()
        for problem in problems:
            typer.echo(problem, err=True)
        raise typer.Exit(1 if problems else 0)

    @commands.command("put-back")
    def put_back(
        side: Annotated[Side, typer.Argument(help="What isn't right, and is made as the other one.")],
    ) -> None:
        """Make the rows as the copy, or the copy as the rows. Refused unless the other one holds, with every head."""
        with _sentences(), _sides(None) as sides:
            number = sides.put_back(side)
        typer.echo(f"{side}: {number} entries now. The worker goes on within a minute.")

    @commands.command()
    def verify(
        folder: Annotated[Path, typer.Argument(help="The folder of a copy.")],
        jwks: Annotated[Path, typer.Option(help="Public keys, such as /.well-known/jwks.json.")],
        head: Annotated[Path | None, typer.Option(help="A head that was published and kept elsewhere.")] = None,
    ) -> None:
        """Verify a copy offline, and that it has what a head was signed for. Exit 1 where it doesn't."""
        with _sentences():
            keys = PublicKeys.load(jwks)
            ledger = verified(read_copy(folder), keys)
            signed = None if head is None else read_head(head.read_text(encoding="ascii").strip(), keys)
            if signed is not None and ledger.lacks(signed):
                raise Refused(Side.COPY.lacks(signed, "head"))
        typer.echo(
            f"The copy is whole: {ledger.number} entries" + (f", and the head ({_shown(signed)})." if signed else ".")
        )


@contextmanager
def _sides(head: Path | None) -> Iterator[Sides]:
    """Both sides as the settings of the consent service's worker say. Raises StackError, SettingsError."""
    with patch.dict(os.environ, settings_of(_SERVICE)[_SERVICE]):
        settings = load()
    if settings.ledger_copy is None:
        raise StackError("FMN_LEDGER_COPY isn't set here: run this in the container of the consent service's worker.")
    copy = LedgerCopy(settings.ledger_copy)
    heads = {"head beside the copy": copy.head_file, "published head": settings.ledger_head, "given head": head}
    with connect(settings.mongo_url) as client:
        yield Sides(
            rows=client[f"{settings.names}_ledger"]["ledger"],
            copy=copy,
            keys=PublicKeys.load(settings.public_keys),
            heads={name: path for name, path in heads.items() if path is not None},
        )


@contextmanager
def _sentences() -> Iterator[None]:
    """Turn what can go wrong into one sentence and exit code 1."""
    try:
        yield
    except (StackError, SettingsError, Refused) as error:
        sentence = str(error)
    except LedgerBroken as error:
        sentence = f"It isn't whole: {error}."
    except PyMongoError as error:
        sentence = f"MongoDB doesn't answer ({type(error).__name__})."
    except (OSError, ValueError, KeyError) as error:
        sentence = f"A file can't be read ({type(error).__name__})."
    else:
        return
    typer.echo(sentence, err=True)
    raise typer.Exit(1)


def _shown(head: Head) -> str:
    at: datetime = head.at.astimezone(UTC)
    return f"entry {head.number}, signed {at:%Y-%m-%d %H:%M:%S} UTC"
