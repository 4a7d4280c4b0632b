"""A file of a stranger's as its reader sees it: bytes under a key of their own, behind a descriptor, read anywhere."""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK = 256 * 1024  # bytes read at a time where a whole file is walked
BLOCK = 16  # bytes of an AES block
_PAGE = 64 * 1024  # bytes decrypted at a time; readers of PDFs ask for a few bytes here and there
_PAGES_KEPT = 8  # decrypted pages kept in memory


class Source(io.RawIOBase):
    """`size` bytes of AES-256-CTR ciphertext behind a descriptor, read as plaintext from any place.

    The counter begins at nought, so a key serves one file alone. Nothing is authenticated. The descriptor is the
    caller's and stays open. Not for use by two threads at once.
    """

    def __init__(self, descriptor: int, key: bytes, size: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._key = AES(key)
        self._pages: OrderedDict[int, bytes] = OrderedDict()
        self._position = 0
        self.size = size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._check_open()
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise ValueError("a place before the start of the file")
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        self._check_open()
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill `buffer` as far as the file goes: short only at its end."""
        self._check_open()
        target = memoryview(buffer).cast("B")
        done = 0
        while done < len(target) and self._position < self.size:
            number, skip = divmod(self._position, _PAGE)
            piece = memoryview(self._page(number))[skip : skip + len(target) - done]
            target[done : done + len(piece)] = piece
            done += len(piece)
            self._position += len(piece)
        return done

    def close(self) -> None:
        if not self.closed:
            self._pages.clear()
        super().close()

    def _grown(self, size: int) -> None:
        """`size` more bytes lie behind the descriptor than before."""
        self._pages.pop(self.size // _PAGE, None)
        self.size += size

    def _page(self, number: int) -> bytes:
        if number in self._pages:
            self._pages.move_to_end(number)
            return self._pages[number]
        start = number * _PAGE
        length = min(_PAGE, self.size - start)
        cipher = bytearray()
        while len(cipher) < length:
            piece = os.pread(self._descriptor, length - len(cipher), start + len(cipher))
            if not piece:
                raise OSError(5, "the spool was cut")  # EIO
            cipher += piece
        counter = (start // BLOCK).to_bytes(BLOCK, "big")
        plain = Cipher(self._key, CTR(counter)).decryptor().update(cipher)
        self._pages[number] = plain
        if len(self._pages) > _PAGES_KEPT:
            self._pages.popitem(last=False)
        return plain

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the spool is closed")
