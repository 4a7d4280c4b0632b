"""The notifier.

It writes to families: letters and emails from versioned templates, each with one intent and one recipient. It hands
them to a printer or a mail relay. It seals the last letter before an erasure, and sends it after the erasure is proven.
What it has written is kept encrypted, and destroyed once it has gone.
"""
