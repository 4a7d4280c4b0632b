"""The ways out: a printer that takes a letter at once, and a mail relay. Each is one keyword-only function.

Nothing is sent twice by guess, so each failure is an error named after what to do next.
"""

from services.notifier.outways.errors import NotSent, Refused, TryAgain, Unknown
from services.notifier.outways.printer import print_letter, printer_folder
from services.notifier.outways.smtp import Relay, relay, send_email

__all__ = [
    "NotSent",
    "Refused",
    "Relay",
    "TryAgain",
    "Unknown",
    "print_letter",
    "printer_folder",
    "relay",
    "send_email",
]
