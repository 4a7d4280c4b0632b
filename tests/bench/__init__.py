"""Benchmarks: our work as a ratio of the bare library's, in the same run on the same servers (`make bench`)."""
