"""What a case is, and the rules it keeps: pure Python, one noun a file."""
