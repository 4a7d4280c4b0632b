"""Files under Tink's streaming AEAD: pulled through, in flat memory, and failing to open when anything is amiss."""

from __future__ import annotations

import io
import random
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.document.upload.crypt import DecryptingReader, EncryptingReader, new_keyset, read_range
from services.document.upload.errors import Damaged

MIB = 1024 * 1024
# Tink's streaming format: its own length, the salt and the nonce prefix once, and a tag in each segment; bytes.
_HEADER, _TAG = 40, 16
KEY = b"case/document/1"
KEYSET = new_keyset()
PLAIN = random.Random(7).randbytes(3 * MIB + 12345)


def encrypted(plain: bytes, keyset: bytes = KEYSET, key: bytes = KEY) -> bytes:
    return EncryptingReader(io.BytesIO(plain), keyset, key).read()


def decrypted(cipher: bytes, keyset: bytes = KEYSET, key: bytes = KEY) -> bytes:
    return DecryptingReader(io.BytesIO(cipher), keyset, key).read()


CIPHER = encrypted(PLAIN)
_MOST_READS = 20_000


@pytest.mark.parametrize(
    "size", [0, 1, 15, 16, MIB - 57, MIB - 56, MIB - 55, MIB, 2 * MIB - 73, 2 * MIB - 72, 2 * MIB - 71, 3 * MIB]
)
def test_the_size_of_the_ciphertext_is_known_beforehand(size: int) -> None:
    cipher = encrypted(bytes(size))
    segments = max(1, -(-(size + _HEADER) // (MIB - _TAG)))
    assert len(cipher) == size + _HEADER + segments * _TAG
    assert decrypted(cipher) == bytes(size)


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 2 * MIB), min_size=1, max_size=12), start=st.integers(0, len(PLAIN)))
def test_however_it_is_pulled_the_file_comes_back(sizes: list[int], start: int) -> None:
    # The smaller the pieces, the shorter the file: four million reads of one byte take seconds and say no more.
    plain = PLAIN[max(start, len(PLAIN) - _MOST_READS * sum(sizes) // len(sizes)) :]
    reader = EncryptingReader(io.BytesIO(plain), KEYSET, KEY)
    cipher, turn = bytearray(), 0
    while data := reader.read(sizes[turn % len(sizes)]):
        assert len(data) <= sizes[turn % len(sizes)]
        cipher += data
        turn += 1
    assert reader.read(10) == b""
    assert decrypted(bytes(cipher)) == plain


@settings(max_examples=40, deadline=None)
@given(start=st.integers(0, len(PLAIN)), length=st.integers(0, len(PLAIN)))
def test_a_range_is_what_lies_there(start: int, length: int) -> None:
    length = min(length, len(PLAIN) - start)
    reader = DecryptingReader(io.BytesIO(CIPHER), KEYSET, KEY)
    assert b"".join(read_range(reader, start, length)) == PLAIN[start : start + length]


def test_a_range_beyond_the_end_is_damage() -> None:
    with pytest.raises(Damaged):
        list(read_range(DecryptingReader(io.BytesIO(CIPHER), KEYSET, KEY), len(PLAIN) - 5, 6))


def segments(cipher: bytes) -> list[bytes]:
    return [cipher[start : start + MIB] for start in range(0, len(cipher), MIB)]


TAMPERINGS: dict[str, Callable[[bytes], bytes]] = {
    "nothing left": lambda cipher: b"",
    "half a header": lambda cipher: cipher[:20],
    "header alone": lambda cipher: cipher[:40],
    "last byte gone": lambda cipher: cipher[:-1],
    "last segment gone": lambda cipher: b"".join(segments(cipher)[:-1]),
    "half": lambda cipher: cipher[: len(cipher) // 2],
    "two segments exchanged": lambda cipher: b"".join([segments(cipher)[i] for i in (0, 2, 1, 3)]),
    "a segment left out": lambda cipher: b"".join([segments(cipher)[i] for i in (0, 2, 3)]),
    "a segment twice": lambda cipher: b"".join([segments(cipher)[i] for i in (0, 1, 1, 2, 3)]),
    "a byte more": lambda cipher: cipher + b"\0",
    "another file's segment": lambda cipher: cipher[:MIB] + segments(encrypted(PLAIN))[1] + cipher[2 * MIB :],
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_what_was_tampered_with_does_not_open(tampering: str) -> None:
    with pytest.raises(Damaged):
        decrypted(TAMPERINGS[tampering](CIPHER))


@settings(max_examples=40, deadline=None)
@given(place=st.integers(0, len(CIPHER) - 1), change=st.integers(1, 255))
def test_a_changed_byte_anywhere_does_not_open(place: int, change: int) -> None:
    changed = bytearray(CIPHER)
    changed[place] ^= change
    with pytest.raises(Damaged):
        decrypted(bytes(changed))


def test_another_object_or_another_key_does_not_open() -> None:
    with pytest.raises(Damaged):
        decrypted(CIPHER, key=b"case/document/2")
    with pytest.raises(Damaged):
        decrypted(CIPHER, keyset=new_keyset())


def test_two_keysets_and_two_encryptions_differ() -> None:
    assert new_keyset() != new_keyset()
    assert encrypted(b"the same") != encrypted(b"the same")
    assert b"the same" not in encrypted(b"the same" * 100)


class Failing:
    """A source that breaks after its bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int, /) -> bytes:
        if data := self._data.read(size):
            return data
        raise ConnectionResetError


def test_an_upload_that_breaks_never_gets_a_last_segment() -> None:
    reader = EncryptingReader(Failing(PLAIN), KEYSET, KEY)
    sent = reader.read(MIB)
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            reader.read(-1)
    with pytest.raises(Damaged):
        decrypted(sent)


def test_a_store_that_breaks_is_told_from_a_damaged_file() -> None:
    with pytest.raises(ConnectionResetError):
        DecryptingReader(Failing(CIPHER[:-5]), KEYSET, KEY).read()


class Endless:
    """`left` bytes that lie nowhere."""

    def __init__(self, left: int) -> None:
        self.left = left

    def read(self, size: int, /) -> bytes:
        size = min(size, self.left)
        self.left -= size
        return bytes(size)


def test_memory_does_not_grow_with_the_file() -> None:
    tracemalloc.start()
    try:
        reader = DecryptingReader(EncryptingReader(Endless(100 * MIB), KEYSET, KEY), KEYSET, KEY)
        size = 0
        while data := reader.read(256 * 1024):
            size += len(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size == 100 * MIB
    assert peak < 8 * MIB
