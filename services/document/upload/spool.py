"""A seekable copy of a file for readers that must look at it twice, unreadable to everyone but this process."""

from __future__ import annotations

import io
import os
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_AES_BLOCK = 16  # bytes
_PAGE = 64 * 1024  # bytes decrypted at a time; readers of PDFs ask for a few bytes here and there
_PAGES_KEPT = 8  # decrypted pages kept in memory


def _unnamed_file(directory: Path) -> int:
    """Open a file in `directory` that has no name, or loses it at once, and answers to its owner only."""
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:  # not every file system has files without a name (overlays, network shares)
        descriptor, name = tempfile.mkstemp(dir=directory)  # 0600
        os.unlink(name)
        return descriptor


class Spool(io.RawIOBase):
    """Bytes written at the end, read anywhere, lying on the disk in `directory` as AES-256-CTR ciphertext.

    The key is made here, is never written, and goes with the object: what is left on the disk of a process that
    was killed is noise. It isn't authenticated; it outlives neither the process nor the upload. Not for use by
    two threads at once.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._descriptor = _unnamed_file(directory)
        # The key is used for this one stream, so that the counter may begin at nought.
        self._key = AES(os.urandom(32))
        self._encryptor = Cipher(self._key, CTR(bytes(_AES_BLOCK))).encryptor()
        self._pages: OrderedDict[int, bytes] = OrderedDict()
        self._position = 0
        self.size = 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        """Append `data` whole, wherever the reader is; the reader's place doesn't move."""
        self._check_open()
        plain = memoryview(data).cast("B")
        cipher = memoryview(self._encryptor.update(plain))
        self._pages.pop(self.size // _PAGE, None)
        written = 0
        while written < len(cipher):
            written += os.pwrite(self._descriptor, cipher[written:], self.size + written)
        self.size += len(plain)
        return len(plain)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._check_open()
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise ValueError("a place before the start of the spool")
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        self._check_open()
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill `buffer` as far as the spool goes: short only at its end."""
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
            os.close(self._descriptor)
            self._pages.clear()
        super().close()

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
        counter = (start // _AES_BLOCK).to_bytes(_AES_BLOCK, "big")
        plain = Cipher(self._key, CTR(counter)).decryptor().update(cipher)
        self._pages[number] = plain
        if len(self._pages) > _PAGES_KEPT:
            self._pages.popitem(last=False)
        return plain

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the spool is closed")
