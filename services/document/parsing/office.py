"""Office documents: DOCX and XLSX (ISO 29500), ODT (OpenDocument 1.3), told by their main part, never by their name."""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from services.document.parsing import archive, markup
from services.document.parsing.errors import Reason, Unreadable, UnsupportedType
from services.document.parsing.media_types import DOCM, DOCX, ODT, XLSM, XLSX
from services.document.parsing.seekable import Seekable

#: What its main part is called, in lower case, and what that makes of the file.
_MAIN_PARTS: Final = {
    f"{DOCX}.main+xml": DOCX,
    f"{XLSX}.main+xml": XLSX,
    "application/vnd.ms-word.document.macroenabled.main+xml": DOCM,
    "application/vnd.ms-excel.sheet.macroenabled.main+xml": XLSM,
}
_TYPES, _RELATIONS = "[content_types].xml", "_rels/.rels"
_OFFICE_DOCUMENT = "/officeDocument"  # ends the type of the relationship to the main part, transitional and strict
_MACROS = re.compile(r"vba(project|data)|macrosheet|activex", re.IGNORECASE)  # in the type of a part
_EMBEDDED = re.compile(r"oleobject|\.package$", re.IGNORECASE)
_ODT_MACROS = re.compile(r"Scripts/.*[^/]|Basic/.*/(?!script-lb\.xml|dialog-lb\.xml)[^/]+")
_ODT_EMBEDDED = re.compile(r"Object \d+")  # with a slash it is a chart or a formula, which is shown
_ELSEWHERE = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?[/\\]{2}[^/\\]", re.IGNORECASE)  # a host: not a file on a disk
_MOST_XML = 100 * 1024 * 1024  # bytes of one part that is read
_BEGINS_AS_OFFICE = re.compile(
    rb"\[content_types\]\.xml|_rels/|docprops/|word/|xl/|customxml/|mimetypeapplication/vnd\.oasis\.", re.IGNORECASE
)


def check(source: Seekable) -> tuple[str, tuple[str, ...]]:
    """The file's media type and its warnings, once every part was unpacked and its main part read.

    Raises UnsupportedType for any other archive, and Unreadable where the document is cut, locked or too much.
    """
    try:
        with archive.opened(source, source.size) as parts:
            return _check(parts, source)
    except (Unreadable, zipfile.BadZipFile):
        if not _begins_as_office(source):
            raise UnsupportedType from None
        raise


def _check(parts: zipfile.ZipFile, source: Seekable) -> tuple[str, tuple[str, ...]]:
    document = _opendocument(parts) or _open_xml(parts)
    if document is None:
        raise UnsupportedType
    if archive.check(parts, source, source.size):
        document.warnings.add("embedded_files")
    # Behind another archive, which no program shows: readers begin at the end.
    if parts.infolist() and min(entry.header_offset for entry in parts.infolist()) > 0:
        document.warnings.add("trailing_archive")
    document.read()
    return document.media_type, tuple(sorted(document.warnings))


def _begins_as_office(source: Seekable) -> bool:
    """Whether its first entry is one that office programs write first. Of a file that is cut there is no more to go by.

    The entry's name, and the first bytes of one that is stored as it is.
    """
    source.seek(30)  # behind what stands before an entry
    return _BEGINS_AS_OFFICE.match(source.read(200) or b"") is not None


@dataclass(slots=True, kw_only=True)
class _OpenXml:
    parts: zipfile.ZipFile
    media_type: str
    main: str
    types: Mapping[str, str]
    warnings: set[str]

    def read(self) -> None:
        """Its main part, and what its parts refer to. Raises Unreadable."""
        markup.read(archive.content(self.parts, self.main, _MOST_XML))
        for name in self.parts.namelist():
            part_type = self.types.get(name.lower(), "")
            if _MACROS.search(part_type) or name.lower().endswith("vbaproject.bin"):
                self.warnings.add("macros")
            if _EMBEDDED.search(part_type) or "/embeddings/" in f"/{name.lower()}":
                self.warnings.add("embedded_files")
            if name.lower().endswith(".rels"):
                markup.read(archive.content(self.parts, name, _MOST_XML), self._related)

    def _related(self, name: str, attributes: Mapping[str, str]) -> None:
        if attributes.get("TargetMode") != "External" or attributes.get("Type", "").endswith("/hyperlink"):
            return
        if _ELSEWHERE.match(attributes.get("Target", "").strip()):
            self.warnings.add("external_content")


def _open_xml(parts: zipfile.ZipFile) -> _OpenXml | None:
    """A DOCX or XLSX, None for anything else. Its main part is what the package relates to as its document."""
    by_name = {name.lower(): name for name in parts.namelist()}
    if _TYPES not in by_name or _RELATIONS not in by_name:
        return None
    defaults: dict[str, str] = {}
    overrides: dict[str, str] = {}
    mains: list[str] = []

    def typed(name: str, attributes: Mapping[str, str]) -> None:
        kind = attributes.get("ContentType", "").strip().lower()
        if markup.local(name) == "Default":
            defaults[attributes.get("Extension", "").lower()] = kind
        elif markup.local(name) == "Override":
            overrides[attributes.get("PartName", "").lstrip("/").lower()] = kind

    def related(name: str, attributes: Mapping[str, str]) -> None:
        if attributes.get("Type", "").endswith(_OFFICE_DOCUMENT):
            mains.append(posixpath.normpath(unquote(attributes.get("Target", "")).lstrip("/")).lower())

    markup.read(archive.content(parts, by_name[_TYPES], _MOST_XML), typed)
    markup.read(archive.content(parts, by_name[_RELATIONS], _MOST_XML), related)
    types = {name: overrides.get(name, defaults.get(name.rpartition(".")[2], "")) for name in by_name}
    for main in mains:
        told = types.get(main, overrides.get(main, ""))
        if media_type := _MAIN_PARTS.get(told):
            if main not in by_name:
                raise Unreadable(Reason.BROKEN)
            warnings = {"macros"} if media_type in (DOCM, XLSM) else set()
            return _OpenXml(parts=parts, media_type=media_type, main=by_name[main], types=types, warnings=warnings)
    return None


@dataclass(slots=True, kw_only=True)
class _OpenDocument:
    parts: zipfile.ZipFile
    media_type: str
    warnings: set[str]

    def read(self) -> None:
        """Its content and styles, and what they refer to. Raises Unreadable."""
        for name in self.parts.namelist():
            if _ODT_MACROS.fullmatch(name):
                self.warnings.add("macros")
            if _ODT_EMBEDDED.fullmatch(name):
                self.warnings.add("embedded_files")
        markup.read(archive.content(self.parts, "content.xml", _MOST_XML), self._element)
        if "styles.xml" in self.parts.NameToInfo:
            markup.read(archive.content(self.parts, "styles.xml", _MOST_XML), self._element)

    def _element(self, name: str, attributes: Mapping[str, str]) -> None:
        if markup.local(name) == "a":  # a link, which is followed by whoever clicks it
            return
        for attribute, value in attributes.items():
            if markup.local(attribute) == "href" and _ELSEWHERE.match(value.strip()):
                self.warnings.add("external_content")


def _mimetype(parts: zipfile.ZipFile) -> bytes:
    return b"".join(archive.content(parts, "mimetype", 200)).strip()


def _opendocument(parts: zipfile.ZipFile) -> _OpenDocument | None:
    """An ODT, None for anything else. Raises Unreadable where it is locked."""
    mimetype = parts.NameToInfo.get("mimetype")
    if mimetype is None or mimetype.file_size > 200 or _mimetype(parts) != ODT.encode():
        return None

    def entry(name: str, attributes: Mapping[str, str]) -> None:
        if markup.local(name) == "encryption-data":
            raise Unreadable(Reason.LOCKED)

    if "META-INF/manifest.xml" in parts.NameToInfo:
        markup.read(archive.content(parts, "META-INF/manifest.xml", _MOST_XML), entry)
    return _OpenDocument(parts=parts, media_type=ODT, warnings=set())
