"""Strangers' files are read by child processes without secrets, sockets and files: this is the side that asks them.

What runs in the children is in `parsing/`. See docs/decisions/0040-strangers-files-are-read-apart.md.
"""
