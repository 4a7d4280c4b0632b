"""The ledger as anyone reads it: what holds, and each way in which one doesn't."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.ids import new_id
from shared.ledger import (
    BEGUN,
    CONTACT_CHANGED,
    COPY_FILE,
    FIRST,
    WITHDRAWAL,
    Entry,
    Head,
    LedgerBroken,
    from_line,
    from_row,
    make_entry,
    read_copy,
    read_head,
    sign_head,
    verified,
)
from shared.security.signing import PublicKeys, Signer, make_key

NOW = datetime(2026, 11, 29, 12, 0, 0, 125_000, tzinfo=UTC)
PRIVATE, PUBLIC = make_key("consent", "ledger", NOW, valid_for=timedelta(days=1))
SIGNER, KEYS = Signer(PRIVATE), PublicKeys([PUBLIC])
GRANT = {"purpose": "share", "party": new_id(), "document_kind": None}


def a_ledger(*, signer: Signer = SIGNER) -> list[Entry]:
    """Three entries, one of each form."""
    entries: list[Entry] = []
    withdrawn = {"consent": new_id(), "grants": [GRANT]}
    for kind, what in ((BEGUN, None), (WITHDRAWAL, withdrawn), (CONTACT_CHANGED, None)):
        last = entries[-1] if entries else None
        # What happened, happened before the key was made.
        at = NOW - timedelta(days=2)
        about, case_id = new_id(), new_id()
        entries.append(
            make_entry(signer, last=last, kind=kind, about=about, case_id=case_id, at=at, now=NOW, withdrawn=what)
        )
    return entries


def a_copy(folder: Path, entries: list[Entry], *, end: bytes = b"") -> Path:
    (folder / COPY_FILE).write_bytes(b"".join(entry.line for entry in entries) + end)
    return folder


def head_of(entries: list[Entry]) -> Head:
    return read_head(sign_head(SIGNER, last=entries[-1] if entries else None, at=NOW), KEYS)


def test_a_ledger_reads_the_same_from_its_rows_and_from_its_copy(tmp_path: Path) -> None:
    entries = a_ledger()
    assert [from_row(entry.row) for entry in entries] == entries
    # A crash cut the last line short: it is no entry yet.
    folder = a_copy(tmp_path, entries, end=entries[-1].line[:-1])
    ledger = verified(read_copy(folder), KEYS)
    assert ledger.entries == tuple(entries)
    assert ledger.entries[1].withdrawn == {"consent": entries[1].withdrawn["consent"], "grants": [GRANT]}


def test_an_entry_of_version_0_2_has_the_same_hash_and_is_still_read() -> None:
    row: dict[str, Any] = json.loads(
        (Path(__file__).parents[1] / "contracts/stored/consent/ledger.json").read_text(encoding="utf-8")
    )[0]
    at = datetime.fromtimestamp(int(row["at"]["$date"]["$numberLong"]) / 1000, UTC)
    old = from_row(row | {"_id": 1, "at": at})
    after = make_entry(SIGNER, last=old, kind=BEGUN, about=new_id(), case_id=new_id(), at=NOW, now=NOW)
    assert verified([old, after], KEYS).number == 2


BENT: dict[str, tuple[Callable[[list[Entry]], list[Entry]], str, int]] = {
    "an entry is missing": (lambda e: [e[0], e[2]], "number", 2),
    "the first is missing": (lambda e: e[1:], "number", 1),
    "two are exchanged": (lambda e: [e[0], replace(e[2], number=2), replace(e[1], number=3)], "chain", 2),
    "another case": (lambda e: [e[0], replace(e[1], case_id=new_id()), e[2]], "hash", 2),
    "less was withdrawn": (lambda e: [e[0], replace(e[1], withdrawn=None), e[2]], "hash", 2),
    "another kind at the end": (lambda e: [*e[:2], replace(e[2], kind=BEGUN)], "hash", 3),
    "the signature of another entry": (lambda e: [*e[:2], replace(e[2], signature=e[1].signature)], "signature", 3),
}


@pytest.mark.parametrize("how", BENT)
def test_a_bent_ledger_is_refused(how: str) -> None:
    bend, reason, number = BENT[how]
    with pytest.raises(LedgerBroken) as refused:
        verified(bend(a_ledger()), KEYS)
    assert (refused.value.reason, refused.value.number) == (reason, number)


def test_a_ledger_that_another_key_made_is_refused() -> None:
    private, public = make_key("consent", "receipt", NOW)
    with pytest.raises(LedgerBroken, match="signature at entry 3"):
        verified(a_ledger(signer=Signer(private)), KEYS)
    # Nor does a key of another use do.
    with pytest.raises(LedgerBroken, match="signature at entry 3"):
        verified(a_ledger(signer=Signer(private)), PublicKeys([PUBLIC, public]))
    with pytest.raises(LedgerBroken, match="head"):
        read_head(sign_head(Signer(private), last=None, at=NOW), PublicKeys([PUBLIC, public]))


def test_a_signature_made_after_its_key_expired_is_refused() -> None:
    late = NOW + timedelta(days=2)
    entry = make_entry(SIGNER, last=None, kind=BEGUN, about=new_id(), case_id=new_id(), at=NOW, now=late)
    with pytest.raises(LedgerBroken, match="signature at entry 1"):
        verified([entry], KEYS)


@pytest.mark.parametrize(
    "line",
    [b"", b"nothing", b"[]", b"{}", b'{"number": 1}', b"[" * 100_000, b'{"number": true, "kind": "begun"}'],
    ids=range(7),
)
def test_a_line_that_is_no_entry_is_refused(line: bytes) -> None:
    with pytest.raises(LedgerBroken, match="unreadable"):
        from_line(line)


def test_a_line_that_says_more_than_an_entry_is_refused() -> None:
    held = json.loads(a_ledger()[0].line) | {"name": "Jane Canary"}
    with pytest.raises(LedgerBroken, match=r"^unreadable at entry 1$"):
        from_line(json.dumps(held).encode())


def test_a_head_tells_whether_a_ledger_has_lost_entries() -> None:
    entries = a_ledger()
    ledger = verified(entries, KEYS)
    for count in range(4):
        assert not ledger.lacks(head_of(entries[:count]))
        assert ledger.since(head_of(entries[:count])) == tuple(entries[count:])
    assert head_of([]) == Head(number=0, hash=FIRST, at=NOW)
    # The last two were deleted.
    shorter = verified(entries[:1], KEYS)
    assert shorter.lacks(head_of(entries))
    assert shorter.lacks(head_of(entries[:2]))
    with pytest.raises(LedgerBroken, match="head at entry 3"):
        shorter.since(head_of(entries))
    # The same number, of another ledger.
    assert verified(a_ledger(), KEYS).lacks(head_of(entries))


@pytest.mark.parametrize("jws", ["", "a.b.c", a_ledger()[0].signature], ids=["empty", "malformed", "of an entry"])
def test_what_is_no_head_is_refused(jws: str) -> None:
    with pytest.raises(LedgerBroken, match="head"):
        read_head(jws, KEYS)


def test_a_copy_that_is_one_line_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / COPY_FILE).symlink_to("/dev/zero")
    with pytest.raises(LedgerBroken, match="unreadable"):
        list(read_copy(tmp_path))
