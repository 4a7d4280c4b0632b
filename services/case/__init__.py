"""The case service: shells and cases, the people of a case, and the entries of its timeline.

It owns whether a case exists, its reference and its state, and the search that finds it. It tells the others of
each change (`case.created`, `case.state`, `case.people`, `case.ended`) and hears of consents: without a standing
consent to casework it takes nothing personal (P4). It also owns the registers of contacts and disclosures, checked
with the consent service one by one (P13, P14), and, apart from every case, what is told for safeguarding (P15).
"""
