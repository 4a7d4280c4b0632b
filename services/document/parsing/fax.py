"""Pictures in fax coding (ITU-T T.4 and T.6): how many rows their data has.

libtiff and other readers leave missing rows white and say nothing. Here the rows are counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.document.parsing.errors import Reason, Unreadable
from services.document.parsing.faxcodes import (
    BAD,
    BLACK_CODES,
    BLACK_RUNS,
    HORIZONTAL,
    MODES,
    PASS,
    WHITE_CODES,
    WHITE_RUNS,
    run_bits,
)
from services.document.parsing.minitiff import GROUP_4, decoded

_MOST_CODES = 60_000_000  # of one picture: about a minute's work; real pages have a million at most
_END_OF_BLOCK = 0x001001  # two ends of line
_EOL_ZEROS = 11
_ROWS_END = 3  # ends of line in a row after which nothing follows: six by the standard


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How a fax is coded. k: as in a PDF, negative for Group 4, 0 for Group 3 in one dimension, positive for two.

    byte_align: each row begins with a new byte.
    """

    k: int
    byte_align: bool = False


def has_rows(data: bytes, width: int, rows: int, coding: Coding) -> bool:
    """Whether `data` has at least `rows` rows of `width` pixels. Raises Unreadable (too much)."""
    if coding.k < 0 and not coding.byte_align and _ends_where_it_should(data, width, rows):
        return True
    return _Counter(data, width, coding).count(rows) >= rows


def _ends_where_it_should(data: bytes, width: int, rows: int) -> bool:
    """Whether a Group 4 picture surely ends behind its last row, found out quickly; False is no answer.

    Its end mark is replaced by one more row, black the first time and white the second, and libtiff reads it twice:
    the two are to differ in the row that was added, and nowhere above it.
    """
    tail = int.from_bytes(data[-16:], "big")
    if not tail or width > 60_000:
        return False
    tail >>= (tail & -tail).bit_length() - 1
    if tail & 0xFFFFFF != _END_OF_BLOCK:
        return False
    tail >>= 24
    # What stands before the mark in these bytes, to the bit: leading zeros count.
    kept = len(data[-16:]) * 8 - 24 - _trailing_zeros(data[-16:])
    before = f"{tail:0{kept}b}" if kept else ""
    pictures = []
    for white, black in ((0, width), (width, 0)):
        row = "001" + run_bits(WHITE_CODES, white) + run_bits(BLACK_CODES, black)
        bits = before + row + "0" * (-(len(before) + len(row)) % 8)
        coded = data[:-16] + int(bits, 2).to_bytes(len(bits) // 8, "big") + bytes(8)
        picture = decoded(coded, width, rows + 1, GROUP_4)
        if picture is None:
            return False
        pictures.append(picture)
    length = (width + 7) // 8
    first, second = pictures
    return first[: length * rows] == second[: length * rows] and first[length * rows :] != second[length * rows :]


def _trailing_zeros(data: bytes) -> int:
    number = int.from_bytes(data, "big")
    return (number & -number).bit_length() - 1


class _Counter:
    """Reads row after row. A row is kept as the places where its colour changes, white first, the width last."""

    def __init__(self, data: bytes, width: int, coding: Coding) -> None:
        padded = np.frombuffer(data + bytes(8), np.uint8).astype(np.uint32)
        # By byte, it and the next two: 13 bits from any bit of the first are in them.
        windows = (padded[:-2] << 16) | (padded[1:-1] << 8) | padded[2:]
        self._windows = memoryview(windows.tobytes()).cast("I")
        self._end = len(data) * 8
        self._width = width
        self._coding = coding
        self._place = 0  # in bits
        self._codes = 0

    def count(self, most: int) -> int:
        """How many rows there are, `most` at most."""
        reference = [self._width] * 4
        rows = 0
        while rows < most and self._place < self._end:
            if self._coding.byte_align:
                self._place = (self._place + 7) & ~7
            flat = self._coding.k == 0
            if self._coding.k >= 0:
                if self._pass_ends_of_line() >= _ROWS_END:
                    break
                if self._coding.k > 0:
                    flat = bool(self._window() >> 12)
                    self._place += 1
            row = self._flat_row() if flat else self._row(reference)
            if row is None:
                # A line that came in garbled is shown as far as it goes, if the next one can be found.
                if self._coding.k < 0 or not self._find_end_of_line():
                    break
                row = [self._width] * 4
            reference = row
            rows += 1
            if self._codes > _MOST_CODES:
                raise Unreadable(Reason.TOO_MUCH)
        return rows

    def _window(self) -> int:
        place = self._place
        if place >= self._end:
            return 0
        return (self._windows[place >> 3] >> (11 - (place & 7))) & 0x1FFF

    def _pass_ends_of_line(self) -> int:
        """Pass by ends of line and the zeros that fill them up; how many there were."""
        found = 0
        while self._window() >> 2 == 0 and self._find_end_of_line():
            found += 1
            if self._coding.k > 0 and (self._window() >> 1) & 0x7FF == 0:  # another one behind the bit of this one
                self._place += 1
        return found

    def _find_end_of_line(self) -> bool:
        """Go to behind the next end of line: eleven zeros or more, and a one."""
        zeros = 0
        while self._place < self._end:
            one = self._window() >> 12
            self._place += 1
            if one and zeros >= _EOL_ZEROS:
                return True
            zeros = 0 if one else zeros + 1
        return False

    def _run(self, black: int) -> int:
        """The next run's length; -1 where there is no code of one."""
        table, length = (BLACK_RUNS if black else WHITE_RUNS), 0
        while True:
            bits, run = table[self._window()]
            self._codes += 1
            if run < 0 or self._place + bits > self._end:
                return -1
            self._place += bits
            length += run
            if run < 64:
                return length

    def _flat_row(self) -> list[int] | None:
        row: list[int] = []
        place = black = 0
        while place < self._width:
            run = self._run(black)
            if run < 0:
                return None
            place += run
            row.append(min(place, self._width))
            black ^= 1
        return [*row, *[self._width] * 4]

    def _row(self, reference: list[int]) -> list[int] | None:
        """A row told by its differences from the one above it."""
        row: list[int] = []
        width, end, windows = self._width, self._end, self._windows
        a0 = black = index = 0
        begun = False
        while a0 < width:
            place = self._place
            if place >= end:
                return None
            bits, mode = MODES[(windows[place >> 3] >> (17 - (place & 7))) & 0x7F]
            self._codes += 1
            self._place = place + bits
            if self._place > end or mode == BAD:
                return None
            # b1: the next change above, to the other colour. At a row's beginning the first pixel counts too.
            index = max(0, index - 2)
            index += (index ^ black) & 1
            while reference[index] < width and reference[index] <= a0 and (begun or a0):
                index += 2
            if mode == PASS:
                a0 = reference[index + 1]
            elif mode == HORIZONTAL:
                for colour in (black, black ^ 1):
                    run = self._run(colour)
                    if run < 0:
                        return None
                    a0 = min(a0 + run, width)
                    row.append(a0)
            else:
                a1 = reference[index] + mode
                if a1 < a0:
                    return None
                a0 = min(a1, width)
                row.append(a0)
                black ^= 1
            begun = True
        return [*row, *[width] * 4]
