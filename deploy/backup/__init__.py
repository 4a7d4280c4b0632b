"""Backups of a running deployment, and what they are made of.

A *data archive* holds the services' databases at one cluster time, the objects, and the signed head of the ledger. It
holds no keys. A *key archive* holds the key vaults at one cluster time with the roots that they hang on, encrypted to
the operator's public key. Key archives are made hourly and two are kept, so what is erased can't be opened with a
backup either once the archives are gone that were made before (docs/key-tree.md, 14).
"""
