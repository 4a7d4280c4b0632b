"""`make demo`: a family's case from consent to its erasure, step by step on real servers."""
