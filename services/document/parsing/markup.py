"""XML of strangers: read as it streams, with no declaration of entities and no depth without end.

expat fetches nothing by itself. What it would still do is unfold entities that the document declares, so a document
that declares anything is refused: neither OOXML (ISO 29500-2) nor OpenDocument needs to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from xml.parsers import expat

from services.document.parsing.errors import Reason, Unreadable

_DEEPEST = 1_000  # elements inside one another
_SEPARATOR = " "

Seen = Callable[[str, Mapping[str, str]], None]


def read(pieces: Iterable[bytes], seen: Seen = lambda name, attributes: None) -> None:
    """Read a document to its end; `seen` is called with each element's name and attributes.

    A name in a namespace is `<namespace> <local name>`. Raises Unreadable, and ExpatError where it isn't well-formed.
    """
    parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise Unreadable(Reason.TOO_MUCH)
        seen(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1

    def declared(*_: object) -> None:
        raise Unreadable(Reason.BROKEN)

    def doctype(name: str, system: str | None, public: str | None, has_internal_subset: bool) -> None:
        # Old OpenDocument programs name a DTD, which is not fetched; only what stands inside could declare something.
        if has_internal_subset:
            raise Unreadable(Reason.BROKEN)

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.EntityDeclHandler = declared
    parser.StartDoctypeDeclHandler = doctype
    for piece in pieces:
        parser.Parse(piece, False)
    parser.Parse(b"", True)


def local(name: str) -> str:
    """The name without its namespace."""
    return name.rpartition(_SEPARATOR)[2]
