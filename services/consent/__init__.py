"""The consent service.

Owns the privacy statement, organisations, consents and decisions, the family's requests, holds, the
erasure it coordinates, the certificate that proves it and the ledger that outlives it.
"""
