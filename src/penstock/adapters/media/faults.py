"""What a decoder can say against a file."""

from __future__ import annotations


class UnreadableError(Exception):
    """Nothing, or no more, can be seen in this file; the message is fit for its owner."""


BROKEN = "the file is damaged or incomplete"
NO_MEMORY = "looking into the file takes more memory than is allowed"
TOO_LONG = "looking into the file takes longer than is allowed"
BREAKS = "the file is built in a way that breaks its decoder"
