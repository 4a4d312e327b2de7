"""How much of one model's weights stands in another's, tensor by tensor, from their manifests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Tensors of the one, and those of them whose bytes the other has too, under whatever name; sizes in bytes."""

    tensors: int
    bytes: int
    shared_tensors: int
    shared_bytes: int


def overlap(one: Mapping[str, object], other: Mapping[str, object]) -> Overlap:
    """Compare what two manifests say of the files that are served.

    A tensor is the same where type, shape and the hash of its bytes are. Raises `ValueError` for what is no manifest.
    """
    own = list(_tensors(one))
    theirs = {key for key, _ in _tensors(other)}
    shared = [size for key, size in own if key in theirs]
    return Overlap(
        tensors=len(own), bytes=sum(size for _, size in own), shared_tensors=len(shared), shared_bytes=sum(shared)
    )


def _tensors(manifest: Mapping[str, object]) -> Iterator[tuple[tuple[object, ...], int]]:
    entries = manifest.get("tensors")
    if not isinstance(entries, list):
        raise ValueError("a manifest without tensors")  # noqa: TRY004 - the shape is wrong, not a caller's type
    for entry in entries:
        match entry:
            case {"dtype": str(dtype), "shape": list(shape), "blake3": str(digest), "offsets": [int(begin), int(end)]}:
                yield (dtype, tuple(shape), digest), end - begin
            case _:
                raise ValueError("a tensor of a manifest without its hash")
