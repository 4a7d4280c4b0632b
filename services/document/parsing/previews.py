"""A page of a file as a picture: a PNG of a given width, made in memory and kept nowhere."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final, cast

import pypdfium2  # type: ignore[import-untyped]
from PIL import ExifTags, Image, ImageFile, PngImagePlugin

from services.document.parsing import tiff
from services.document.parsing.budget import MOST_PIXELS
from services.document.parsing.errors import NoSuchPage, Reason, Unreadable, UnsupportedType
from services.document.parsing.foreign import reading
from services.document.parsing.media_types import HEIC, HEIF, JPEG, PDF, PNG, TIFF, WEBP
from services.document.parsing.source import Source

PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 64 * 1024 * 1024

_MOST_HEIGHT = 4_000  # px; a page that would be higher comes out narrower than was asked for
_LEVEL = 3  # of deflate: a third of the default's time, for a tenth more bytes
_FORMATS: Final = {JPEG: "JPEG", PNG: "PNG", TIFF: "TIFF", WEBP: "WEBP", HEIC: "HEIF", HEIF: "HEIF"}
MEDIA_TYPES: Final = (PDF, *_FORMATS)
_WHOLE = ("TIFF",)  # libtiff wants the file in one piece
#: Exif's orientation (CIPA DC-008, 4.6.4): how a picture is turned to stand upright.
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = {_UPRIGHT[number] for number in (5, 6, 7, 8)}


def preview(source: Source, output: BinaryIO, *, media_type: str, page: int, width: int) -> None:
    """Write page `page` (from 1) as a PNG, `width` px wide. Raises NoSuchPage, Unreadable, UnsupportedType.

    The file was found whole when it came, so whatever hinders here says nothing against it.
    """
    with _not_blamed(), reading():
        picture = _of_pdf(source, page, width) if media_type == PDF else _of_picture(source, media_type, page, width)
        picture.save(output, "PNG", compress_level=_LEVEL)


@contextmanager
def _not_blamed() -> Iterator[None]:
    # What loses nothing was taken: a JPEG without its end mark, wrong checksums of words beside the picture.
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        yield
    except Unreadable:
        raise Unreadable(Reason.NOT_SHOWN) from None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def _of_pdf(source: Source, page: int, width: int) -> Image.Image:
    source.seek(0)
    document = pypdfium2.PdfDocument(cast(BinaryIO, source))
    try:
        if page > len(document):
            raise NoSuchPage
        shown = document[page - 1]
        across, down = shown.get_size()  # points
        if across <= 0 or down <= 0:
            raise Unreadable(Reason.BROKEN)
        # No form is ever initialised: nothing that is active in the file runs.
        # PDFium rounds up: half a pixel less comes out as the width asked for.
        drawn: Image.Image = shown.render(scale=min((width - 0.5) / across, _MOST_HEIGHT / down)).to_pil()
        return drawn.convert("RGB")
    finally:
        document.close()


def _of_picture(source: Source, media_type: str, page: int, width: int) -> Image.Image:
    kind = _FORMATS.get(media_type)
    if kind is None:
        raise UnsupportedType
    source.seek(0)
    file = io.BytesIO(source.readall()) if kind in _WHOLE else cast(io.BytesIO, source)
    try:
        picture = Image.open(file, formats=(kind,))
    except Image.DecompressionBombError:
        raise Unreadable(Reason.TOO_MUCH) from None
    with picture:
        # A TIFF's thumbnails and masks are frames to Pillow, and no pages. Pictures that move, and bursts, are one
        # page: their first frame, or the one that their camera chose.
        frames = tiff.pages_of(tiff.directories(source)) if kind in _WHOLE else [0]
        if page > len(frames):
            raise NoSuchPage
        if kind in _WHOLE:
            picture.seek(frames[page - 1])
        # A JPEG that is much larger is decoded at a half, a quarter or an eighth.
        picture.draft(None, (width, max(1, width * picture.height // picture.width)))
        if picture.width * picture.height > MOST_PIXELS:
            raise Unreadable(Reason.NOT_SHOWN)
        turned = _UPRIGHT.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
        drawn = _flat(_sized(picture, width, sideways=turned in _SIDEWAYS))
    return drawn if turned is None else drawn.transpose(turned)


def _sized(picture: Image.Image, width: int, *, sideways: bool) -> Image.Image:
    """Smaller, or larger, and then in shades; of the whole picture no second copy is made, where its mode allows it."""
    across, down = (picture.height, picture.width) if sideways else picture.size
    scale = min(width / across, _MOST_HEIGHT / down)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    if picture.mode in ("1", "P"):
        # Shades between black and white, and between a palette's colours, are needed for a smaller picture.
        picture = picture.convert("L" if picture.mode == "1" else "RGBA" if "transparency" in picture.info else "RGB")
    if picture.mode.startswith("I"):  # 16 bits, which can't be reduced first; then 8
        return picture.resize(size, Image.Resampling.BILINEAR).convert("I").point(lambda v: v * (1 / 256)).convert("L")
    return picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _flat(picture: Image.Image) -> Image.Image:
    """In grey or in RGB, on white where it is transparent."""
    if picture.mode in ("LA", "RGBA", "PA", "La", "RGBa"):
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    return picture if picture.mode in ("L", "RGB") else picture.convert("RGB")
