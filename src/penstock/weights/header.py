"""What the header of a safetensors file says: its tensors and where they lie."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

DTYPE_BITS: Mapping[str, int] = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}
"""Bits of an element, in the order in which the official writer sorts (safetensors 0.8.0)."""


class Tensor(NamedTuple):
    """One tensor: `begin` and `end` are bytes from the start of the data. A tuple, for headers hold thousands."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.begin


@dataclass(frozen=True)
class Header:
    """A header that obeys the rules. `length` is the bytes of its JSON; `tensors` are in the order of their data."""

    length: int
    tensors: tuple[Tensor, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def by_name(self) -> Mapping[str, Tensor]:
        """The tensors by their names, which are unique."""
        return {tensor.name: tensor for tensor in self.tensors}

    @cached_property
    def misaligned(self) -> int:
        """How many tensors lie in the file where no number of their type may lie in memory. The format allows it."""
        start = self.data_start
        return sum(1 for tensor in self.tensors if (start + tensor.begin) % (DTYPE_BITS[tensor.dtype] // 8 or 1))

    @property
    def data_start(self) -> int:
        """Where in the file the data begin."""
        return 8 + self.length

    @property
    def file_size(self) -> int:
        """Bytes that the whole file must have."""
        return self.data_start + (self.tensors[-1].end if self.tensors else 0)
