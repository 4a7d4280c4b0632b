"""The two transports as this office has them set: a printer and a mail relay."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.notifier.letters import Email, Office
from services.notifier.transports import (
    Attachment,
    TryAgain,
    letters_waiting,
    parse_relay,
    print_letter,
    printer_folder,
    send_email,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transports:
    """Hands letters and emails over. Making one raises ValueError for a printer or a relay that can't be used."""

    office: Office
    printer: str | None
    smtp_url: str
    smtp_plain: bool

    def __post_init__(self) -> None:
        parse_relay(self.smtp_url, plain_allowed=self.smtp_plain)
        if self.printer is not None:
            printer_folder(self.printer)

    def print_letter(self, *, id: str, pdf: bytes) -> None:
        """Give the printer this letter, named by its id. Raises TryAgain or Unknown."""
        if self.printer is None:
            raise TryAgain("No printer is set (FMN_PRINTER); the letter is kept.")
        print_letter(printer_url=self.printer, name=id, pdf=pdf)

    def has_printed(self, id: str) -> bool:
        """Whether the printer has a letter of that id: then it was handed over. False says nothing."""
        return self.printer is not None and (printer_folder(self.printer) / f"{id}.pdf").is_file()

    def letters_waiting(self, *, before: datetime) -> int:
        """How many letters have lain in the printer's folder since before that moment. Raises OSError."""
        return 0 if self.printer is None else letters_waiting(self.printer, before=before)

    def send_email(self, *, id: str, to: str, email: Email, now: datetime, attached: Attachment | None = None) -> None:
        """Give the relay this email. Raises TryAgain, Refused or Unknown."""
        send_email(
            smtp_url=self.smtp_url,
            plain_allowed=self.smtp_plain,
            message_id=id,
            sender=self.office.email,
            sender_name=self.office.name,
            to=to,
            email=email,
            attached=attached,
            now=now,
        )
