"""Pictures that no decoder here draws, JPEG 2000 and JBIG2: whether all parts that they announce are there."""

from __future__ import annotations

_SOC, _SOT, _SIZ, _EOC = b"\xff\x4f", b"\xff\x90", b"\xff\x51", b"\xff\xd9"
_SOT_SIZE = 12
_MOST_PARTS = 2_000_000
_UNKNOWN = 0xFFFFFFFF
_PAGE, _END_OF_STRIPE = 48, 50  # JBIG2's types of segments
_DATA_AT = b"jp2c"
_PADDING = 16  # bytes behind the last segment that say nothing


def jpx_is_whole(data: bytes) -> bool:
    """Whether every tile of a JPEG 2000 has its last part inside the data (ISO/IEC 15444-1, A.4)."""
    start = _codestream_at(data)
    if start is None:
        return False
    if data[start + 2 : start + 4] != _SIZ:
        return False
    tiles = _tiles(data[start + 4 : start + 42])
    place = start + 2
    while data[place : place + 2] != _SOT:
        if data[place : place + 1] != b"\xff":
            return False
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    met: set[int] = set()
    for _ in range(_MOST_PARTS):
        head = data[place : place + _SOT_SIZE]
        if head[:2] == _EOC or (not head and len(met) >= tiles):
            return len(met) >= tiles
        if head[:2] != _SOT or len(head) < _SOT_SIZE:
            return False
        length = int.from_bytes(head[6:10], "big")
        if length == 0:  # up to the end mark
            met.add(int.from_bytes(head[4:6], "big"))
            return data.rstrip(b"\0\r\n").endswith(_EOC) and len(met) >= tiles
        if length < _SOT_SIZE or place + length > len(data):
            return False
        met.add(int.from_bytes(head[4:6], "big"))
        place += length
    return False


def _codestream_at(data: bytes) -> int | None:
    if data.startswith(_SOC):
        return 0
    place = 0
    while place + 8 <= len(data):
        length, kind, head = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8], 8
        if length == 1:
            length, head = int.from_bytes(data[place + 8 : place + 16], "big"), 16
        if kind == _DATA_AT:
            return place + head if data[place + head : place + head + 2] == _SOC else None
        if length < head:
            return None
        place += length
    return None


def _tiles(size: bytes) -> int:
    """How many tiles the header of a codestream says there are; 0 where it is no such header."""
    numbers = [int.from_bytes(size[at : at + 4], "big") for at in range(4, 36, 4)]
    width, height, _, _, tile_width, tile_height, left, top = numbers
    if not tile_width or not tile_height:
        return _UNKNOWN
    return -(-(width - left) // tile_width) * -(-(height - top) // tile_height)


def jbig2_has_rows(data: bytes, rows: int) -> bool:
    """Whether every segment of an embedded JBIG2 lies inside the data, and its page is high enough (T.88, 7.2)."""
    place, height, stripes = 0, 0, 0
    pages = 0
    for _ in range(_MOST_PARTS):
        if place >= len(data) or (len(data) - place < _PADDING and not data[place:].strip(b"\0\r\n")):
            break
        header = _segment(data, place)
        if header is None:
            return False
        kind, start, length = header
        if length == _UNKNOWN:
            return True  # its end is known only to a decoder
        if start + length > len(data):
            return False
        if kind == _PAGE and length >= 19:
            pages += 1
            height = max(height, int.from_bytes(data[start + 4 : start + 8], "big"))
        elif kind == _END_OF_STRIPE and length >= 4:
            stripes = max(stripes, int.from_bytes(data[start : start + 4], "big") + 1)
        place = start + length
    if not pages:
        return False
    return (stripes if height == _UNKNOWN else height) >= rows


def _segment(data: bytes, place: int) -> tuple[int, int, int] | None:
    """Type of a segment, the place of its data, and the data's length; None where the header is cut."""
    head = data[place : place + 6]
    if len(head) < 6:
        return None
    number, flags, count = int.from_bytes(head[:4], "big"), head[4], head[5] >> 5
    place += 6
    if count == 7:
        count = int.from_bytes(data[place - 1 : place + 3], "big") & 0x1FFFFFFF
        place += 3 + (count + 8) // 8
    place += count * (1 if number <= 256 else 2 if number <= 65536 else 4)
    place += 4 if flags & 0x40 else 1
    length = data[place : place + 4]
    if len(length) < 4:
        return None
    return flags & 0x3F, place + 4, int.from_bytes(length, "big")
