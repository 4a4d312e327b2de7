"""What can go wrong in the child, apart from the machine failing it."""

from __future__ import annotations


class UnusableInputError(Exception):
    """An input that no attempt will make usable; the message is fit for the caller."""
