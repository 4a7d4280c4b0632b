"""The pictures in a PDF: each is read once, and the rows that come out are counted against its height.

A viewer draws what there is of a cut picture and leaves the rest white, and qpdf never looks into one.
"""

from __future__ import annotations

from typing import Any

import pikepdf

from services.document.parsing import fax, jpeg
from services.document.parsing.budget import Budget
from services.document.parsing.errors import Reason, Unreadable, UnsupportedPicture
from services.document.parsing.pdffilters import GENERAL, Filters, filters_of, inflated, undone
from services.document.parsing.pictureheaders import jbig2_has_rows, jpx_is_whole

_MOST_BEFORE_CODEC = 256 * 1024 * 1024  # bytes of a picture's own coding
_MOST_ROWS = 1_000_000
_JPEG_AT = 64  # bytes before a JPEG's start that writers leave
_FEWER_ROWS = 8  # rows that a JPEG may have less than its dictionary says: programs that crop round to blocks
_COMPONENTS = {"/DeviceGray": 1, "/CalGray": 1, "/Indexed": 1, "/Separation": 1, "/G": 1, "/I": 1}
_COMPONENTS |= {"/DeviceRGB": 3, "/CalRGB": 3, "/Lab": 3, "/RGB": 3, "/DeviceCMYK": 4, "/CMYK": 4}
_FIRST_PNG_PREDICTOR = 10


def check(document: pikepdf.Pdf, picture: Any, budget: Budget) -> None:
    """All rows of an image object are there. Raises Unreadable.

    One that nothing here can read isn't judged: that is no fault of the file.
    """
    check_data(document, picture.stream_dict, picture.read_raw_bytes(), budget)


def check_data(document: pikepdf.Pdf, dictionary: Any, data: bytes, budget: Budget) -> None:
    """The same for the data of an inline image, whose dictionary may use short names."""
    width, height = _number(dictionary, "/Width", "/W"), _number(dictionary, "/Height", "/H")
    if width is None or height is None:
        return  # not a picture that any viewer would draw
    if width <= 0 or height <= 0 or height > _MOST_ROWS:
        raise Unreadable(Reason.BROKEN if height <= _MOST_ROWS else Reason.TOO_MUCH)
    filters = filters_of(dictionary)
    codec = filters[-1][0] if filters else ""
    general = filters if codec in GENERAL or not filters else filters[:-1]
    if any(name not in GENERAL for name, _ in general):
        return
    budget.spend(width, height, held=False)
    if general is filters:
        _check_plain(document, dictionary, data, filters, width, height)
        return
    data = undone(document, data, general, _MOST_BEFORE_CODEC)
    if codec == "DCTDecode":
        _check_jpeg(data, height)
    elif codec == "CCITTFaxDecode":
        _check_fax(data, filters[-1][1], height)
    elif codec == "JPXDecode":
        _require(jpx_is_whole(data))
    elif codec == "JBIG2Decode":
        _require(jbig2_has_rows(data, height))


def _require(whole: bool) -> None:
    if not whole:
        raise Unreadable(Reason.BROKEN)


def _check_jpeg(data: bytes, height: int) -> None:
    start = data.find(b"\xff\xd8", 0, _JPEG_AT)
    _require(start >= 0)
    try:
        _, rows, _ = jpeg.check(data[start:], Budget(), rows=height)
    except UnsupportedPicture:
        return
    _require(rows + _FEWER_ROWS >= height)


def _check_fax(data: bytes, parameters: Any, height: int) -> None:
    parameters = {} if parameters is None else parameters
    columns = int(parameters.get("/Columns", 1728))
    coding = fax.Coding(k=int(parameters.get("/K", 0)), byte_align=bool(parameters.get("/EncodedByteAlign", False)))
    _require(columns > 0 and fax.has_rows(data, columns, height, coding))


def _check_plain(
    document: pikepdf.Pdf, dictionary: Any, data: bytes, filters: Filters, width: int, height: int
) -> None:
    """Pixels without a coding of their own: their bytes are counted."""
    components = _components(dictionary)
    bits = 1 if _is_mask(dictionary) else _number(dictionary, "/BitsPerComponent", "/BPC")
    if components is None or bits is None:
        return
    row = (width * components * bits + 7) // 8
    wanted = row * height
    if not filters:
        size = len(data)
    elif filters[-1][0] == "FlateDecode":
        packed = undone(document, data, filters[:-1], _MOST_BEFORE_CODEC)
        size = 0
        for piece in inflated(packed, whole=False):
            size += len(piece)
            if size > wanted + height:  # with a byte for each row that says how it was predicted
                break
        size = _without_predictors(size, filters[-1][1])
    else:
        size = len(undone(document, data, filters, _MOST_BEFORE_CODEC))
    # A last row that ends early is common, and nothing is seen of it. A row of which nothing came is missing.
    _require(size > wanted - row)


def _without_predictors(size: int, parameters: Any) -> int:
    if parameters is None or int(parameters.get("/Predictor", 1)) < _FIRST_PNG_PREDICTOR:
        return size
    bits = int(parameters.get("/Colors", 1)) * int(parameters.get("/BitsPerComponent", 8))
    row = (int(parameters.get("/Columns", 1)) * bits + 7) // 8
    return size - -(-size // (row + 1))


def _is_mask(dictionary: Any) -> bool:
    return bool(dictionary.get("/ImageMask", dictionary.get("/IM", False)))


def _components(dictionary: Any) -> int | None:
    """How many numbers a pixel has; None where that depends on what isn't known here."""
    if _is_mask(dictionary):
        return 1
    space = dictionary.get("/ColorSpace", dictionary.get("/CS"))
    if isinstance(space, pikepdf.Array) and len(space):
        family = str(space[0])
        if family == "/ICCBased" and isinstance(space[1], pikepdf.Stream):
            return int(space[1].get("/N", 0)) or None
        if family == "/DeviceN":
            return len(space[1])
        return _COMPONENTS.get(family)
    return None if space is None else _COMPONENTS.get(str(space))


def _number(dictionary: Any, name: str, short: str) -> int | None:
    value = dictionary.get(name, dictionary.get(short))
    try:
        return None if value is None else int(value)
    except (TypeError, ValueError):
        return None


def check_inline(document: pikepdf.Pdf, content: Any, budget: Budget) -> None:
    """The same for each picture that lies in a stream of drawing instructions. Raises Unreadable."""
    for instruction in pikepdf.parse_content_stream(content, "BI ID EI"):
        image = getattr(instruction, "iimage", None)
        if image is None:
            continue
        check_data(document, image.obj, image._data._inline_image_raw_bytes(), budget)
