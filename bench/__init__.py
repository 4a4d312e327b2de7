"""Benchmarks: one command each, paired runs against a peer on the same machine in the same run, medians printed."""
