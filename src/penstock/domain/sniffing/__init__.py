"""What the bytes of a file say that it is. Pure: it asks for ranges and is handed bytes, never much of either.

Nothing that a file says of itself is believed: sizes and offsets are bounded by the file's end, loops by a count.
"""

from penstock.domain.sniffing.probe import MAX_BYTES, MAX_READS, SNIFF_BYTES, Range
from penstock.domain.sniffing.types import find_type, looking, sniff

__all__ = ["MAX_BYTES", "MAX_READS", "SNIFF_BYTES", "Range", "find_type", "looking", "sniff"]
