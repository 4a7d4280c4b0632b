"""States and rules of the consent service; pure Python."""
