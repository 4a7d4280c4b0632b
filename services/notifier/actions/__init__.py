"""What the notifier does, by noun: cases it hears of, notifications, sending them, the last letter, templates."""
