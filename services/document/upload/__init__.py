"""What happens to a file between a caller's connection and the object store, with no HTTP and no server in it.

`form` reads an upload as it streams in, `meter` counts and hashes it, `spool` keeps what must be looked at
twice under a key of this process, `crypt` encrypts it from its first byte.
Nothing here logs, and no error here repeats anything of a file, a name or a field.
"""
