"""Files as Tink's streaming AEAD keeps them: AES256_GCM_HKDF_1MB, so that a cut or reordered file fails to open.

Ciphertext is a header of 40 bytes, then segments of 1 MiB (the header counted into the first) that each end in
a 16-byte tag: https://developers.google.com/tink/streaming-aead/aes_gcm_hkdf_streaming. The associated data is
the object key, so that one object can't stand in for another.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import tink
from tink import proto_keyset_format, secret_key_access, streaming_aead

from services.document.upload.errors import Damaged
from services.document.upload.readable import CHUNK, Readable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# Bytes given at a time: as much as Tink reads, and little enough to be taken from memory that was used before.
_PIECE = 128 * 1024

streaming_aead.register()


def new_keyset() -> bytes:
    """A fresh keyset for one file, serialized in the clear: it is for the record's `personal` and nothing else."""
    handle = tink.new_keyset_handle(streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_1MB)
    serialized: bytes = proto_keyset_format.serialize(handle, secret_key_access.TOKEN)
    return serialized


class EncryptingReader:
    """A readable that gives the ciphertext of `source`, pulling it as it is pulled.

    It keeps the segment in the making and no more. When the source raises, so does it, then and ever after:
    what was given so far has no last segment and never opens.
    """

    def __init__(self, source: Readable, keyset: bytes, associated_data: bytes) -> None:
        self._source = source
        self._made = _Made()
        self._stream = _primitive(keyset).new_encrypting_stream(self._made, associated_data)
        self._failed: BaseException | None = None
        self._ended = False

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes, fewer only at the end; everything when negative."""
        ready = self._made.ready
        while not self._ended and (size < 0 or len(ready) < size):
            self._pull()
        data = bytes(ready if size < 0 else memoryview(ready)[:size])
        del ready[: len(data)]
        return data

    def _pull(self) -> None:
        if self._failed is not None:
            raise self._failed
        try:
            plain = self._source.read(CHUNK)
        except BaseException as error:
            self._failed = error
            raise
        if plain:
            self._stream.write(plain)
        else:
            self._stream.close()
            self._ended = True


class DecryptingReader:
    """A readable that gives the plaintext of `source`; each segment is checked before any of it is given.

    Raises Damaged where the ciphertext is cut, reordered, changed, or has other associated data or another key.
    What the source itself raises comes through as it is. The source is left open.
    """

    def __init__(self, source: Readable, keyset: bytes, associated_data: bytes) -> None:
        self._taken = _Taken(source)
        buffered = _primitive(keyset).new_decrypting_stream(self._taken, associated_data)
        # Its buffer would copy every piece once more, and large ones into fresh memory.
        self._stream: Any = buffered.detach()

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes, none only at the end; everything when negative."""
        try:
            data: bytes = self._stream.read(size)
        except tink.TinkError:
            # Tink turns an error of its source into one of its own; the source's is the cause.
            if self._taken.failed is not None:
                raise self._taken.failed from None
            raise Damaged from None
        return data


def read_range(reader: Readable, start: int, length: int) -> Iterator[bytes]:
    """The `length` bytes from `start`, in chunks, decrypting up to them and no further.

    The caller has checked the range against the file's size; a file that ends before it raises Damaged.
    """
    for skip, wanted in ((True, start), (False, length)):
        left = wanted
        while left > 0:
            data = reader.read(min(_PIECE, left))
            if not data:
                raise Damaged
            left -= len(data)
            if not skip:
                yield data


def _primitive(keyset: bytes) -> streaming_aead.StreamingAead:
    handle = proto_keyset_format.parse(keyset, secret_key_access.TOKEN)
    return handle.primitive(streaming_aead.StreamingAead)


class _Made(io.RawIOBase):
    """Where Tink writes ciphertext to: a buffer that is emptied as it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.ready = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        piece = memoryview(data)
        self.ready += piece
        return len(piece)


class _Taken(io.RawIOBase):
    """Where Tink reads ciphertext from: the source, with what it raised kept aside."""

    def __init__(self, source: Readable) -> None:
        super().__init__()
        self._source = source
        self.failed: BaseException | None = None

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._source.read(size)
        except BaseException as error:
            self.failed = error
            raise
