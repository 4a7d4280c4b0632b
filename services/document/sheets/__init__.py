"""Sheets that are printed: the cover sheet of a paper file. It names no person, and says nothing of whose it is."""

from services.document.sheets.cover import render_cover_sheet

__all__ = ["render_cover_sheet"]
