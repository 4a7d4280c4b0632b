"""What the notifier does, by noun: what it hears, notifications, sending them, the last letter, templates."""
