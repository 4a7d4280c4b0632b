"""The case service: shells and cases, the people of a case, and the entries of its timeline.

It owns whether a case exists, its reference and its state, and the search that finds it. It emits an event for each
change (`case.created`, `case.state`, `case.people`, `case.stopped`, `case.ended`) and handles those about consents:
without a standing consent to casework it stores nothing personal (P4). It also owns the registers of contacts and
disclosures, each checked with the consent service (P13, P14), and, apart from every case, the safeguarding records
(P15).
"""
