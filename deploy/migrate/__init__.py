"""Brings what version 0.2 stored to the form of the key tree (`forgetmenot migrate`), one service at a time.

Before, a record's `personal` was sealed by MongoDB's client-side encryption under a key that a master key in a file
wrapped; gates and records without a sealed part carried no code. Nothing else imports this package: it goes, and
pymongocrypt with it, once no installation of version 0.2 is left.

Any process may die at any line, and the next run goes on: a row is of the old form or the new one, each is replaced
whole, and the old keys stay until every store was read back.
"""
