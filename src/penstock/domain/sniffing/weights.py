"""Model files and what is sent in their place: safetensors, GGUF, pickles, ZIP archives and PyTorch's use of them."""

from __future__ import annotations

import re

_MAX_SAFETENSORS_HEADER = 100_000_000
"""The format's own limit."""
_SAFETENSORS = re.compile(rb'\{[ \t\r\n]*+["}]')
_MAX_GGUF_VERSION = 99

_PICKLE_STARTS = frozenset(b"(])}NcKMJXUTGBC\x81\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x95\x96")
"""Opcodes that can follow the protocol number: those that push something, and the frame of protocols 4 and 5."""
_TORCH_PICKLE = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The number that PyTorch pickled before a checkpoint, before it used ZIP."""
_LFS = re.compile(rb"version https://(?:git-lfs|hawser)\.github\.com/spec/v\d+\r?\n(?:ext-|oid )")


def weights(head: bytes) -> str | None:
    """The type of a model file, an archive, or a pointer to one."""
    if _is_safetensors(head):
        return "application/x-safetensors"
    if head[:4] == b"GGUF" and _is_gguf_version(head[4:8]):
        return "application/x-gguf"
    if head[:1] == b"\x80":
        return _pickle(head)
    if _LFS.match(head):
        return "application/x-git-lfs-pointer"
    return _archive(head)


def _is_safetensors(head: bytes) -> bool:
    """Eight bytes of little-endian header length, then a JSON object."""
    return 0 < int.from_bytes(head[:8], "little") <= _MAX_SAFETENSORS_HEADER and bool(_SAFETENSORS.match(head, 8))


def _is_gguf_version(field: bytes) -> bool:
    return len(field) == 4 and any(  # noqa: PLR2004 - a number of four bytes
        1 <= int.from_bytes(field, order) <= _MAX_GGUF_VERSION for order in ("little", "big")
    )


def _pickle(head: bytes) -> str | None:
    if head.startswith(_TORCH_PICKLE):
        return "application/x-pytorch"
    if len(head) < 3 or head[1] not in {2, 3, 4, 5} or head[2] not in _PICKLE_STARTS:  # noqa: PLR2004 - protocols
        return None
    framed = head[2] == 0x95  # noqa: PLR2004 - the opcode FRAME: eight bytes of length follow
    return None if framed and head[9:11] not in {b"\x00\x00", b""} else "application/x-pickle"


def _archive(head: bytes) -> str | None:
    if head.startswith(b"PK\x05\x06"):  # an empty one
        return "application/zip"
    local = 4 if head.startswith(b"PK\x07\x08PK\x03\x04") else 0  # of an archive that was once to be split
    if head[local : local + 4] != b"PK\x03\x04":
        return None
    return "application/x-pytorch" if _is_torch(head, local) else "application/zip"


def _is_torch(head: bytes, local: int) -> bool:
    """Whether the first entry is one of PyTorch's: `NAME/data.pkl`, or padded by its writer's extra field `FB`."""
    named = int.from_bytes(head[local + 26 : local + 28], "little")
    name = head[local + 30 : local + 30 + named]
    extra = head[local + 30 + named : local + 32 + named]
    return name.endswith((b"/data.pkl", b"/version", b"/byteorder")) or (extra == b"FB" and b"/" in name)
