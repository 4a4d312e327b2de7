"""The beginning of a file, judged: whether it is a safetensors file, what it is, and whether that was declared."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from penstock.domain.errors import NotSafetensors
from penstock.domain.weights import Category, DtypeShare, Examination
from penstock.weights.container import HEADER_CAP_BYTES, LENGTH_BYTES, header_length, parse_header
from penstock.weights.identify import identify
from penstock.weights.verdict import judge, propose

if TYPE_CHECKING:
    from penstock.domain.weights import Declaration
    from penstock.weights.header import Header
    from penstock.weights.identify import Found, Suggestions

MOST_TENSORS = 100_000
"""Taken of one file: what is done with a file is done for each of them. The models known here have 2 to 3 000."""
_SAMPLE = b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'


def examine(head: bytes, *, size: int | None, declared: Declaration | None, cap: int = HEADER_CAP_BYTES) -> Examination:
    """What the first bytes of a file, up to the data, say about it; `size` is the whole file's, where it is known.

    Raises `NotSafetensors`.
    """
    length = header_length(head, cap=cap, file_size=size)
    if len(head) < LENGTH_BYTES + length:
        raise NotSafetensors(f"the file is cut off: its header ends at byte {LENGTH_BYTES + length}")
    header = parse_header(head[LENGTH_BYTES : LENGTH_BYTES + length], file_size=size)
    if len(header.tensors) > MOST_TENSORS:
        raise NotSafetensors(f"the file has {len(header.tensors)} tensors; at most {MOST_TENSORS} are taken here")
    found = identify(header)
    return _judged(found, declared, header)


def prepare() -> None:
    """What is loaded on first use is loaded now, while files can still be opened."""
    for encoding in ("ascii", "latin-1", "utf-8", "utf-8-sig", "utf-16-le", "utf-16-be"):
        codecs.lookup(encoding)
    examine(len(_SAMPLE).to_bytes(LENGTH_BYTES, "little") + _SAMPLE, size=None, declared=None)


def _judged(found: Found, declared: Declaration | None, header: Header) -> Examination:
    verdict = proposal = None
    if declared is None:
        proposal = propose(found)
        message, architectures = proposal.refused or "", proposal.architectures
    else:
        # The words were checked, so an architecture that is not known here is one that the operator allows.
        verdict = judge(found, declared, further={declared.architecture} - {None})
        message, architectures = verdict.message, verdict.architectures
    return Examination(
        verdict=verdict.kind if verdict else None,
        category=None if found.category is None else Category(found.category),
        family=found.family,
        architectures=architectures,
        type=found.type,
        conditioning=proposal.conditioning if proposal else None,
        algorithm=found.algorithm,
        evidence=found.evidence,
        warnings=verdict.warnings if verdict else (),
        message=message,
        suggestions=_suggestions(found.suggestions),
        size=header.file_size,
        header_size=header.data_start,
        tensors=len(header.tensors),
        dtypes=_dtypes(header),
        misaligned=header.misaligned,
    )


def _suggestions(told: Suggestions) -> dict[str, str]:
    """By the names of the fields of a model's card."""
    words = {
        "name": told.title,
        "short_description": told.description,
        "positive_trigger_words": ", ".join(told.trigger_words),
        "tags": ", ".join(told.tags),
        "conditioning": told.conditioning,
    }
    return {field: text for field, text in words.items() if text}


def _dtypes(header: Header) -> tuple[DtypeShare, ...]:
    """The most bytes first."""
    tensors: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for tensor in header.tensors:
        tensors[tensor.dtype] = tensors.get(tensor.dtype, 0) + 1
        sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.size
    shares = (DtypeShare(dtype=dtype, tensors=count, bytes=sizes[dtype]) for dtype, count in tensors.items())
    return tuple(sorted(shares, key=lambda share: (-share.bytes, share.dtype)))
