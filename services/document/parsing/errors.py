"""Why a file isn't taken, each reason with a sentence for the person who sent it.

A sentence never repeats a file's name or a library's words about it: those can hold a family's data.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from shared.errors import NotFound, Problem, UnreadableFile, UnsupportedMediaType


class Other(Enum):
    """Kinds of files that aren't kept, with what to send instead."""

    OLD_WORD = "an old Word document (.doc). Save it as DOCX or PDF and send that."
    OLD_EXCEL = "an old Excel workbook (.xls). Save it as XLSX or PDF and send that."
    OLD_POWERPOINT = "an old PowerPoint presentation (.ppt). Save it as PDF and send that."
    OUTLOOK = "an Outlook message (.msg). Save it as an email (.eml) or as PDF and send that."
    RTF = "a Rich Text document (.rtf). Save it as DOCX or PDF and send that."
    WEB_PAGE = "a web page. Save it as PDF and send that."


#: Every kind that is kept, in the words of a sentence.
_KEPT: Final = (
    "a PDF, a picture (JPEG, PNG, TIFF, HEIC, WebP), a Word, Excel or OpenDocument text document (DOCX, XLSX, ODT), "
    "plain text or an email (EML)"
)


class UnsupportedType(UnsupportedMediaType):
    """The content is of no kind that is kept, under any name. other: what it is instead, where that helps."""

    refusal = "unsupported-type"

    def __init__(self, other: Other | None = None) -> None:
        said = f"not {_KEPT}." if other is None else other.value
        super().__init__(f"By its content the file is {said} Nothing was kept.")
        self.other = other
        if other is not None:
            self.refusal = f"unsupported-{other.name}"


class Feature(Enum):
    """What a sound picture may be made with, so that most programs can't show it."""

    JPEG_DEPTH = "a JPEG with more than 8 bits per colour"
    JPEG_LOSSLESS = "a lossless or hierarchical JPEG"
    JPEG_ARITHMETIC = "a JPEG with arithmetic coding"
    JPEG_COLOURS = "a JPEG in colours that most programs don't know"
    JPEG_HEIGHT = "a JPEG that tells its height only after the picture"
    PNG_APPLE = "a PNG in Apple's own form for its apps"
    TIFF_COMPRESSION = "a TIFF with a compression that most programs don't know"
    TIFF_OLD_JPEG = "a TIFF with JPEG compression of the old form"
    TIFF_RAW = "a TIFF with a camera's raw data"
    TIFF_LAYOUT = "a TIFF that stores its pixels in a way that most programs don't know"


class UnsupportedPicture(UnsupportedMediaType):
    """The picture isn't damaged, but nothing here can read it, and so nothing can tell whether it is whole."""

    def __init__(self, feature: Feature) -> None:
        super().__init__(
            f"The file is {feature.value}, a kind of picture that can't be read here. It isn't damaged. "
            "Please save it as a PDF, PNG or plain JPEG and send that. Nothing was kept."
        )
        self.feature = feature
        self.refusal = f"unsupported-{feature.name}"


class Reason(Enum):
    """Why a file of a known kind can't be read."""

    EMPTY = "The file is empty."
    LOCKED = "The file is encrypted or locked with a password; please send one that opens without."
    NEEDS_PASSWORD = "The PDF is locked with a password; please send its password with it, in the field `password`."  # noqa: S105
    WRONG_PASSWORD = "The PDF is locked, and the password that was sent doesn't open it; please check the password."  # noqa: S105
    UNKNOWN_LOCK = "The PDF is locked in a way that can't be opened here; please send one that opens without."
    BROKEN = "The file is damaged or not whole, so that part of it would be missing; please send it again."
    NO_PAGES = "The file has no pages."
    NOT_SHOWN = (
        "This page can't be shown as a picture here. The file was whole when it came; "
        "please fetch its content and open it with a program of its own."
    )
    TOO_MUCH = (
        "The file is too large to read: it has more pages, parts, objects or pixels than can be opened safely. "
        "It isn't damaged; please send it in parts."
    )


class Unreadable(UnreadableFile):
    """The file is of a kind that is kept, but can't be opened whole."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"{reason.value} Nothing was kept.")
        self.reason = reason
        self.refusal = f"unreadable-{reason.name}"


class NoSuchPage(NotFound):
    """The file has fewer pages than that."""

    refusal = "no-such-page"

    def __init__(self) -> None:
        super().__init__("The document has no such page.")


#: What a job refuses a file with; each has a word under which its process tells it.
REFUSALS: Final = (UnsupportedType, UnsupportedPicture, Unreadable, NoSuchPage)


def refusal_of(word: str) -> Problem:
    """The refusal that a child process tells by this word (`refusal` of each). Raises KeyError for another word."""
    kind, _, name = word.partition("-")
    if word == NoSuchPage.refusal:
        return NoSuchPage()
    if word == UnsupportedType.refusal:
        return UnsupportedType()
    if kind == "unreadable":
        return Unreadable(Reason[name])
    if kind != "unsupported":
        raise KeyError(word)
    return UnsupportedPicture(Feature[name]) if name in Feature.__members__ else UnsupportedType(Other[name])
