"""The independent reader: looks for erased cases in everything that the servers hold, and signs what it found.

It isn't one of the services. Its accounts may only read, it has no key of the data, no register and no broker, and it
imports none of the services: what is there it learns from the servers alone.
"""
