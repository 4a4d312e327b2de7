"""The optimised file before it is written: its tensors, their places, and every byte of its header.

A header is a function of the old header, of the options and of which tensors the data do not allow to narrow. Pages
first: the data begin on a page, then come all tensors of whole pages, in the order of the old file, then the rest by
descending size of their elements. So all but a thousandth of a checkpoint begins on pages without a byte of padding,
every tensor is aligned to its type, and one pass over the old file suffices while the rest fits into memory.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from penstock.weights.header import DTYPE_BITS
from penstock.weights.policy import treatments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.weights.header import Header, Tensor
    from penstock.weights.policy import Options, Treatment

CONVERTER = "1"
"""Raised by whatever changes a byte that comes out."""
PAGE = 4096
HOLD = 32 << 20
"""Bytes of the new file that a pass may keep in memory until their place comes."""
_OURS = "penstock."
_DATA_HASHES: Mapping[str, str] = {"modelspec.hash_sha256": "0x", "sshs_model_hash": ""}
"""Metadata that hold the SHA-256 of the data, and what stands before it (ModelSpec 1.0.1; sd-scripts)."""
_STALE = frozenset({"sshs_legacy_hash"})
"""A hash over the file's 64 KiB at 1 MiB; whoever reads it means the old file."""
_NO_DIGEST = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One tensor of the new file: from which of the old, and where its bytes lie in the data."""

    name: str
    dtype: str
    tensor: Tensor
    index: int
    reason: str
    begin: int
    end: int

    @property
    def narrowed(self) -> bool:
        """Whether its numbers change."""
        return self.dtype != self.tensor.dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The new file. `pieces` are in its order; `head` is all before the data; `unchanged`: it is the old one.

    `hashed`: metadata hold the SHA-256 of the data, which has to be known before the first byte; until `with_digest`
    zeros stand there.
    """

    pieces: tuple[Piece, ...]
    dropped: tuple[tuple[Tensor, str], ...]
    metadata: Mapping[str, str]
    head: bytes
    unchanged: bool
    hashed: bool

    @property
    def size(self) -> int:
        """Bytes of the new file."""
        return len(self.head) + (self.pieces[-1].end if self.pieces else 0)

    @property
    def fingerprint(self) -> str:
        """Names the plan and the converter that would carry it out."""
        return hashlib.sha256(CONVERTER.encode() + b"\n" + self.head).hexdigest()

    @property
    def held(self) -> int:
        """Bytes that one pass in the order of the old file keeps in memory: those of the tensors of broken pages."""
        return sum(piece.end - piece.begin for piece in self.pieces if (piece.end - piece.begin) % PAGE)

    def with_digest(self, sha256: str) -> Plan:
        """The plan with the SHA-256 (hex) of the data in its metadata."""
        metadata = {
            key: _DATA_HASHES[key] + sha256 if key in _DATA_HASHES else value for key, value in self.metadata.items()
        }
        return replace(self, metadata=metadata, head=_head(self.pieces, metadata), hashed=False)


def make_plan(
    header: Header,
    *,
    category: str | None,
    family: str | None,
    options: Options,
    refused: Mapping[int, str] | None = None,
) -> Plan:
    """Plan a file. `refused` are the tensors (by place in the old file) that must keep their type, and why."""
    decided = treatments(header, category=category, family=family, options=options)
    refused = refused or {}
    kept = [
        (index, replace(treatment, dtype=tensor.dtype, reason=refused[index]) if index in refused else treatment)
        for index, (tensor, treatment) in enumerate(zip(header.tensors, decided, strict=True))
        if not treatment.dropped
    ]
    pieces = _laid_out(header, kept)
    dropped = tuple(
        (tensor, treatment.reason)
        for tensor, treatment in zip(header.tensors, decided, strict=True)
        if treatment.dropped
    )
    metadata, hashed = _metadata(header, options)
    unchanged = _is_laid_out(header, pieces) and not dropped and _foreign(header.metadata, options) == header.metadata
    return Plan(
        pieces=pieces,
        dropped=dropped,
        metadata=metadata,
        head=_head(pieces, metadata),
        unchanged=unchanged,
        hashed=hashed,
    )


def _laid_out(header: Header, kept: list[tuple[int, Treatment]]) -> tuple[Piece, ...]:
    pieces, begin = [], 0
    sized = [(index, treatment, _size(header.tensors[index], treatment.dtype)) for index, treatment in kept]
    sized.sort(key=lambda entry: (entry[2] % PAGE != 0, entry[2] % PAGE and -DTYPE_BITS[entry[1].dtype]))
    for index, treatment, size in sized:
        pieces.append(
            Piece(
                name=treatment.name,
                dtype=treatment.dtype,
                tensor=header.tensors[index],
                index=index,
                reason=treatment.reason,
                begin=begin,
                end=begin + size,
            )
        )
        begin += size
    return tuple(pieces)


def _size(tensor: Tensor, dtype: str) -> int:
    return tensor.size if dtype == tensor.dtype else math.prod(tensor.shape) * DTYPE_BITS[dtype] // 8


def _is_laid_out(header: Header, pieces: tuple[Piece, ...]) -> bool:
    return header.data_start % PAGE == 0 and all(
        (piece.name, piece.dtype, piece.begin) == (tensor.name, tensor.dtype, tensor.begin)
        for piece, tensor in zip(pieces, header.tensors, strict=False)
    )


def _foreign(metadata: Mapping[str, str], options: Options) -> Mapping[str, str]:
    """What others wrote and may stay; our own marks stand for what is."""
    private = ("ss_", "sshs_", "ssmd_") if options.training_notes == "drop" else ()
    return {
        key: value for key, value in metadata.items() if key not in _STALE and not (private and key.startswith(private))
    }


def _metadata(header: Header, options: Options) -> tuple[Mapping[str, str], bool]:
    """No time, no host, no hash of the old file: the same input gives the same output, again and again."""
    metadata = {key: value for key, value in _foreign(header.metadata, options).items() if not key.startswith(_OURS)}
    hashes = metadata.keys() & _DATA_HASHES.keys()
    metadata |= {key: _DATA_HASHES[key] + _NO_DIGEST for key in hashes}
    chosen = " ".join(f"{key}={value}" for key, value in sorted(options.words().items()))
    metadata |= {f"{_OURS}converter": CONVERTER, f"{_OURS}options": chosen}
    return metadata, bool(hashes)


def _head(pieces: tuple[Piece, ...], metadata: Mapping[str, str]) -> bytes:
    """Eight bytes and the JSON, padded with spaces so that the data begin on a page."""
    entries: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    for piece in pieces:
        shape, place = list(piece.tensor.shape), [piece.begin, piece.end]
        entries[piece.name] = {"dtype": piece.dtype, "shape": shape, "data_offsets": place}
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % PAGE)
    return struct.pack("<Q", len(text)) + text
