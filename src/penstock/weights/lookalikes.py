"""What a file that is no safetensors file looks like, and what its owner can do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from penstock.domain.media_types import MEDIA_TYPES
from penstock.domain.sniffing import SNIFF_BYTES, sniff

_CONVERT = "it may hold code and is not opened here: convert it to safetensors, and send the result"
_UNPACK = "unpack it, and send the safetensors file in it"
_WHOLE = "send the weights themselves, as one safetensors file"
_ADDRESS = "an address that is wrong, or wants a log-in, answers with this: use the address of the file itself"
_ADVICE = {
    "application/gzip": _UNPACK,
    "application/json": _ADDRESS,
    "application/x-gguf": "send the safetensors file that it was made from",
    "application/x-git-lfs-pointer": "it only names a file that is kept elsewhere: send that file",
    "application/x-hdf5": _CONVERT,
    "application/x-pickle": _CONVERT,
    "application/x-pytorch": _CONVERT,
    "application/zip": _UNPACK,
    "application/xml": _ADDRESS,
    "text/html": _ADDRESS,
    "text/plain": _ADDRESS,
}
_PACKED = (
    (re.compile(rb"7z\xbc\xaf\x27\x1c"), "application/x-7z-compressed", "7z archive"),
    (re.compile(rb"BZh[1-9]1AY&SY"), "application/x-bzip2", "bzip2 data"),
    (re.compile(rb"Rar!\x1a\x07"), "application/vnd.rar", "RAR archive"),
    (re.compile(rb"\xfd7zXZ\x00"), "application/x-xz", "xz data"),
    (re.compile(rb"\x28\xb5\x2f\xfd"), "application/zstd", "Zstandard data"),
    (re.compile(rb".{257}ustar", re.DOTALL), "application/x-tar", "tar archive"),
)
"""What the server's table of media types has no need to know."""
_INDEX = re.compile(rb'\s*\{\s*"(?:weight_map"\s*:|metadata"\s*:\s*\{[^{}]*"total_size")')


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookalike:
    """`sentence` tells the file's owner what it is, and what to do."""

    media_type: str
    sentence: str


def looks_like(first: bytes) -> Lookalike | None:
    """What the first bytes of a file show, unless that is nothing known or a safetensors file."""
    head = first[:SNIFF_BYTES]
    for magic, media_type, title in _PACKED:
        if magic.match(head):
            return _told(media_type, title, _UNPACK)
    found = sniff(head)
    if found is None or found == "application/x-safetensors":
        return None
    if found == "application/json" and _INDEX.match(head):
        return _told(found, "index of a model in several files", _WHOLE)
    title, _, _ = MEDIA_TYPES[found].title.partition(":")
    return _told(found, title, _ADVICE.get(found, _WHOLE))


def _told(media_type: str, title: str, advice: str) -> Lookalike:
    return Lookalike(media_type=media_type, sentence=f"no safetensors file; it looks like: {title} ({advice})")
