"""What strangers' files are, found in their bytes: their kind, whether they are whole, how many pages they have.

Nothing here knows of HTTP, a server, a key or a case. Nothing here logs, and no error here repeats anything of a file.
"""
