"""Builders of office documents, by the libraries that others use and by hand, good and bad."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence

import docx
import openpyxl

from services.document.parsing.media_types import DOCM, DOCX, ODT, XLSM, XLSX
from tests import samples

_OPC = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_STRICT = "http://purl.oclc.org/ooxml/officeDocument/relationships"
#: A kind that isn't kept.
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
MAIN = {
    DOCX: f"{DOCX}.main+xml",
    XLSX: f"{XLSX}.main+xml",
    DOCM: "application/vnd.ms-word.document.macroEnabled.main+xml",
    XLSM: "application/vnd.ms-excel.sheet.macroEnabled.main+xml",
    PPTX: f"{PPTX}.main+xml",
}
_PLACES = {
    DOCX: "word/document.xml",
    DOCM: "word/document.xml",
    XLSX: "xl/workbook.xml",
    XLSM: "xl/workbook.xml",
    PPTX: "ppt/presentation.xml",
}

Parts = Mapping[str, bytes | str]


def docx_by_python(*, pictures: int = 1) -> bytes:
    """A letter as python-docx writes it, with its author's name in it."""
    letter = docx.Document()
    letter.core_properties.author = samples.SECRET
    letter.add_paragraph(f"About {samples.SECRET}")
    for seed in range(pictures):
        letter.add_picture(io.BytesIO(samples.png(seed=seed)))
    return _saved(letter)


def xlsx_by_python(*, rows: int = 20) -> bytes:
    """A table as openpyxl writes it."""
    book = openpyxl.Workbook()
    for row in range(rows):
        book.active.append([samples.SECRET, row, "=SUM(B1:B9)"])
    return _saved(book)


def open_xml(
    media_type: str = DOCX,
    *,
    more: Parts | None = None,
    types: Sequence[tuple[str, str]] = (),
    related: Sequence[tuple[str, str, bool]] = (),
    strict: bool = False,
    by_default: bool = False,
    absolute: bool = False,
    main: str | bytes = "<document/>",
    kind: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    """A DOCX or XLSX by hand.

    types: parts and their content types. related: (type, target, is external) of the main part. by_default: the main
    part has its type by its extension. absolute: the package relates to it with a slash before.
    """
    place = _PLACES[media_type]
    told = [f'<Override PartName="/{name}" ContentType="{kind}"/>' for name, kind in types]
    if by_default:
        told.append(f'<Default Extension="xml" ContentType="{MAIN[media_type]}"/>')
    else:
        told.append(f'<Override PartName="/{place}" ContentType="{MAIN[media_type]}"/>')
    target = f"/{place}" if absolute else place
    root = [(f"{_STRICT if strict else _OFFICE}/officeDocument", target, False)]
    folder, _, name = place.partition("/")
    parts: dict[str, bytes | str] = {
        "[Content_Types].xml": f'<Types xmlns="{_OPC}/content-types">{"".join(told)}</Types>',
        "_rels/.rels": _relations(root),
        place: main,
        f"{folder}/_rels/{name}.rels": _relations([(f"{_OFFICE}/{kind}", *rest) for kind, *rest in related]),
        **(more or {}),
    }
    return zipped(parts, kind=kind)


def odt(
    *, more: Parts | None = None, content: str = "<office/>", mimetype: str = ODT, manifest: str = "<manifest/>"
) -> bytes:
    """An OpenDocument text by hand: its media type first, as it is (OpenDocument 1.3, part 2, 3.3)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("mimetype"), mimetype)
        for name, part in {"META-INF/manifest.xml": manifest, "content.xml": content, **(more or {})}.items():
            archive.writestr(name, part)
    return out.getvalue()


def zipped(parts: Parts, *, kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return out.getvalue()


class _OneWay(io.RawIOBase):
    """What can't be sought in: a program that writes to it puts sizes and checksums behind each entry."""

    def __init__(self) -> None:
        super().__init__()
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.data += data
        return len(data)


def with_descriptors(data: bytes) -> bytes:
    """The same archive as a program writes it that can't go back."""
    out = _OneWay()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            archive.writestr(name, source.read(name))
    return bytes(out.data)


def with_zip64(data: bytes) -> bytes:
    """The same archive with entries that say they may be larger than 4 GB."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            with archive.open(name, "w", force_zip64=True) as entry:
                entry.write(source.read(name))
    return out.getvalue()


def overlapping(data: bytes) -> bytes:
    """The same archive, whose last entry's bytes are said to be those of the one before: they count twice."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        first, second = archive.infolist()[-2:]
        start = archive.start_dir
    directory = bytearray(data[start:])
    place = directory.index(second.filename.encode()) - 46
    directory[place + 42 : place + 46] = first.header_offset.to_bytes(4, "little")
    return data[:start] + bytes(directory)


def compound(*streams: str) -> bytes:
    """A Microsoft compound file ([MS-CFB]) of empty streams of these names: three sectors, no data."""
    free, end, fat = b"\xff\xff\xff\xff", b"\xfe\xff\xff\xff", b"\xfd\xff\xff\xff"
    header = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16) + bytes.fromhex("3e000300feff09000600") + bytes(6)
    header += bytes(4) + (1).to_bytes(4, "little") + (1).to_bytes(4, "little") + bytes(4) + (4096).to_bytes(4, "little")
    header += end + bytes(4) + end + bytes(4) + bytes(4) + free * 108
    table = fat + b"\x02\0\0\0" + end + free * 125
    names = ["Root Entry", *streams]
    entries = b""
    for number in range(8):
        if number >= len(names):
            entries += bytes(64) + bytes(4) + free * 3 + bytes(48)
            continue
        name = names[number].encode("utf-16-le")
        kind = 5 if number == 0 else 2
        right = free if number in (0, len(names) - 1) else (number + 1).to_bytes(4, "little")
        child = (1).to_bytes(4, "little") if number == 0 and streams else free
        entries += name.ljust(64, b"\0") + (len(name) + 2).to_bytes(2, "little") + bytes([kind, 1])
        entries += free + right + child + bytes(36) + end + bytes(8)
    return header + table + entries


def _relations(related: Sequence[tuple[str, ...] | tuple[str, str, bool]]) -> str:
    told = "".join(
        f'<Relationship Id="r{number}" Type="{kind}" Target="{target}"'
        + (' TargetMode="External"/>' if external else "/>")
        for number, (kind, target, external) in enumerate(related)
    )
    return f'<Relationships xmlns="{_OPC}/relationships">{told}</Relationships>'


def _saved(document: object) -> bytes:
    out = io.BytesIO()
    document.save(out)  # type: ignore[attr-defined]
    return out.getvalue()
