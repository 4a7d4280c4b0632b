"""Stored records as MongoDB held them before the stores were rewritten, and what they must still be read as.

`<service>/<store>.json` holds the rows of one store (MongoDB extended JSON, canonical). `<service>/keys.json` holds the
vault's keys that open them, wrapped by `master.key`. `<service>/expected.json` says what each row holds once opened.
Every person in them is invented, and both keys (`master.key`, `search.key`) are for these tests alone.

These files don't change: every later version must read them. For a new store, `test_stored.py` makes them once.
"""
