"""Which roles may do what, by the kind of act; a route's `@allow` names one of these groups, or roles of its own."""

from __future__ import annotations

from typing import Final

CASEWORKER: Final = "caseworker"
MANAGER: Final = "manager"
DATA_PROTECTION: Final = "data_protection"
SAFEGUARDING_LEAD: Final = "safeguarding_lead"
AUDITOR: Final = "auditor"
APP: Final = "app"
#: What services ask of one another; never a person's role.
SERVICE: Final = "service"

#: Every role of people and apps.
ROLES: Final = frozenset({CASEWORKER, MANAGER, DATA_PROTECTION, SAFEGUARDING_LEAD, AUDITOR, APP})
#: All of them, for what holds nothing of a case.
ANYONE: Final = (CASEWORKER, MANAGER, DATA_PROTECTION, SAFEGUARDING_LEAD, AUDITOR, APP)

#: Casework: recording, changing, sending.
CASEWORK: Final = (CASEWORKER, MANAGER, APP)
#: Casework that an app may not do: deleting, confirming, certifying paper.
CASEWORK_IN_PERSON: Final = (CASEWORKER, MANAGER)
#: Reading casework.
CASE_READERS: Final = (CASEWORKER, MANAGER, SAFEGUARDING_LEAD, APP)
#: Reading consents and what comes of them: tasks, reviews.
CONSENT_READERS: Final = (CASEWORKER, MANAGER, APP, DATA_PROTECTION, SAFEGUARDING_LEAD)
#: Recording what was shared, or not shared, because of a safeguarding risk (P15): every member of staff.
SAFEGUARDING_STAFF: Final = (CASEWORKER, MANAGER, SAFEGUARDING_LEAD, DATA_PROTECTION)
#: Seeing what was recorded of it.
SAFEGUARDING_READERS: Final = (SAFEGUARDING_LEAD, DATA_PROTECTION)
#: Placing and lifting holds.
HOLDERS: Final = (MANAGER, SAFEGUARDING_LEAD, DATA_PROTECTION)
#: Logging a request.
REQUEST_LOGGERS: Final = (CASEWORKER, MANAGER, APP, DATA_PROTECTION)
#: Confirming one that another person logged.
REQUEST_CONFIRMERS: Final = (CASEWORKER, MANAGER, DATA_PROTECTION)
