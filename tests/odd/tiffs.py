"""TIFFs, written by hand around strips and tiles that Pillow or the standard library packed."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from PIL import Image

from services.document.parsing.errors import Feature, Reason
from tests import samples
from tests.odd.jpegs import half_then_end, jpeg
from tests.odd.said import Said

SHORT, LONG, LONG8, UNDEFINED = 3, 4, 16, 7
_SIZES = {1: 1, SHORT: 2, LONG: 4, UNDEFINED: 1, LONG8: 8}
_LETTERS = {1: "B", SHORT: "H", LONG: "I", LONG8: "Q"}
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class Page:
    """A picture's pieces and its fields but for where the pieces lie; `without` are fields that are left out."""

    pieces: Sequence[bytes]
    width: int = 100
    height: int = 80
    bits: Sequence[int] = (8,)
    compression: int = 1
    rows: int | None = None
    tile: tuple[int, int] | None = None
    colours: int = 1
    more: Mapping[int, tuple[int, Sequence[int] | bytes]] = field(default_factory=dict)
    without: tuple[int, ...] = ()

    def fields(self, places: Sequence[int]) -> dict[int, tuple[int, Sequence[int] | bytes]]:
        where, lengths = (324, 325) if self.tile else (273, 279)
        made: dict[int, tuple[int, Sequence[int] | bytes]] = {
            256: (LONG, [self.width]),
            257: (LONG, [self.height]),
            258: (SHORT, self.bits),
            259: (SHORT, [self.compression]),
            262: (SHORT, [self.colours]),
            where: (LONG, places),
            277: (SHORT, [len(self.bits)]),
            lengths: (LONG, [len(piece) for piece in self.pieces]),
        }
        if self.tile:
            made |= {322: (LONG, [self.tile[0]]), 323: (LONG, [self.tile[1]])}
        elif self.rows:
            made[278] = (LONG, [self.rows])
        made |= self.more
        return {tag: made[tag] for tag in sorted(made) if tag not in self.without}


def tiff(*pages: Page, order: str = "<", big: bool = False, backwards: bool = False, odd: bool = False) -> bytes:
    """A TIFF. backwards: its first directory lies last in the file; odd: at an odd place."""
    kind = (43, 8, 0) if big else (42,)
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}{len(kind)}H", *kind)
    body = bytearray(head + bytes(8 if big else 4))
    word, inline = ("Q", 8) if big else ("I", 4)
    places: dict[int, int] = {}
    links: dict[int, int] = {}
    for number in reversed(range(len(pages))) if backwards else range(len(pages)):
        page = pages[number]
        at = []
        for piece in page.pieces:
            at.append(len(body))
            body += piece
        entries = b""
        fields = page.fields(at)
        for tag, (kind, values) in fields.items():
            raw = bytes(values) if kind == UNDEFINED else struct.pack(f"{order}{len(values)}{_LETTERS[kind]}", *values)
            if len(raw) <= inline:
                value = raw.ljust(inline, b"\0")
            else:
                value = struct.pack(order + word, len(body))
                body += raw
            entries += struct.pack(order + "HH" + word, tag, kind, len(values)) + value
        body += b"\0" * (len(body) % 2 != odd)
        places[number] = len(body)
        body += struct.pack(order + ("Q" if big else "H"), len(fields)) + entries
        links[number] = len(body)
        body += bytes(inline)
    struct.pack_into(order + word, body, 8 if big else 4, places[0])
    for number in range(1, len(pages)):
        struct.pack_into(order + word, body, links[number - 1], places[number])
    return bytes(body)


def packed(image: Image.Image, compression: str, **options: object) -> bytes:
    """One strip, as Pillow packs it."""
    out = io.BytesIO()
    image.save(out, "TIFF", compression=compression, strip_size=10**9, **options)
    with Image.open(io.BytesIO(out.getvalue())) as saved:
        (place,), (length,) = saved.tag_v2[273], saved.tag_v2[279]
    return out.getvalue()[place : place + length]


def halves(data: bytes) -> bytes:
    return data[: len(data) // 2]


def packbits(data: bytes) -> bytes:
    pieces = (data[at : at + 128] for at in range(0, len(data), 128))
    return b"".join(bytes((len(piece) - 1,)) + piece for piece in pieces)


def _grey(width: int = 100, height: int = 80) -> Image.Image:
    return samples.picture(width, height, mode="L")


def _fax(width: int = 100, height: int = 80) -> Image.Image:
    return samples.picture(width, height, mode="1")


def _strips(image: Image.Image, rows: int, pack: Callable[[Image.Image], bytes]) -> list[bytes]:
    return [
        pack(image.crop((0, top, image.width, min(top + rows, image.height)))) for top in range(0, image.height, rows)
    ]


#: By name: number of the compression, how a piece is packed, bits of a pixel.
PACKERS: dict[str, tuple[int, Callable[[Image.Image], bytes], int]] = {
    "raw": (1, lambda image: image.tobytes(), 8),
    "LZW": (5, lambda image: packed(image, "tiff_lzw"), 8),
    "Deflate": (8, lambda image: zlib.compress(image.tobytes()), 8),
    "Deflate of old": (32946, lambda image: zlib.compress(image.tobytes()), 8),
    "PackBits": (32773, lambda image: packbits(image.tobytes()), 8),
    "JPEG": (7, lambda image: jpeg_of(image), 8),
    "Group 3": (3, lambda image: packed(image, "group3"), 1),
    "Group 4": (4, lambda image: packed(image, "group4"), 1),
    "Huffman": (2, lambda image: packed(image, "tiff_ccitt"), 1),
}


def jpeg_of(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG")
    return out.getvalue()


def page_of(name: str, *, rows: int | None = None, cut: bool = False, **more: object) -> Page:
    """A page in this compression; cut: half of its last strip is missing."""
    number, pack, bits = PACKERS[name]
    image = _grey() if bits == 8 else _fax()
    pieces = _strips(image, rows or image.height, pack)
    if cut:
        pieces[-1] = half_then_end(pieces[-1]) if name == "JPEG" else halves(pieces[-1])
    page = Page(pieces, compression=number, bits=(bits,), rows=rows, colours=1 if bits == 8 else 0)
    return replace(page, **more)  # type: ignore[arg-type]


def _tiled(pieces: int = 4) -> Page:
    return Page([bytes(64 * 48)] * pieces, tile=(64, 48))


def _saved(**options: object) -> bytes:
    out = io.BytesIO()
    samples.picture(100, 80).save(out, "TIFF", **options)
    return out.getvalue()


def _last_strip_gone(name: str) -> Page:
    page = page_of(name, rows=16)
    return replace(page, pieces=page.pieces[:-1])


def cases() -> list[Said]:
    raw = page_of("raw")
    thumbnail = Page([bytes(100)], width=10, height=10, more={254: (LONG, [1])})
    mask = Page([bytes(13 * 80)], bits=(1,), more={254: (LONG, [4])}, colours=4)
    small_of_old = Page([bytes(100)], width=10, height=10, more={255: (SHORT, [2])})
    outside = {65000: (LONG, [0] * 9)}
    sound: dict[str, bytes] = {name: tiff(page_of(name)) for name in PACKERS}
    sound |= {f"{name}, strips of 16 rows": tiff(page_of(name, rows=16)) for name in PACKERS}
    sound |= {f"{name}, the other order": tiff(page_of(name, rows=16), order=">") for name in PACKERS}
    sound |= {f"{name}, BigTIFF": tiff(page_of(name, rows=7), big=True) for name in PACKERS}
    endless = {278: (LONG, [2**32 - 1])}
    sound |= {f"{name}, endless strip": tiff(page_of(name, more=endless)) for name in PACKERS}
    sound |= {f"{name}, without lengths": tiff(page_of(name, rows=16, without=(279,))) for name in PACKERS}
    for name in ("Group 3", "Group 4", "Huffman"):
        page = page_of(name, rows=16, more={266: (SHORT, [2])})
        sound[f"{name}, bits the other way round"] = tiff(
            replace(page, pieces=[piece.translate(REVERSED) for piece in page.pieces])
        )
    sound |= {
        "tiles": tiff(_tiled()),
        "more strips than rows": tiff(replace(raw, pieces=[*_strips(_grey(), 16, PACKERS["raw"][1]), b"x"], rows=16)),
        "planes": tiff(Page([bytes(8000)] * 3, bits=(8, 8, 8), colours=2, more={284: (SHORT, [2])})),
        "CMYK": tiff(Page([bytes(32000)], bits=(8, 8, 8, 8), colours=5)),
        "CMYK with alpha": tiff(Page([bytes(40000)], bits=(8,) * 5, colours=5, more={338: (SHORT, [1])})),
        "RGB with two more": tiff(Page([bytes(40000)], bits=(8,) * 5, colours=2, more={338: (SHORT, [1, 0])})),
        "16 bits": tiff(Page([bytes(16000)], bits=(16,))),
        "4 bits": tiff(Page([bytes(4000)], bits=(4,))),
        "subsampled colours": tiff(Page([bytes(50 * 40 * 6)], bits=(8, 8, 8), colours=6)),
        "a prediction": _saved(compression="tiff_lzw", tiffinfo={317: 2}),
        "a private field outside": tiff(replace(raw, more=outside)).replace(
            struct.pack("<HHI", 65000, 4, 9), struct.pack("<HHI", 65000, 4, 2**30)
        ),
        "a private field of no type": tiff(replace(raw, more={65000: (SHORT, [1])})).replace(
            struct.pack("<HH", 65000, 3), struct.pack("<HH", 65000, 99)
        ),
        "a colour profile outside": tiff(replace(raw, more={34675: (UNDEFINED, bytes(9))})).replace(
            struct.pack("<HHI", 34675, 7, 9), struct.pack("<HHI", 34675, 7, 2**29)
        ),
        "at an odd place": tiff(raw, odd=True),
        "a last strip that says too much": tiff(replace(raw, more={279: (LONG, [99_999])})),
        "a length that says too little": tiff(replace(raw, more={279: (LONG, [7])})),
        "a length of nought": tiff(replace(page_of("LZW"), more={279: (LONG, [0])})),
        "zeros behind it": tiff(raw) + bytes(5000),
        "no place of a next one": tiff(raw)[:-4],
        "a picture that says it is a thumbnail": tiff(replace(raw, more={254: (LONG, [1])})),
        "saved by Pillow, JPEG in colour": _saved(compression="jpeg"),
        "a thumbnail behind": tiff(raw, thumbnail),
        "a thumbnail before": tiff(thumbnail, raw),
        "a thumbnail of the old kind": tiff(raw, small_of_old),
        "a thumbnail that is cut": tiff(raw, replace(thumbnail, pieces=[b"x"])),
        "a mask": tiff(raw, mask),
        "a place of inner pictures": tiff(replace(raw, more={330: (LONG, [8])})),
    }
    for options in (1, 5):  # Group 3 in two dimensions; and with fill bits
        out = io.BytesIO()
        _fax(300, 200).save(out, "TIFF", compression="group3", tiffinfo={292: options})
        sound[f"Group 3, options {options}"] = out.getvalue()
    pages = {
        "three pages": (tiff(raw, page_of("LZW"), page_of("Group 4")), 3),
        "two pages, the first one last": (tiff(raw, raw, backwards=True), 2),
        "pages and thumbnails": (tiff(raw, thumbnail, raw, thumbnail), 2),
        "pages that say that they are pages": (tiff(*[replace(raw, more={254: (LONG, [2])})] * 3), 3),
        "pages of Group 4, BigTIFF": (tiff(*[page_of("Group 4")] * 4, big=True), 4),
    }
    cut: dict[str, bytes] = {f"half of {name}": tiff(page_of(name, cut=True)) for name in PACKERS if name != "raw"}
    cut |= {f"half of a strip of {name}": tiff(page_of(name, rows=16, cut=True)) for name in PACKERS}
    cut |= {f"a strip of {name} is missing": tiff(_last_strip_gone(name)) for name in PACKERS}
    cut |= {f"half of {name}, the second page": tiff(raw, page_of(name, rows=16, cut=True)) for name in PACKERS}
    cut |= {
        "a tile": tiff(_tiled(3)),
        "half a tile": tiff(replace(_tiled(), pieces=[*_tiled().pieces[:3], bytes(100)])),
        "a plane": tiff(Page([bytes(8000)] * 2, bits=(8, 8, 8), colours=2, more={284: (SHORT, [2])})),
        "half its rows with an end mark": tiff(
            replace(page_of("Group 4"), pieces=[packed(_fax().crop((0, 0, 100, 40)), "group4")])
        ),
        "half its rows in Group 3": tiff(
            replace(page_of("Group 3"), pieces=[packed(_fax().crop((0, 0, 100, 40)), "group3")])
        ),
        "raw, the file ends early": tiff(thumbnail, raw)[:-3000],
        "its first half": samples.truncated(tiff(raw)),
        "no rows": tiff(replace(raw, height=0)),
        "no columns": tiff(replace(raw, width=0)),
        "no strips": tiff(replace(raw, without=(273,))),
        "its directory": tiff(raw)[:-20],
        "half of JPEG in tiles": tiff(
            Page([jpeg(64, 48, mode="L")] * 3 + [half_then_end(jpeg(64, 48, mode="L"))], compression=7, tile=(64, 48))
        ),
        "JPEG with fewer rows": tiff(Page([jpeg(100, 40, mode="L")], compression=7)),
    }
    other = {
        "JPEG of old": (page_of("JPEG", compression=6), Feature.TIFF_OLD_JPEG),
        "Zstandard": (replace(raw, compression=50000), Feature.TIFF_COMPRESSION),
        "WebP": (replace(raw, compression=50001), Feature.TIFF_COMPRESSION),
        "JBIG": (replace(raw, compression=34661), Feature.TIFF_COMPRESSION),
        "JPEG 2000": (replace(raw, compression=34712), Feature.TIFF_COMPRESSION),
        "uncompressed pieces of fax": (page_of("Group 4", more={293: (LONG, [2])}), Feature.TIFF_COMPRESSION),
        "a camera's raw data": (replace(raw, colours=32803), Feature.TIFF_RAW),
        "a thumbnail and a picture inside": (
            replace(thumbnail, more={254: (LONG, [1]), 330: (LONG, [8])}),
            Feature.TIFF_LAYOUT,
        ),
    }
    return [
        *(Said(f"TIFF, {name}", data, pages=1) for name, data in sound.items()),
        *(Said(f"TIFF, {name}", data, pages=count) for name, (data, count) in pages.items()),
        *(Said(f"TIFF, cut: {name}", data, refusal=Reason.BROKEN) for name, data in cut.items()),
        *(Said(f"TIFF, {name}", tiff(page), refusal=why) for name, (page, why) in other.items()),
        Said("TIFF, an archive behind", tiff(raw) + samples.zip_archive(), pages=1, warnings=("trailing_archive",)),
        Said("TIFF, without a page", b"II*\0\0\0\0\0", refusal=Reason.NO_PAGES),
        Said("TIFF, of 40,000 by 40,000", tiff(replace(raw, width=40_000, height=40_000)), refusal=Reason.TOO_MUCH),
    ]
