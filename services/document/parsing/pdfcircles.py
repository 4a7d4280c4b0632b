"""Objects of a PDF that refer to one another in a circle where a reader would follow them without end.

Many circles are sound: a page names its parent, which names its pages. These aren't: an object that is only a
reference; trees of pages, names and fields (`/Kids`); an outline, a length, a form that leads to itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import pikepdf

from services.document.parsing.errors import Reason, Unreadable

_NUMBER = re.compile(rb"(\d{1,10})\s+\d{1,5}\s+R(?![A-Za-z])")
_ALIAS = re.compile(rb"\s*(\d{1,10})\s+\d{1,5}\s+R\s*")
_KIDS = re.compile(rb"/Kids\s*(?:\[([^\]]*)\]|(\d+\s+\d+\s+R))")
_ENTRIES = re.compile(rb"/(?:First|Next)\s+(\d+\s+\d+\s+R)")
_DO = re.compile(rb"(/[^\s/\[\]()<>{}%]+)\s+Do(?![A-Za-z])")
_LENGTH = re.compile(rb"/Length\s+(\d+\s+\d+\s+R)")


def require_none(texts: Iterable[tuple[int, bytes]]) -> None:
    """texts: each object's number, and its text without strings. Raises Unreadable."""
    followed: tuple[dict[int, set[int]], ...] = ({}, {}, {})
    for number, text in texts:
        alias = _ALIAS.fullmatch(text)
        for graph, pattern in zip(followed, (_KIDS, _ENTRIES, _LENGTH), strict=True):
            found = text if alias else b" ".join(b" ".join(found) for found in map(_groups, pattern.finditer(text)))
            if next_ones := {int(one) for one in _NUMBER.findall(found)}:
                graph[number] = next_ones
    for graph in followed:
        _require_end(graph)


def require_none_drawn(document: pikepdf.Pdf) -> None:
    """No form draws itself, or one that does. Its streams are known to be whole. Raises Unreadable."""
    drawn: dict[int, set[int]] = {}
    for form in document.objects:
        if not isinstance(form, pikepdf.Stream) or form.get("/Subtype") != pikepdf.Name.Form:
            continue
        known = form.get("/Resources", pikepdf.Dictionary()).get("/XObject", pikepdf.Dictionary())
        if not isinstance(known, pikepdf.Dictionary) or not len(known):
            continue
        names = {name.decode("latin-1") for name in _DO.findall(form.read_bytes())}
        found = [known.get(name) for name in names & set(known.keys())]
        drawn[form.objgen[0]] = {one.objgen[0] for one in found if isinstance(one, pikepdf.Stream)}
    _require_end(drawn)


def _groups(match: re.Match[bytes]) -> list[bytes]:
    return [group for group in match.groups() if group]


def _require_end(graph: Mapping[int, set[int]]) -> None:
    """No way through the graph comes back to where it was. Raises Unreadable."""
    ended: set[int] = set()
    for start in graph:
        way = [(start, iter(graph[start]))]
        on_way = {start}
        while way:
            here, further = way[-1]
            for one in further:
                if one in on_way:
                    raise Unreadable(Reason.BROKEN)
                if one in graph and one not in ended:
                    way.append((one, iter(graph[one])))
                    on_way.add(one)
                    break
            else:
                way.pop()
                on_way.discard(here)
                ended.add(here)
