"""One letter to PDF/UA, beside WeasyPrint on the same words.

Ours is what the notifier calls: checks of the values, the office's layout, PDF/A-2b and PDF/UA-1. WeasyPrint gets the
finished words, its style sheet parsed and its fonts found beforehand, and makes a tagged PDF/UA-1 alone. No two letters
have the same recipient, so that neither side can have made one before.
"""

from __future__ import annotations

import html
import io
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pikepdf
from weasyprint import CSS, HTML
from weasyprint.text.fonts import FontConfiguration

from services.notifier.letters import Office, Recipient, render_letter
from services.notifier.letters.words import REGULATOR
from tests.bench.bench import Bench
from tests.bench.results import Result, at_least

NAME = "letters"
_NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
_OFFICE = Office(
    name="Northvale SENDIASS",
    phone="01604 555 0199",
    email="office@northvale.example",
    address=("Guildhall Annexe", "2 Abington Row", "Northampton", "NN1 1AA"),
    controller="Northvale Council",
    dpo_contact="The Data Protection Officer, dpo@northvale.example",
    helpline="0808 555 0100, weekdays 9 to 4",
)
_VALUES = {"reference": "MAPLE-4471", "opened_on": "2026-11-20", "purposes": [{"purpose": "casework"}]}
_STYLE = """
@page { size: A4; margin: 16mm 24mm 14mm }
body { font: 10pt "DejaVu Serif"; color: #1d2b36; line-height: 1.3 }
h1 { font-size: 1.35em; color: #1f5a5a } h2 { font-size: 1.06em; color: #1f5a5a }
.head { height: 81mm; position: relative } .office { font-size: 15pt; font-weight: bold; color: #1f5a5a }
.window { position: absolute; top: 35mm; width: 76mm } .date { position: absolute; top: 60mm; right: 0 }
.redress { font-size: 8pt; border-top: 0.7pt solid #1f5a5a }
"""


def run(bench: Bench) -> list[Result]:
    letters = bench.sized(12, 2)
    logging.getLogger("weasyprint").setLevel(logging.ERROR)
    fonts = FontConfiguration()
    style = CSS(string=_STYLE, font_config=fonts)
    recipients = _recipients()

    def theirs(recipient: Recipient) -> bytes:
        made: bytes = HTML(string=_page(recipient)).write_pdf(
            stylesheets=[style], font_config=fonts, pdf_variant="pdf/ua-1"
        )
        return made

    def side(make: Callable[[Recipient], bytes]) -> Callable[[], float]:
        _check(make(next(recipients)))

        def seconds() -> float:
            started = time.perf_counter()
            for _ in range(letters):
                make(next(recipients))
            return (time.perf_counter() - started) / letters

        return seconds

    found = bench.interleaved({"ours": side(_ours), "WeasyPrint": side(theirs)})
    return [
        Result(
            "one letter to PDF/UA",
            "WeasyPrint on the same text",
            found["WeasyPrint"] / found["ours"],
            at_least(8),
            f"ours {found['ours'] * 1e3:.1f} ms (PDF/A-2b too), WeasyPrint {found['WeasyPrint'] * 1e3:.0f} ms",
            "× as fast",
        )
    ]


def _ours(recipient: Recipient) -> bytes:
    return render_letter("opening", 1, _VALUES, office=_OFFICE, recipient=recipient, now=_NOW)


def _recipients() -> Iterator[Recipient]:
    for number in itertools.count(1):
        yield Recipient(
            name=f"Ada Example the {number}th", address=(f"{number} Example Street", "Exampleton", "EX4 4PL")
        )


def _check(pdf: bytes) -> None:
    """It is one tagged page that says it is PDF/UA-1: otherwise the two sides don't do the same."""
    with pikepdf.open(io.BytesIO(pdf)) as opened, opened.open_metadata() as said:
        assert len(opened.pages) == 1, len(opened.pages)
        assert "/StructTreeRoot" in opened.Root
        assert said["pdfuaid:part"] == "1"


def _page(recipient: Recipient) -> str:
    office = _OFFICE
    window = "<br>".join(html.escape(line) for line in recipient.window_lines())
    return f"""<!doctype html><html lang="en-GB"><head><title>A letter from {office.name}</title></head><body>
<div class="head"><p><span class="office">{office.name}</span><br>Hosted by {office.controller}</p>
<p class="window">{window}</p><p class="date">22 November 2026</p></div>
<h1>Your case file is open</h1>
<p>Dear {html.escape(recipient.name)},</p>
<p>Thank you for asking us to help. On 20 November 2026 we opened a case file for you, because you agreed to it.
Its reference is <strong>MAPLE-4471</strong>: please have it to hand when you contact us.</p>
<h2>What you agreed to</h2>
<ul><li>We keep a case file and work on your case.</li></ul>
<p>We do nothing else with what you tell us. The one exception is a risk that somebody is harmed: then we may have to
tell those who can keep them safe.</p>
<h2>What you can ask for, at any time</h2>
<ul><li><strong>To see what we hold:</strong> you have it within two working days.</li>
<li><strong>To be forgotten:</strong> we erase it all within two working days.</li>
<li><strong>To take back your consent:</strong> all of it or a part, without giving a reason.</li></ul>
<p>Just say so, by phone, in person, by email or by letter. There is no form to fill in, and our helpline stays open to
you. Once a year we write to remind you that we hold this file and to ask whether to keep it. If you do not
say yes, we erase it.</p>
<p>Yours sincerely,<br>{office.name}</p>
<div class="redress"><h2>Your data, and how to reach us</h2>
<p><strong>Call us about your data:</strong> {office.phone}. Or write to {office.email}, or to {office.name},
{", ".join(office.address)}.</p>
<p><strong>Helpline:</strong> {office.helpline}</p>
<p><strong>Who answers for your data:</strong> {office.name} is hosted by {office.controller}, the data controller.<br>
<strong>Data protection contact:</strong> {office.dpo_contact}</p>
<p><strong>If you feel your data was misused,</strong> tell us or the data protection contact; you hear from us within
30 days. You may also complain to the {REGULATOR["name"]}, {REGULATOR["address"]}, phone {REGULATOR["phone"]},
{REGULATOR["page"]}.</p></div></body></html>"""
