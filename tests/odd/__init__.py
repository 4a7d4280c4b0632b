"""Builders of what scanners, phones and programs really make, sound and cut: `jpegs`, `pngs`, `tiffs`, `pdfs`.

Each gives a table: a name, the bytes, and what is to be said of them: a number of pages, warnings too, or a refusal.
"""
