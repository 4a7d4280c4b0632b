"""PNGs."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

from PIL import PngImagePlugin

from services.document.parsing.errors import Feature, Reason
from tests import samples
from tests.odd.said import Said

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes, *, wrong: bool = False) -> bytes:
    checksum = zlib.crc32(kind + data) ^ wrong
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(SIGNATURE)
    while place < len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        place += 12 + length


def made(
    width: int = 40,
    height: int = 30,
    *,
    colours: int = 2,
    depth: int = 8,
    interlaced: int = 0,
    missing: int = 0,
    **more: bytes,
) -> bytes:
    """A PNG written by hand. missing: rows that are left out. more: `before` and `after`, chunks around the data."""
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colours]
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    sizes = [(width, height)]
    if interlaced:
        sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes]
    rows = [bytes(1 + (w * bits + 7) // 8) for w, h in sizes if w > 0 for _ in range(h)]
    data = zlib.compress(b"".join(rows[: len(rows) - missing]))
    head = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, interlaced)
    body = chunk(b"IHDR", head) + more.get("before", b"") + chunk(b"IDAT", more.get("data", data))
    return SIGNATURE + body + more.get("after", b"") + chunk(b"IEND", b"")


def saved(mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    samples.picture(60, 45, mode=mode).save(out, "PNG", **options)
    return out.getvalue()


def animated() -> bytes:
    out = io.BytesIO()
    first, second = samples.picture(60, 45), samples.picture(60, 45, seed=2)
    first.save(out, "PNG", save_all=True, append_images=[second])
    return out.getvalue()


def with_texts() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * 3_000_000, zip=True)
    info.add_itxt("XML:com.adobe.xmp", "y" * 2_000_000)
    return saved(pnginfo=info)


def in_pieces(data: bytes, size: int) -> bytes:
    """With its data in many chunks."""
    out = SIGNATURE
    for kind, content in chunks(data):
        if kind == b"IDAT":
            pieces = [content[at : at + size] for at in range(0, len(content), size)]
            out += b"".join(chunk(b"IDAT", piece) for piece in pieces)
        else:
            out += chunk(kind, content)
    return out


def half(data: bytes) -> bytes:
    """Half its data, with the right checksums and an end."""
    out = SIGNATURE
    for kind, content in chunks(data):
        out += chunk(kind, content[: len(content) // 2] if kind == b"IDAT" else content)
    return out


def cases() -> list[Said]:
    plain = saved()
    palette = chunk(b"PLTE", bytes(range(48)))
    sound = {
        "plain": plain,
        "grey": saved("L"),
        "with alpha": saved("RGBA"),
        "black and white": saved("1"),
        "16 bits": made(colours=0, depth=16),
        "palette": made(colours=3, depth=4, before=palette),
        "1 bit of grey": made(33, 7, colours=0, depth=1),
        "interlaced": made(interlaced=1),
        "interlaced and small": made(1, 1, interlaced=1),
        "interlaced, 3 by 5": made(3, 5, interlaced=1, colours=6),
        "a colour profile of 3 MB": saved(icc_profile=bytes(3_000_000)),
        "long texts": with_texts(),
        "moving": animated(),
        "in small pieces": in_pieces(plain, 100),
        "in pieces of one byte": in_pieces(made(), 1),
        "a wrong checksum of a comment": made(before=chunk(b"tEXt", b"Comment\0x", wrong=True)),
        "a wrong checksum of all its data": made(data=zlib.compress(bytes(30 * 121))[:-4] + b"\0\0\0\0"),
        "no checksum of all its data": made(data=zlib.compress(bytes(30 * 121))[:-4]),
        "more data than rows": made(data=zlib.compress(bytes(40 * 121))),
        "zeros behind the end": plain + bytes(5000),
        "words behind the end": plain + b"<!-- sent from a phone -->",
        "a chunk of its own": made(after=chunk(b"teSt", b"x")),
    }
    cut = {
        "half its data": half(plain),
        "half its data, interlaced": half(made(100, 100, interlaced=1)),
        "the last row": made(missing=1),
        "the last row, interlaced": made(interlaced=1, missing=1),
        "a wrong checksum": plain[: plain.index(b"IDAT") + 50] + b"\0\1\2" + plain[plain.index(b"IDAT") + 53 :],
        "no end": plain[:-12],
        "half": samples.truncated(plain),
        "no rows": made(40, 0),
        "no columns": made(0, 30),
        "no palette": made(colours=3),
        "no data": SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)) + chunk(b"IEND", b""),
        "data that doesn't unpack": made(data=b"\x78\x9c" + b"\xff" * 100),
        "moving, half its data": half(animated()),
    }
    return [
        *(Said(f"PNG, {name}", data, pages=1) for name, data in sound.items()),
        *(Said(f"PNG, cut: {name}", data, refusal=Reason.BROKEN) for name, data in cut.items()),
        Said(
            "PNG, as Apple has it for apps", SIGNATURE + chunk(b"CgBI", bytes(4)) + plain[8:], refusal=Feature.PNG_APPLE
        ),
        Said("PNG, with an archive behind it", plain + samples.zip_archive(), pages=1, warnings=("trailing_archive",)),
        Said("PNG, of 30,000 by 30,000", made(30_000, 30_000, data=b"x"), refusal=Reason.TOO_MUCH),
    ]
