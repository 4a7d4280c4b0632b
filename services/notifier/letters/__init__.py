"""What the notifier writes: letters as accessible PDFs, emails as text and HTML.

A template is a folder of this one, `<name>/<version>/`; what all share (layout, contact details, redress) is
in `_house/`. Values reach a template in memory, and a template treats them as text. docs/letters.md says how
to change one.
"""

from services.notifier.letters.pack import Statement, render_pack
from services.notifier.letters.rendering import Email, render_email, render_letter
from services.notifier.letters.templates import (
    FORMATS,
    TEMPLATES,
    BadValue,
    MissingValue,
    NotPrintable,
    RenderingFailed,
    UnknownFormat,
    UnknownTemplate,
    UnknownValue,
    latest_version,
)
from services.notifier.letters.words import Recipient
from shared.office import Office

__all__ = [
    "FORMATS",
    "TEMPLATES",
    "BadValue",
    "Email",
    "MissingValue",
    "NotPrintable",
    "Office",
    "Recipient",
    "RenderingFailed",
    "Statement",
    "UnknownFormat",
    "UnknownTemplate",
    "UnknownValue",
    "latest_version",
    "render_email",
    "render_letter",
    "render_pack",
]
