"""PDFs: made by pikepdf or by hand, then treated as copiers, mail programs and broken connections treat them."""

from __future__ import annotations

import base64
import io
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import pikepdf
from PIL import Image

from services.document.parsing.errors import Reason
from tests import samples
from tests.odd.jpegs import half_then_end, jpeg
from tests.odd.said import Said
from tests.odd.tiffs import packed

Name, Dictionary = pikepdf.Name, pikepdf.Dictionary


def by_hand(
    *,
    shift: int = 0,
    size: int = 0,
    xref: bool = True,
    length: int = 0,
    eol: bytes = b"\n",
    drop: int | None = None,
    before: bytes = b"",
    more: bytes = b"",
) -> bytes:
    """A PDF of two pages and a classic table. shift: added to each place in it; size, length: added to those numbers.

    drop: an object that is left out; before: what stands before the first line, counted in the places.
    """  # fmt: skip
    content = b"BT /F1 12 Tf 72 700 Td (Hello) Tj ET"
    stream = b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content) + length, content)
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R"
    page += b" /Resources << /Font << /F1 7 0 R >> >> >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R 4 0 R] /Count 2 >>",
        page % 5,
        page % 6,
        stream,
        stream,
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, places = before + b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n" + more, []
    for number, thing in enumerate(objects, 1):
        places.append(len(out))
        if number != drop:
            out += b"%d 0 obj\n%s\nendobj\n" % (number, thing)
    start = len(out)
    if xref:
        out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
        out += b"".join(b"%010d 00000 n \n" % (place + shift) for place in places)
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    out += trailer % (len(objects) + 1 + size, start + shift)
    return out.replace(b"\n", eol) if eol != b"\n" else out


def scanned(data: bytes, *, width: int = 100, height: int = 80, holder: str = "page", **entries: Any) -> bytes:
    """A page with one picture, whose stream is `data`; in a form or a pattern of the page, if `holder` says so."""
    document = pikepdf.new()
    page = document.add_blank_page(page_size=(595, 842))
    image = pikepdf.Stream(document, data)
    known = {"Type": Name.XObject, "Subtype": Name.Image, "Width": width, "Height": height, "BitsPerComponent": 8}
    for key, value in {**known, "ColorSpace": Name.DeviceGray, **entries}.items():
        image[f"/{key}"] = value
    used = Dictionary(XObject=Dictionary(Im0=image))
    if holder == "page":
        page.Resources = used
        page.Contents = pikepdf.Stream(document, b"q 595 0 0 842 0 0 cm /Im0 Do Q")
        return _saved(document)
    inner = pikepdf.Stream(document, b"q 595 0 0 842 0 0 cm /Im0 Do Q")
    inner.Resources, inner.BBox = used, pikepdf.Array([0, 0, 595, 842])
    if holder == "form":
        inner.Type, inner.Subtype = Name.XObject, Name.Form
        page.Resources = Dictionary(XObject=Dictionary(Fm0=inner))
    else:
        inner.Type, inner.PatternType, inner.PaintType, inner.TilingType = Name.Pattern, 1, 1, 1
        inner.XStep = inner.YStep = 100
        page.Resources = Dictionary(Pattern=Dictionary(P0=inner))
    page.Contents = pikepdf.Stream(document, b"/Fm0 Do" if holder == "form" else b"/Pattern cs /P0 scn 0 0 9 9 re f")
    return _saved(document)


def drawn(content: bytes, **options: Any) -> bytes:
    """A page with these drawing instructions."""
    document = pikepdf.new()
    document.add_blank_page(page_size=(595, 842)).Contents = pikepdf.Stream(document, content)
    return _saved(document, **options)


def _saved(document: pikepdf.Pdf, **options: Any) -> bytes:
    out = io.BytesIO()
    document.save(out, **{"compress_streams": False, **options})
    return out.getvalue()


def _grey() -> bytes:
    return samples.picture(100, 80, mode="L").tobytes()


def _predicted(rows: int = 80) -> bytes:
    data = _grey()
    return zlib.compress(b"".join(b"\0" + data[at : at + 100] for at in range(0, 100 * rows, 100)))


def _fax() -> Image.Image:
    return samples.picture(100, 80, mode="1")


#: By name: the data, its entries, and the same with half its rows.
def pictures() -> Mapping[str, tuple[bytes, bytes, dict[str, Any]]]:
    grey, photo = _grey(), jpeg(100, 80, mode="L")
    half = grey[: len(grey) // 2]
    predictor = Dictionary(Predictor=15, Columns=100)
    fax = {"BitsPerComponent": 1, "Filter": Name.CCITTFaxDecode}
    group4 = Dictionary(K=-1, Columns=100, Rows=80)
    aligned = Dictionary(K=0, Columns=100, EncodedByteAlign=True)
    flate = Name.FlateDecode
    ascii85 = base64.a85encode(grey) + b"~>"
    mask = {"ImageMask": True, "BitsPerComponent": 1}
    g4, g3, huffman = (packed(_fax(), kind) for kind in ("group4", "group3", "tiff_ccitt"))
    colours, four = jpeg(100, 80), jpeg(100, 80, mode="CMYK")
    ten = b"".join(b"\0" + bytes(100) for _ in range(80))
    jp2, codestream = _jp2(), _jp2(raw=True)
    return {
        "JPEG": (photo, half_then_end(photo), {"Filter": Name.DCTDecode}),
        "JPEG in colour": (colours, half_then_end(colours), {"Filter": Name.DCTDecode, "ColorSpace": Name.DeviceRGB}),
        "JPEG in CMYK": (four, half_then_end(four), {"Filter": Name.DCTDecode, "ColorSpace": Name.DeviceCMYK}),
        "JPEG, packed": (zlib.compress(photo), zlib.compress(half_then_end(photo)),
                         {"Filter": pikepdf.Array([flate, Name.DCTDecode])}),
        "JPEG in letters": (photo.hex().encode() + b">", half_then_end(photo).hex().encode() + b">",
                            {"Filter": pikepdf.Array([Name.ASCIIHexDecode, Name.DCTDecode])}),
        "nothing": (grey, half, {}),
        "Flate": (zlib.compress(grey), zlib.compress(half), {"Filter": flate}),
        "Flate, cut": (zlib.compress(grey), zlib.compress(grey)[:3000], {"Filter": flate}),
        "Flate with a prediction": (_predicted(), _predicted(40), {"Filter": flate, "DecodeParms": predictor}),
        "Flate with a prediction, blank": (zlib.compress(ten), zlib.compress(ten[:4040]),
                                           {"Filter": flate, "DecodeParms": predictor}),
        "letters": (ascii85, base64.a85encode(half) + b"~>", {"Filter": Name.ASCII85Decode}),
        "a mask": (bytes(13 * 80), bytes(13 * 40), mask),
        "Group 4": (g4, g4[: len(g4) // 2], {**fax, "DecodeParms": group4}),
        "Group 4, half its rows": (g4, packed(_fax().crop((0, 0, 100, 40)), "group4"), {**fax, "DecodeParms": group4}),
        "Group 4 without an end mark": (g4[:-3], g4[: len(g4) // 3], {**fax, "DecodeParms": group4}),
        "Group 3": (g3, g3[: len(g3) // 2], {**fax, "DecodeParms": Dictionary(K=0, Columns=100)}),
        "Huffman": (huffman, huffman[: len(huffman) // 2], {**fax, "DecodeParms": aligned}),
        "JPEG 2000": (jp2, jp2[: len(jp2) // 2], {"Filter": Name.JPXDecode}),
        "JPEG 2000, bare": (codestream, codestream[: len(codestream) // 2], {"Filter": Name.JPXDecode}),
        "JBIG2": (_jbig2(80), _jbig2(80)[:-40], {"BitsPerComponent": 1, "Filter": Name.JBIG2Decode}),
        "JBIG2 with fewer rows": (_jbig2(80), _jbig2(40), {"BitsPerComponent": 1, "Filter": Name.JBIG2Decode}),
        "a palette": (grey, half, {"ColorSpace": pikepdf.Array([Name.Indexed, Name.DeviceRGB, 255, bytes(768)])}),
        "a spot colour": (grey, half, {"ColorSpace": pikepdf.Array([Name.Separation, Name.Spot, Name.DeviceGray, {}])}),
    }  # fmt: skip


def _jp2(*, raw: bool = False) -> bytes:
    out = io.BytesIO()
    samples.picture(100, 80, mode="L").save(out, "JPEG2000", no_jp2=raw)
    return out.getvalue()


def _jbig2(height: int) -> bytes:
    """Segments of an embedded JBIG2: a page, and one generic region whose coding nothing here reads."""

    def segment(number: int, kind: int, data: bytes) -> bytes:
        return number.to_bytes(4, "big") + bytes((kind, 0, 1)) + len(data).to_bytes(4, "big") + data

    def places(*numbers: int) -> bytes:
        return b"".join(number.to_bytes(4, "big") for number in numbers)

    page = segment(0, 48, places(100, height, 0, 0) + bytes(3))
    return page + segment(1, 38, places(100, height, 0, 0) + bytes(70))


def _inline(rows: int) -> bytes:
    return b"q 9 0 0 9 0 0 cm BI /W 10 /H 20 /BPC 8 /CS /G ID " + b"a" * (10 * rows) + b"\nEI Q"


def locked(user: str, owner: str, revision: int) -> bytes:
    """Locked in the way of one revision of PDF's standard lock."""
    with pikepdf.open(io.BytesIO(samples.pdf_text("Locked"))) as document:
        aes = revision >= 4
        how = pikepdf.Encryption(user=user, owner=owner, R=revision, aes=aes, metadata=aes)
        return _saved(document, encryption=how)


def _swapped(data: bytes, pattern: bytes, other: Callable[[re.Match[bytes]], bytes]) -> bytes:
    return re.sub(pattern, other, data)


def _revised(cut: int | None = None) -> bytes:
    """With a second revision, of which only the first `cut` bytes are there."""
    whole = samples.pdf_revised()
    first = len(samples.pdf_text("First", pages=1, object_streams=False))
    return whole if cut is None else whole[: first + cut]


def cases() -> list[Said]:
    plain, streams = by_hand(), samples.pdf_text("x", pages=2)
    web = samples.pdf_text("Web", pages=9, linearize=True, object_streams=False)
    photo = jpeg(100, 80, mode="L")
    bom = b"\xef\xbb\xbf"
    signature = b"\r\n--\r\nSent by the council\r\n"
    sound: dict[str, tuple[bytes, int]] = {
        "by hand": (plain, 2),
        "tables in streams": (streams, 2),
        "revised": (_revised(), 1),
        "revised by pikepdf": (_saved_twice(), 2),
        "for the web": (web, 9),
        "for the web, without its last line's end": (web.rstrip(), 9),
        "both kinds of table": (_hybrid(), 2),
        "a table whose size is one too large": (by_hand(size=1), 2),
        "a table whose size is one too small": (by_hand(size=-1), 2),
        "a table that is 3 bytes off": (by_hand(shift=3), 2),
        "a table that is 17 bytes off": (by_hand(shift=-17), 2),
        "a place of the table that is off": (re.sub(rb"startxref\n\d+", b"startxref\n5", plain), 2),
        "no table": (by_hand(xref=False), 2),
        "streams longer than they say": (by_hand(length=-5), 2),
        "streams 3 bytes shorter than they say": (by_hand(length=3), 2),
        "other ends of line": (by_hand(eol=b"\r\n"), 2),
        "a byte order mark": (bom + plain, 2),
        "a byte order mark that is counted": (by_hand(before=bom), 2),
        "a line before": (b"\n" + plain, 2),
        "a line before that is counted": (by_hand(before=b"\r\n"), 2),
        "1,000 bytes before": (b"x" * 1000 + plain, 2),
        "1,000 bytes before that are counted": (by_hand(before=b"\n" * 1000), 2),
        "a web server's words before": (b"<br />\n<b>Warning</b>: in line 3<br />\n" + streams, 2),
        "4,845 zeros behind": (plain + bytes(4845), 2),
        "60,000 zeros behind": (streams + bytes(60_000), 2),
        "3 MB of zeros behind": (plain + bytes(3_000_000), 2),
        "blanks behind": (plain + b"\r\n \t\n" * 500, 2),
        "a signature behind": (plain + signature, 2),
        "HTML behind": (plain + b"<html><body>Virus free.</body></html>" * 100, 2),
        "no line's end": (plain.rstrip(), 2),
        "a boundary of mail behind": (plain + b"------=_Part_12_34.56--\r\n", 2),
        "an owner's password, R2": (locked("", "owner", 2), 2),
        "an owner's password, R3": (locked("", "owner", 3), 2),
        "an owner's password, R4": (locked("", "owner", 4), 2),
        "an owner's password, R6": (locked("", "owner", 6), 2),
        "40 MB of drawing": (drawn(b"0 0 m\n" * 7_000_000, compress_streams=True), 1),
        "drawing whose checksum is wrong": (_flate(lambda data: data[:-4] + b"\0\0\0\0"), 1),
        "drawing without a checksum": (_flate(lambda data: data[:-4]), 1),
        "drawing that was only flushed": (_flushed(), 1),
        "an empty page": (drawn(b""), 1),
        "an empty page, packed": (drawn(b"", compress_streams=True), 1),
        "a small picture in its drawing": (drawn(_inline(20)), 1),
        "letters that look like a picture": (drawn(b"BT (BI ID EI) Tj ET"), 1),
        "a JPEG with words behind": (scanned(photo + b"\r\n", Filter=Name.DCTDecode), 1),
        "a JPEG with a line before": (scanned(b"\n" + photo, Filter=Name.DCTDecode), 1),
        "a JPEG higher than its sheet": (_higher_than_sheet(), 1),
        "a JPEG of 12 bits": (scanned(_twelve_bits(photo), Filter=Name.DCTDecode), 1),
        "a picture with a filter of tomorrow": (scanned(b"x", Filter=Name.FutureDecode), 1),
        "a picture whose last row ends early": (scanned(_grey()[:-3]), 1),
        "a picture with more than its rows": (scanned(_grey() + b"\n\n"), 1),
        "a count of pages that is too small": (plain.replace(b"/Count 2", b"/Count 1"), 2),
        "the same page twice": (plain.replace(b"[3 0 R 4 0 R]", b"[3 0 R 3 0 R]"), 2),
        "words about scripts": (drawn(b"BT (/JavaScript /Launch /EmbeddedFile) Tj ET"), 1),
        "words about scripts in its title": (_titled("/JS /JavaScript /Launch /EF"), 2),
        "2,000 pages": (samples.pdf_text("x", pages=2000), 2000),
    }
    for name, (whole, _, entries) in pictures().items():
        for holder in ("page", "form", "pattern"):
            sound[f"a picture: {name}, in a {holder}"] = (scanned(whole, holder=holder, **entries), 1)
    cut: dict[str, bytes] = {
        "half": samples.truncated(plain),
        "half, tables in streams": samples.truncated(streams),
        "half, for the web": samples.truncated(web),
        "half and an end": samples.truncated(plain) + b"\nstartxref\n9\n%%EOF\n",
        "for the web, its first page alone": web[: web.index(b"%%EOF") + 6],
        "a revision": _revised(30),
        "a revision but for its end": _revised()[:-8],
        "an object": by_hand(drop=6),
        "a page": by_hand(drop=4),
        "an object, and the table off": by_hand(drop=6, shift=3),
        "an object, and no table": by_hand(drop=6, xref=False),
        "a piece of a stream": by_hand(length=500),
        "a count of pages that is too large": plain.replace(b"/Count 2", b"/Count 3"),
        "a page that isn't there": plain.replace(b"4 0 R]", b"9 0 R]"),
        "another PDF behind": plain + streams,
        "half its drawing": _flate(lambda data: data[: len(data) // 2]),
        "a small picture in its drawing": drawn(_inline(10)),
        "a picture that isn't there": _without_picture(),
        "a JPEG much lower than its sheet": scanned(photo, height=160, Filter=Name.DCTDecode),
        "a picture without rows": scanned(b"", Filter=Name.FlateDecode),
    }
    for name, (_, half, entries) in pictures().items():
        for holder in ("page", "form", "pattern"):
            cut[f"a picture: {name}, in a {holder}"] = scanned(half, holder=holder, **entries)
    active: dict[str, tuple[bytes, tuple[str, ...]]] = {
        kind: (samples.pdf_active(kind), (kind,)) for kind in ("javascript", "launch_action", "embedded_files")
    }
    every = ("embedded_files", "javascript", "launch_action")
    active |= {
        "all three": (samples.pdf_active(*every), every),
        "javascript in a name that is disguised": (
            _saved_with(Dictionary(S=Name("/Java#53cript"), JS="x")),
            ("javascript",),
        ),
        "javascript, in object streams": (_saved_with(Dictionary(S=Name.JavaScript, JS="x")), ("javascript",)),
        "an archive behind": (plain + samples.zip_archive(), ("trailing_archive",)),
        "an archive behind zeros": (plain + bytes(5000) + samples.zip_archive(), ("trailing_archive",)),
        "a RAR behind": (plain + b"Rar!\x1a\x07\x01\x00" + bytes(100), ("trailing_archive",)),
    }
    opened = [
        Said(f"PDF, locked, R{revision}, {user}", locked(user, "owner", revision), pages=2,
             password=user, locked=True)
        for revision in (2, 3, 4, 6)
        for user in ("open sesame", "Löwe")
    ]  # fmt: skip
    six = locked("open sesame", "owner", 6)
    return [
        *(Said(f"PDF, {name}", data, pages=pages) for name, (data, pages) in sound.items()),
        *(Said(f"PDF, cut: {name}", data, refusal=Reason.BROKEN) for name, data in cut.items()),
        *(Said(f"PDF, active: {name}", data, pages=2, warnings=told) for name, (data, told) in active.items()),
        *opened,
        Said("PDF, locked, R3, Škoda", locked("Škoda", "owner", 3), pages=2, password="Škoda", locked=True),
        Said("PDF, locked, its owner's password", six, pages=2, password="owner", locked=True),
        Said("PDF, locked, no password", six, refusal=Reason.NEEDS_PASSWORD),
        Said("PDF, locked, a wrong password", six, refusal=Reason.WRONG_PASSWORD, password="open"),
        Said("PDF, locked and cut", samples.truncated(six), refusal=Reason.BROKEN, password="open sesame"),
        Said("PDF, a password that isn't needed", plain, pages=2, password="x"),
        Said("PDF, locked in a publisher's way", _other_lock(), refusal=Reason.UNKNOWN_LOCK),
        Said("PDF, 1 GB of drawing", _gigabyte(), refusal=Reason.TOO_MUCH),
        Said("PDF, without pages", samples.pdf_without_pages(), refusal=Reason.NO_PAGES),
    ]  # fmt: skip


def _flate(change: Callable[[bytes], bytes]) -> bytes:
    document = pikepdf.new()
    content = change(zlib.compress(samples.picture(60, 60).tobytes().hex().encode()))
    stream = pikepdf.Stream(document, content)
    stream.Filter = Name.FlateDecode
    document.add_blank_page().Contents = stream
    return _saved(document)


def _flushed() -> bytes:
    packing = zlib.compressobj()
    whole = packing.compress(b"0 0 m\n" * 1000) + packing.flush(zlib.Z_SYNC_FLUSH)
    return _flate(lambda data: whole)


def _gigabyte() -> bytes:
    packing = zlib.compressobj(9)
    data = b"".join(packing.compress(bytes(1024 * 1024)) for _ in range(1024)) + packing.flush()
    return _flate(lambda _: data)


def _saved_twice() -> bytes:
    with pikepdf.open(io.BytesIO(samples.pdf_text("x", pages=2))) as document:
        document.docinfo["/Author"] = "x"
        return _saved(document, object_stream_mode=pikepdf.ObjectStreamMode.generate)


def _hybrid() -> bytes:
    """A classic table and, for readers of PDF 1.5, an empty one in a stream."""
    entry = b"<< /Type /XRef /Size 9 /W [1 2 1] /Index [8 0] /Root 1 0 R /Length 0 >>\nstream\n\nendstream"
    plain = by_hand(more=b"8 0 obj\n" + entry + b"\nendobj\n")
    place = plain.index(b"8 0 obj")
    return plain.replace(b"/Root 1 0 R >>\nstartxref", b"/Root 1 0 R /XRefStm %d >>\nstartxref" % place)


def _twelve_bits(data: bytes) -> bytes:
    place = data.index(b"\xff\xc0")
    return data[: place + 1] + b"\xc1" + data[place + 2 : place + 4] + b"\x0c" + data[place + 5 :]


def _higher_than_sheet() -> bytes:
    """As sheet feeders do it: the JPEG says that it has the greatest height, and ends where the sheet did."""
    data = bytearray(jpeg(100, 80, mode="L"))
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 7] = (500).to_bytes(2, "big")
    return scanned(bytes(data), Filter=Name.DCTDecode)


def _without_picture() -> bytes:
    data = scanned(_grey())
    return re.sub(rb"/Im0 \d+ 0 R", b"/Im0 9 0 R", data)


def _titled(title: str) -> bytes:
    with pikepdf.open(io.BytesIO(samples.pdf_text("x", pages=2))) as document:
        document.docinfo["/Title"] = title
        return _saved(document)


def _saved_with(action: Any) -> bytes:
    with pikepdf.open(io.BytesIO(samples.pdf_text("x", pages=2))) as document:
        document.Root.OpenAction = document.make_indirect(action)
        data = _saved(document, object_stream_mode=pikepdf.ObjectStreamMode.generate)
    return data.replace(b"/Java#2353cript", b"/Java#53cript")


def _other_lock() -> bytes:
    lock = b"/Encrypt << /Filter /Publisher.Lock /V 1 /R 1 >> /ID [<00> <00>]"
    return by_hand().replace(b"/Root 1 0 R >>\nstart", b"/Root 1 0 R " + lock + b" >>\nstart")
