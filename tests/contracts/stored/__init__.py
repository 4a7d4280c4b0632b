"""Stored records as MongoDB holds them since the key tree, and what they must be read as.

`<service>/<store>.json` holds the rows of one store (MongoDB extended JSON, canonical). `<service>/tree.json`,
`<service>/keys.json` and `<service>/roots/` are the key tree that opens them; `<service>/expected.json` says what each
row holds once opened. Every person in them is invented, and the roots are for these tests alone.

`before/` holds the same of version 0.2, as its own services stored it, with its `master.key` and `search.key`:
`test_migrated.py` migrates them. The other rows were made of these by this version's own stores: migrated, read, and
written again.

None of these files changes: every later version must read them. For a new store, `test_stored.py` makes them once.
"""
