"""The notifier's rules, pure Python: notifications, whom they may go to, and the last letter of an erasure."""
