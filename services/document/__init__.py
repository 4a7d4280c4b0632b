"""The document service: the files a family's case has, and the paper that lies in the office.

Owns: documents and their versions (encrypted from the first byte, in the object store), uploads on their way in,
paper files with their movements and certified disposal.
Has each file scanned for malware, where there is a scanner.
Asks the consent service before it takes a document from anyone but the family; keeps the case's standing consents as
it last heard of them.
Never holds: names of people, letters, the reason of a case.
"""
