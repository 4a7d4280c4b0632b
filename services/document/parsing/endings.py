"""Archives that lie behind the end of a file: a second file inside the first, which no viewer shows."""

from __future__ import annotations

from services.document.parsing.seekable import Seekable, read_at

TRAILING_ARCHIVE = "trailing_archive"

_ARCHIVES = (b"PK\x03\x04", b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b\x08", b"\xfd7zXZ\x00", b"MSCF\0\0\0\0")
_LONG_ENOUGH = 4  # bytes of a magic number that is looked for anywhere; shorter ones only at the very beginning
_ZIP_END = b"PK\x05\x06"
_ZIP_END_SIZE = 22
_LONGEST_COMMENT = 65_535
_PIECE = 256 * 1024
_BLANKS = b"\0\t\n\r \x1a"


def archive_behind(source: Seekable, end: int) -> tuple[str, ...]:
    """The warning that says so, where there is one behind `end`."""
    return (TRAILING_ARCHIVE,) if has_archive(source, end) else ()


def has_archive(source: Seekable, end: int) -> bool:
    """Whether an archive lies behind `end`, or the whole file can be opened as a ZIP too."""
    return _behind(source, end) or _is_zip(source)


def _behind(source: Seekable, end: int) -> bool:
    if read_at(source, end, 64).lstrip(_BLANKS).startswith(_ARCHIVES):
        return True
    anywhere = [magic for magic in _ARCHIVES if len(magic) > _LONG_ENOUGH or magic.startswith(b"PK")]
    for place in range(end, source.size, _PIECE):
        data = read_at(source, place, _PIECE + 16)
        if any(_starts_member(data, magic) for magic in anywhere):
            return True
    return False


def _starts_member(data: bytes, magic: bytes) -> bool:
    """Whether the magic number is there; of a ZIP's member also a version and a method that exist."""
    place = data.find(magic)
    while place >= 0:
        if not magic.startswith(b"PK") or (len(data) > place + 9 and data[place + 4] <= 63 and data[place + 9] == 0):
            return True
        place = data.find(magic, place + 1)
    return False


def _is_zip(source: Seekable) -> bool:
    """Whether a ZIP's directory ends the file: readers of ZIPs look for it from behind (APPNOTE, 4.3.16)."""
    tail = read_at(source, max(0, source.size - _ZIP_END_SIZE - _LONGEST_COMMENT), _ZIP_END_SIZE + _LONGEST_COMMENT)
    place = tail.rfind(_ZIP_END)
    if place < 0 or len(tail) - place < _ZIP_END_SIZE:
        return False
    comment = int.from_bytes(tail[place + 20 : place + 22], "little")
    directory = int.from_bytes(tail[place + 12 : place + 16], "little")
    return place + _ZIP_END_SIZE + comment <= len(tail) and directory <= source.size
