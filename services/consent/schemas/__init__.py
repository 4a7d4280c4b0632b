"""HTTP bodies and queries of the consent service, in and out."""
