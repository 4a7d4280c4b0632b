"""How much one file may ask of those who look at it."""

from __future__ import annotations

from services.document.parsing.errors import Reason, Unreadable

MOST_PIXELS = 80_000_000  # of one picture: A3 at 600 dots per inch has 70 million
MOST_PIXELS_AT_ONCE = 300_000_000  # of a picture that is read from top to bottom without being held: phones make 200
MOST_PIXELS_IN_ALL = 2_000_000_000  # of all pictures of a file: 229 of A4 at 300 dots per inch


class Budget:
    """The pixels that one file has used up. `spend` raises Unreadable (too much)."""

    def __init__(self) -> None:
        self._spent = 0

    def spend(self, width: int, height: int, *, held: bool = True) -> None:
        """Count a picture before it is decoded. held: its pixels are in memory together."""
        pixels = width * height
        self._spent += pixels
        if pixels > (MOST_PIXELS if held else MOST_PIXELS_AT_ONCE) or self._spent > MOST_PIXELS_IN_ALL:
            raise Unreadable(Reason.TOO_MUCH)
