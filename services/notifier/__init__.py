"""The notifier.

Owns what families are written: letters and emails from versioned templates, each with one intent and one recipient,
the ways out (a printer, a mail relay), and the last letter, sealed before an erasure and sent after it is proven. It
keeps what it has written encrypted, and no longer than until it has gone.
"""
