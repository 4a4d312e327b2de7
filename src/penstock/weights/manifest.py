"""What was done to a file, tensor by tensor, for whoever wants to check it; and in short, for a row."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING

from penstock.weights.kernels import BOUNDS
from penstock.weights.plan import CONVERTER, PAGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from penstock.weights.header import Header
    from penstock.weights.plan import Piece, Plan
    from penstock.weights.survey import Seen, Survey

VERSION = 1
_NAMED = 20
"""Names of dropped tensors, and of remarkable ones, that a summary lists."""


def manifest(header: Header, plan: Plan, survey: Survey, *, stored_sha256: str) -> bytes:
    """JSON in UTF-8. Offsets are bytes from the start of the data, hashes of tensors BLAKE3, of files SHA-256 (hex)."""
    document = {
        "manifest_version": VERSION,
        **summary(header, plan, survey, stored_sha256=stored_sha256),
        "bounds": {
            dtype: {"relative": bound.relative, "absolute": bound.absolute, "least_sqnr_db": bound.least}
            for dtype, bound in BOUNDS.items()
        },
        "dropped": [
            {"name": tensor.name, "dtype": tensor.dtype, "shape": tensor.shape, "bytes": tensor.size, "reason": reason}
            for tensor, reason in plan.dropped
        ],
        "tensors": [],
    }
    tensors = b",".join(_json(_tensor(piece, survey.tensors[piece.index])) for piece in plan.pieces)
    return _json(document).removesuffix(b"]}") + tensors + b"]}"  # tensor by tensor: there may be 100 000


def summary(header: Header, plan: Plan, survey: Survey, *, stored_sha256: str) -> dict[str, object]:
    """The manifest without its tensors: a few kilobytes at most."""
    size = survey.size if plan.unchanged else plan.size
    narrowed = [seen for piece in plan.pieces if piece.narrowed and (seen := survey.tensors[piece.index].narrowed)]
    levels = [seen.sqnr for seen in narrowed if seen.sqnr is not None]
    nonfinite = [piece.name for piece in plan.pieces if survey.tensors[piece.index].nonfinite]
    return {
        "converter": CONVERTER,
        "options": survey.options.words(),
        "category": survey.category,
        "family": survey.family,
        "source_sha256": survey.sha256,
        "source_size": survey.size,
        "stored_sha256": stored_sha256,
        "stored_size": size,
        "saved_bytes": survey.size - size,
        "unchanged": plan.unchanged,
        "tensor_count": len(plan.pieces),
        "narrowed_count": len(narrowed),
        "least_sqnr_db": min(levels, default=None),
        "refused": _some(f"{header.tensors[index].name}: {reason}" for index, reason in survey.refused.items()),
        "nonfinite": _some(nonfinite),
        "dropped_count": len(plan.dropped),
        "dropped_bytes": sum(tensor.size for tensor, _ in plan.dropped),
        "dropped_names": _some(tensor.name for tensor, _ in plan.dropped),
        "dtypes_before": _dtypes((tensor.dtype, tensor.size) for tensor in header.tensors),
        "dtypes_after": _dtypes((piece.dtype, piece.end - piece.begin) for piece in plan.pieces),
        "on_pages_before": _on_pages((header.data_start + tensor.begin, tensor.size) for tensor in header.tensors),
        "on_pages_after": _on_pages((piece.begin, piece.end - piece.begin) for piece in plan.pieces),
    }


def _json(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _tensor(piece: Piece, seen: Seen) -> dict[str, object]:
    tensor = piece.tensor
    entry: dict[str, object] = {
        "name": piece.name,
        "action": "narrowed" if piece.narrowed else "kept",
        "reason": piece.reason,
        "shape": tensor.shape,
        "source_dtype": tensor.dtype,
        "source_offsets": [tensor.begin, tensor.end],
        "source_blake3": seen.hash,
        "dtype": piece.dtype,
        "offsets": [piece.begin, piece.end],
        "blake3": seen.hash,
        "least": seen.least,
        "greatest": seen.greatest,
        "nonfinite": seen.nonfinite,
    }
    if piece.name != tensor.name:
        entry["source_name"] = tensor.name
    if piece.narrowed and seen.narrowed is not None:
        entry |= {"blake3": seen.narrowed.hash, "sqnr_db": seen.narrowed.sqnr, "largest_error": seen.narrowed.worst}
    return entry


def _dtypes(sizes: Iterable[tuple[str, int]]) -> Mapping[str, Mapping[str, int]]:
    """By type: how many tensors, and their bytes."""
    tensors, total = Counter[str](), Counter[str]()
    for dtype, size in sizes:
        tensors[dtype] += 1
        total[dtype] += size
    return {dtype: {"tensors": tensors[dtype], "bytes": total[dtype]} for dtype in sorted(tensors)}


def _on_pages(places: Iterable[tuple[int, int]]) -> float:
    """The share of the bytes that belong to tensors which begin on a page, four places, rounded down."""
    whole = on = 0
    for begin, size in places:
        whole += size
        on += 0 if begin % PAGE else size
    return math.floor(10_000 * on / whole) / 10_000 if whole else 1.0


def _some(names: Iterable[str]) -> list[str]:
    """The first of them, and how many more there are."""
    every = list(names)
    more = len(every) - _NAMED
    return [*every[:_NAMED], f"… and {more} more"] if more > 0 else every
