"""Implementations of the runner port, one folder or file each."""
