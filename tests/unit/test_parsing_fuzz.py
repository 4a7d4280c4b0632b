"""Files that nobody made: whatever is in one, it is taken or refused, and the process that has the keys goes on.

`FMN_FUZZ_EXAMPLES` says how many are tried (30,000 take about ten minutes), `FMN_FUZZ_SEED` repeats a run.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from services.document.sandbox.sandbox import Sandbox
from services.document.upload.spool import Spool
from shared.errors import Problem
from tests.odd import jpegs, pdfs, pngs, tiffs

EXAMPLES = int(os.environ.get("FMN_FUZZ_EXAMPLES", "1000"))
SEED = int(os.environ.get("FMN_FUZZ_SEED") or random.SystemRandom().randrange(2**32))
MAY_SAY = {413, 415, 422}
_LARGEST = 300_000  # bytes of a file that is changed: what is found in a larger one is found in these
SAMPLES = [
    said.data
    for table in (jpegs, pngs, tiffs, pdfs)
    for said in table.cases()
    if 0 < len(said.data) < _LARGEST
]  # fmt: skip
_NUMBERS = (
    b"\0",
    b"\xff",
    b"\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x80\0\0\0",
    b"-1",
    b"99999",
)
_WORDS = (
    b"%%EOF",
    b"endobj",
    b"stream\n",
    b"/Filter /FlateDecode",
    b"/Kids [1 0 R]",
    b"\xff\xda",
    b"\xff\xd9",
    b"IDAT",
    b"<<",
)


def changed(chance: random.Random) -> bytes:
    """A file like one of the samples, with a few changes."""
    data = bytearray(chance.choice(SAMPLES))
    for _ in range(chance.choice((1, 1, 2, 3, 8, 30))):
        place = chance.randrange(len(data) + 1)
        length = chance.choice((1, 2, 4, 16, 200))
        match chance.randrange(8):
            case 0:
                data[place : place + length] = chance.randbytes(length)
            case 1:
                del data[place : place + length]
            case 2:
                data[place:place] = data[chance.randrange(len(data) + 1) :][:length]
            case 3:
                number = chance.choice(_NUMBERS)
                data[place : place + len(number)] = number
            case 4:
                data[place:place] = chance.choice(_WORDS)
            case 5:
                other = chance.choice(SAMPLES)
                start = chance.randrange(len(other))
                data[place : place + length] = other[start : start + length]
            case 6:
                if place < len(data):
                    data[place] ^= 1 << chance.randrange(8)
            case _:
                del data[max(1, place) :]
        if not data:
            break
    return bytes(data)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox()
    yield made
    made.close()


def test_whatever_is_in_a_file_it_is_taken_or_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    said: Counter[str] = Counter()
    print(f"FMN_FUZZ_SEED={SEED} FMN_FUZZ_EXAMPLES={EXAMPLES}")

    @seed(SEED)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(number=st.integers(0, 2**63))
    def is_taken_or_refused(number: int) -> None:
        with Spool(tmp_path) as spool:
            spool.write(changed(random.Random(number)))
            said[answer_of(sandbox, spool)] += 1

    is_taken_or_refused()
    print(dict(said))
    assert said["taken"] > 0
    assert sum(said.values()) >= EXAMPLES // 2


def answer_of(sandbox: Sandbox, spool: Spool) -> str:
    """What is answered; anything but a refusal for a reason in the file comes through."""
    try:
        sandbox.inspect(spool)
    except Problem as problem:
        if problem.status not in MAY_SAY:
            raise
        return problem.name
    return "taken"
