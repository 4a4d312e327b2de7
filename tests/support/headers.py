"""Headers of model files, read from disk or made up, for what reads nothing but headers."""

from __future__ import annotations

import json
import math
import struct
from typing import TYPE_CHECKING

from penstock.weights.header import DTYPE_BITS, Header, Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def read_header(path: Path) -> Header:
    """The header of a well-formed file; its data are not read."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        entries = json.loads(file.read(length))
    metadata = entries.pop("__metadata__", {})
    tensors = [
        Tensor(name, entry["dtype"], tuple(entry["shape"]), *entry["data_offsets"]) for name, entry in entries.items()
    ]
    return Header(length, tuple(sorted(tensors, key=lambda tensor: (tensor.begin, tensor.end))), metadata)


def made_header(
    shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str] | None = None, *, dtype: str = "F16"
) -> Header:
    """A header with these tensors, one behind the other."""
    tensors, end = [], 0
    for name, shape in shapes.items():
        begin, end = end, end + math.prod(shape) * DTYPE_BITS[dtype] // 8
        tensors.append(Tensor(name, dtype, shape, begin, end))
    return Header(0, tuple(tensors), metadata or {})


def shapes_of(header: Header) -> dict[str, tuple[int, ...]]:
    """Names and shapes, to be changed and made into a header again."""
    return {tensor.name: tensor.shape for tensor in header.tensors}
