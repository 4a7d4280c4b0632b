"""A seekable copy of a file for readers that must look at it twice, unreadable to all but whom its key is given to."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from services.document.parsing.source import BLOCK, Source

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def _unnamed_file(directory: Path) -> int:
    """Open a file in `directory` that has no name, or loses it at once, and answers to its owner only."""
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:  # not every file system has files without a name (overlays, network shares)
        descriptor, name = tempfile.mkstemp(dir=directory)  # 0600
        os.unlink(name)
        return descriptor


class Spool(Source):
    """Bytes written at the end, read anywhere, lying on the disk in `directory` as AES-256-CTR ciphertext.

    The key is made here, is never written, and goes with the object: what is left on the disk of a process that
    was killed is noise. It outlives neither the process nor the upload.
    """

    def __init__(self, directory: Path) -> None:
        self.key = os.urandom(32)
        super().__init__(_unnamed_file(directory), self.key, 0)
        self._encryptor = Cipher(AES(self.key), CTR(bytes(BLOCK))).encryptor()

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        """Append `data` whole, wherever the reader is; the reader's place doesn't move."""
        self._check_open()
        plain = memoryview(data).cast("B")
        cipher = memoryview(self._encryptor.update(plain))
        written = 0
        while written < len(cipher):
            written += os.pwrite(self._descriptor, cipher[written:], self.size + written)
        self._grown(len(plain))
        return len(plain)

    def read_only(self) -> int:
        """Another descriptor of the ciphertext that can't write. The caller closes it. Raises OSError."""
        self._check_open()
        return os.open(f"/proc/self/fd/{self._descriptor}", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()
