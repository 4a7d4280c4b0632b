"""Transports of letters and emails: a printer that takes a letter at once, and a mail relay.

Each is one keyword-only function. Nothing is sent twice by guess, so each failure is an error named after what to do
next.
"""

from services.notifier.transports.errors import NotSent, Refused, TryAgain, Unknown
from services.notifier.transports.printer import letters_waiting, print_letter, printer_folder
from services.notifier.transports.smtp import Attachment, Relay, parse_relay, send_email

__all__ = [
    "Attachment",
    "NotSent",
    "Refused",
    "Relay",
    "TryAgain",
    "Unknown",
    "letters_waiting",
    "parse_relay",
    "print_letter",
    "printer_folder",
    "send_email",
]
