"""The consent service.

Owns the privacy statement, organisations, consents and decisions, when rights pass to a young person, the tasks that
come of it, the family's requests, holds, the erasure it coordinates, the certificate that proves it and the ledger
that outlives it.
"""
