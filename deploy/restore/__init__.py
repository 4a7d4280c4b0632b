"""Restoring a backup without bringing back what was forgotten since it was made.

The newest archive of keys opens the newest data archive. What the ledger says was ended since is ended again, every key
of the tree is changed, and only then may the services go on. A restore that was killed is run again, from the start.
"""
