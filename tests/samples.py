"""Builders of real files, good and bad, for tests: every byte is made here, by the libraries that others use."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib

import pikepdf
from PIL import Image

# A child's name in a file's metadata: what must never come out in an error, a log or a sentence.
SECRET = "Zoë Featherstonehaugh"


def picture(width: int = 320, height: int = 240, *, mode: str = "RGB", seed: int = 1) -> Image.Image:
    """A picture of noise, the same for the same seed, so that no part of it looks like another."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    if mode == "1":
        return picture(width, height, mode="L", seed=seed).convert("1")
    return Image.frombytes(mode, (width, height), random.Random(seed).randbytes(width * height * bands))


def jpeg(width: int = 320, height: int = 240, *, progressive: bool = False, seed: int = 1, quality: int = 85) -> bytes:
    """A JPEG with Exif data that names a person."""
    exif = Image.Exif()
    exif[0x010E] = SECRET  # ImageDescription
    out = io.BytesIO()
    image = picture(width, height, seed=seed)
    image.save(out, "JPEG", quality=quality, progressive=progressive, exif=exif)
    return out.getvalue()


def png(width: int = 320, height: int = 240, *, seed: int = 1) -> bytes:
    out = io.BytesIO()
    picture(width, height, seed=seed).save(out, "PNG")
    return out.getvalue()


def tiff(
    pages: int = 3, *, compression: str = "tiff_lzw", mode: str = "RGB", seed: int = 1, big: bool = False
) -> bytes:
    """A TIFF of several pages; `compression` is Pillow's word for it."""
    images = [picture(200, 150, mode=mode, seed=seed + number) for number in range(pages)]
    out = io.BytesIO()
    images[0].save(out, "TIFF", save_all=True, append_images=images[1:], compression=compression, big_tiff=big)
    return out.getvalue()


def pdf_text(*lines: str, pages: int = 2, object_streams: bool = True, linearize: bool = False) -> bytes:
    """A PDF of text in Helvetica, as an office program would make one."""
    document = pikepdf.new()
    font = document.make_indirect(
        pikepdf.Dictionary(Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica)
    )
    for number in range(pages):
        page = document.add_blank_page(page_size=(595, 842))
        words = [*lines, f"Page {number + 1}"]
        drawn = "".join(f"1 0 0 1 72 {770 - 16 * row} Tm ({_escaped(line)}) Tj\n" for row, line in enumerate(words))
        page.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=font))
        page.Contents = pikepdf.Stream(document, f"BT /F1 12 Tf\n{drawn}ET".encode("latin-1", "replace"))
    document.docinfo["/Title"] = SECRET
    mode = pikepdf.ObjectStreamMode.generate if object_streams else pikepdf.ObjectStreamMode.disable
    return _saved(document, object_stream_mode=mode, linearize=linearize)


def pdf_scan(pages: int = 3, *, width: int = 620, height: int = 877, seed: int = 1, quality: int = 75) -> bytes:
    """A scan: one JPEG a page, and no text at all."""
    document = pikepdf.new()
    for number in range(pages):
        page = document.add_blank_page(page_size=(595, 842))
        data = jpeg(width, height, seed=seed + number, quality=quality)
        image = pikepdf.Stream(document, data)
        image.update(
            pikepdf.Dictionary(
                Type=pikepdf.Name.XObject,
                Subtype=pikepdf.Name.Image,
                Width=width,
                Height=height,
                BitsPerComponent=8,
                ColorSpace=pikepdf.Name.DeviceRGB,
                Filter=pikepdf.Name.DCTDecode,
            )
        )
        page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(Im0=image))
        page.Contents = pikepdf.Stream(document, b"q 595 0 0 842 0 0 cm /Im0 Do Q")
    return _saved(document)


def pdf_encrypted(*, user: str = "open sesame", owner: str = "owner") -> bytes:
    """A PDF under a password; with `user=""` it opens without one, and only its owner may change it."""
    with pikepdf.open(io.BytesIO(pdf_text("Locked"))) as document:
        return _saved(document, encryption=pikepdf.Encryption(user=user, owner=owner))


def pdf_active(*kinds: str) -> bytes:
    """A PDF that can do more than be shown: `javascript`, `launch_action`, `embedded_files`."""
    with pikepdf.open(io.BytesIO(pdf_text("Active"))) as document:
        if "javascript" in kinds:
            document.Root.OpenAction = pikepdf.Dictionary(S=pikepdf.Name.JavaScript, JS="app.alert(1)")
        if "launch_action" in kinds:
            action = pikepdf.Dictionary(S=pikepdf.Name.Launch, F="cmd.exe")
            link = pikepdf.Dictionary(Type=pikepdf.Name.Annot, Subtype=pikepdf.Name.Link, Rect=[0, 0, 9, 9], A=action)
            document.pages[0].Annots = pikepdf.Array([document.make_indirect(link)])
        if "embedded_files" in kinds:
            document.attachments["plan.txt"] = b"inside"
        return _saved(document)


def pdf_without_pages() -> bytes:
    return _saved(pikepdf.new())


def pdf_revised() -> bytes:
    """A PDF with a second revision appended, as a signing or annotating program leaves it."""
    first = pdf_text("First", pages=1, object_streams=False)
    old_table = int(first[first.rindex(b"startxref") + 9 :].split()[0])
    start = len(first)
    catalog = first[first.index(b"1 0 obj") : first.index(b"endobj") + 7]
    table = b"xref\n0 1\n0000000000 65535 f \n1 1\n%010d 00000 n \n" % start
    size = int(first[first.rindex(b"/Size") + 5 :].split()[0])
    trailer = b"trailer << /Root 1 0 R /Size %d /Prev %d >>\n" % (size, old_table)
    return first + catalog + table + trailer + b"startxref\n%d\n%%%%EOF\n" % (start + len(catalog))


def pdf_bomb(size: int) -> bytes:
    """A small PDF whose one page unfolds to `size` bytes."""
    document = pikepdf.new()
    document.add_blank_page().Contents = pikepdf.Stream(document, bytes(size))
    return _saved(document, compress_streams=True)


def pdf_raw(*objects: bytes, root: int = 1) -> bytes:
    """A PDF of just these objects, from number 1 on, with a table that is right."""
    out, places = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    trailer = b"trailer\n<< /Root %d 0 R /Size %d >>\nstartxref\n%d\n%%%%EOF\n" % (root, size, len(out))
    return out + b"xref\n0 %d\n0000000000 65535 f \n" % size + table + trailer


def pdfs_without_end() -> dict[str, bytes]:
    """PDFs whose objects refer to one another in circles, each by what goes round."""
    catalog, page = b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] %s >>"
    pages = b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>"
    return {
        "pages that are their own parents": pdf_raw(catalog, b"<< /Type /Pages /Count 1 /Kids [2 0 R] >>"),
        "a circle of pages": pdf_raw(
            catalog, pages, b"<< /Type /Pages /Count 1 /Kids [2 0 R] /Parent 2 0 R >>",
        ),
        "contents within themselves": pdf_raw(catalog, pages, page % b"/Contents 4 0 R", b"[4 0 R 4 0 R]"),
        "a length that is its own": pdf_raw(
            catalog, pages, page % b"/Contents 4 0 R", b"<< /Length 4 0 R >>\nstream\nq\nendstream"
        ),
        "a reference to itself": pdf_raw(catalog, pages, b"3 0 R"),
        "two references to each other": pdf_raw(catalog, pages, page % b"/Resources 4 0 R", b"5 0 R", b"4 0 R"),
        "names within themselves": pdf_raw(
            b"<< /Type /Catalog /Pages 2 0 R /Names << /Dests 4 0 R >> >>", pages, page % b"", b"<< /Kids [4 0 R] >>"
        ),
        "an outline that goes round": pdf_raw(
            b"<< /Type /Catalog /Pages 2 0 R /Outlines 4 0 R >>", pages, page % b"",
            b"<< /First 5 0 R /Last 5 0 R /Count 1 >>", b"<< /Title (x) /Parent 4 0 R /Next 5 0 R >>",
        ),
        "a form that draws itself": pdf_raw(
            catalog, pages, page % b"/Contents 4 0 R /Resources << /XObject << /F 5 0 R >> >>",
            b"<< /Length 5 >>\nstream\n/F Do\nendstream",
            b"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /F 5 0 R >> >> /Length 5 >>\n"
            b"stream\n/F Do\nendstream",
        ),
    }  # fmt: skip


def pdf_of_forms(depth: int, width: int = 10) -> bytes:
    """A small PDF whose page draws `width` forms, each of which draws as many, so deep: `width` to the power of it."""
    names = b" ".join(b"/F%d Do" % number for number in range(width))

    def form(number: int) -> bytes:
        inside = b"0 0 1 1 re f" if number == depth else names
        below = b" ".join(b"/F%d %d 0 R" % (place, 5 + number) for place in range(width))
        resources = b"" if number == depth else b"/Resources << /XObject << %s >> >>" % below
        head = b"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] %s /Length %d >>" % (resources, len(inside))
        return head + b"\nstream\n" + inside + b"\nendstream"

    return pdf_raw(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << /XObject << %s >> >> >>"
        % b" ".join(b"/F%d 5 0 R" % place for place in range(width)),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(names), names),
        *(form(number) for number in range(1, depth + 1)),
    )


def jpeg_of_scans(scans: int, side: int = 2_000) -> bytes:
    """A progressive JPEG that refines itself so many times over."""
    out = io.BytesIO()
    Image.new("L", (side, side), 128).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


def png_of_size(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is so large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b""))
    )


def docx_of_zips(depth: int = 3) -> bytes:
    """What calls itself a Word document, and is a ZIP in a ZIP: each unfolds to ten megabytes of the next."""
    inside = bytes(10_000_000)
    for _ in range(depth):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("[Content_Types].xml", "<Types/>")
            archive.writestr("word/document.xml", "<w:document/>")
            archive.writestr("word/embeddings/inside.zip", inside)
        inside = out.getvalue()
    return inside


def zip_archive() -> bytes:
    """A ZIP, for those who rename one to .pdf."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("plan.pdf", pdf_text("Inside"))
    return out.getvalue()


def truncated(data: bytes, share: float = 0.5) -> bytes:
    """The first part of a file, as a broken connection or a full disk leaves it."""
    return data[: int(len(data) * share)]


def _escaped(line: str) -> str:
    return line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")


def _saved(document: pikepdf.Pdf, **options: object) -> bytes:
    out = io.BytesIO()
    document.save(out, **options)  # type: ignore[arg-type]
    return out.getvalue()
