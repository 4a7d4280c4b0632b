"""What in a PDF can do more than show pages: scripts (forms in XFA have them), commands to start programs or to send
what is typed somewhere, files inside it.
"""

from __future__ import annotations

import re
from typing import Any

import pikepdf

JAVASCRIPT, LAUNCH, EMBEDDED = "javascript", "launch_action", "embedded_files"

#: By the name of what is found: keys that a dictionary has it under, and names that a value has then.
_KEYS = {"/JS": JAVASCRIPT, "/JavaScript": JAVASCRIPT, "/XFA": JAVASCRIPT, "/EF": EMBEDDED, "/EmbeddedFiles": EMBEDDED}
_VALUES = {"/JavaScript": JAVASCRIPT, "/Launch": LAUNCH, "/SubmitForm": LAUNCH, "/EmbeddedFile": EMBEDDED}
_WORTH_A_LOOK = re.compile(rb"/(?:JS|JavaScript|XFA|Launch|SubmitForm|EF|EmbeddedFiles?)\b")
_DEEPEST = 100


def found_in(thing: Any) -> set[str]:
    """What of this is in one object, in the dictionaries and arrays that lie directly in it."""
    dictionary = thing.stream_dict if isinstance(thing, pikepdf.Stream) else thing
    if not isinstance(dictionary, pikepdf.Dictionary | pikepdf.Array):
        return set()
    # qpdf writes names in one way only, so that none can be disguised; but these words may stand in a text too.
    if not _WORTH_A_LOOK.search(dictionary.unparse(resolved=True)):
        return set()
    found: set[str] = set()
    _look(dictionary, found, 0)
    return found


def _look(thing: Any, found: set[str], depth: int) -> None:
    if depth > _DEEPEST:
        return
    if isinstance(thing, pikepdf.Dictionary):
        for key in thing.keys():  # noqa: SIM118 - not a dict
            value = thing.get(key)
            if key in _KEYS and value is not None:
                found.add(_KEYS[key])
            if isinstance(value, pikepdf.Name) and key in ("/S", "/Type"):
                found.update({_VALUES[str(value)]} if str(value) in _VALUES else ())
            _look_into(value, found, depth)
    elif isinstance(thing, pikepdf.Array):
        for value in thing:
            _look_into(value, found, depth)


def _look_into(value: Any, found: set[str], depth: int) -> None:
    if isinstance(value, pikepdf.Dictionary | pikepdf.Array) and not value.is_indirect:
        _look(value, found, depth + 1)
