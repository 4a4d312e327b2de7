"""One entry of a header after the other: a tensor, or the metadata. JSON objects come as tuples of pairs."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from penstock.domain.errors import NotSafetensors
from penstock.weights.header import DTYPE_BITS, Tensor
from penstock.weights.saying import quoted, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST = 2**64 - 1
"""Offsets and dimensions are numbers of 64 bits."""
MOST_BITS = 2**63 - 1
"""Of a tensor. A shape with a zero in it may not be larger without the zero: what multiplies in order overflows."""
_FEW = 8
"""Dimensions that are multiplied without a look in between; the product of thousands of large ones takes minutes."""
_FIELDS = ("dtype", "shape", "data_offsets")
"""In the order in which everybody writes them."""


def tensor_of(name: str, entry: Any) -> Tensor:  # noqa: ANN401 - whatever stands in the JSON
    """The tensor of an entry. Raises `NotSafetensors`."""
    if type(entry) is not tuple:
        raise _fault(name, _fault_of_fields(entry))
    try:
        (first, dtype), (second, shape), (third, offsets) = entry
        if (first, second, third) != _FIELDS:
            dtype, shape, offsets = _in_order(entry)
        bits = DTYPE_BITS[dtype]
        begin, end = offsets
    except (KeyError, TypeError, ValueError):
        raise _fault(name, _fault_of_fields(entry)) from None
    # `type(…) is`, for `true` is an int to `isinstance`.
    if not type(begin) is type(end) is int or type(offsets) is not list or not 0 <= begin <= end <= MOST:
        raise _fault(name, _fault_of_offsets(offsets))
    if type(shape) is not list:
        raise _fault(name, f"has the shape {shown(shape)}, which is no list")
    for dimension in shape:
        if type(dimension) is not int or not 0 <= dimension <= MOST:
            raise _fault(name, f"has a shape with {shown(dimension)} in it, which is no natural number of 64 bits")
    elements = prod(shape) if len(shape) <= _FEW else _product(shape)
    if elements * bits != (end - begin) * 8 or elements * bits > MOST_BITS:
        raise _fault(name, _fault_of_size(dtype, shape, elements * bits, end - begin))
    if not elements and _product(filter(None, shape)) * bits > MOST_BITS:
        raise _fault(name, f"is empty, but its shape {shown(shape)} has other dimensions beyond any memory")
    return Tensor(name, dtype, tuple(shape), begin, end)


def metadata_of(entry: Any) -> Mapping[str, str]:  # noqa: ANN401 - whatever stands in the JSON
    """The free texts that a header holds beside its tensors. Raises `NotSafetensors`."""
    if type(entry) is not tuple:
        raise NotSafetensors(f"the header's __metadata__ is {shown(entry)}; it must be an object of texts")
    for name, text in entry:
        if type(text) is not str:
            msg = f"the header's __metadata__ has {shown(text)} under {quoted(name)}; only texts may stand there"
            raise NotSafetensors(msg)
    metadata = dict(entry)
    if len(metadata) < len(entry):
        raise NotSafetensors(f"the header's __metadata__ has {quoted(first_repeated(entry))} twice")
    return metadata


def first_repeated(pairs: Iterable[tuple[str, object]]) -> str:
    """The first name that stands there for the second time."""
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            return name
        seen.add(name)
    raise ValueError("nothing is repeated")


def _in_order(entry: tuple[tuple[str, Any], ...]) -> tuple[Any, ...]:
    fields = dict(entry)
    return tuple(fields[name] for name in _FIELDS)


def _product(shape: Iterable[int]) -> int:
    """As far as it matters: beyond `MOST_BITS` it only says so, unless a zero follows."""
    product = 1
    for dimension in shape:
        product = min(product * dimension, MOST_BITS + 1)
    return product


def _fault(name: str, what: str) -> NotSafetensors:
    return NotSafetensors(f"tensor {quoted(name)} {what}")


def _fault_of_fields(entry: Any) -> str:  # noqa: ANN401 - whatever stands in the JSON
    if type(entry) is not tuple:
        return f"is {shown(entry)}; it must be an object with dtype, shape and data_offsets"
    fields = dict(entry)
    if len(fields) < len(entry):
        return f"has {quoted(first_repeated(entry))} twice"
    for name in _FIELDS:
        if name not in fields:
            return f"has no {name}"
    for name in fields:
        if name not in _FIELDS:
            return f"has a field {quoted(name)}, which the format does not know"
    if type(fields["dtype"]) is not str or fields["dtype"] not in DTYPE_BITS:
        return f"has the dtype {shown(fields['dtype'])}, which the format does not know"
    return _fault_of_offsets(fields["data_offsets"])


def _fault_of_offsets(offsets: object) -> str:
    if type(offsets) is not list or len(offsets) != 2:  # noqa: PLR2004 - a begin and an end
        return f"has the data_offsets {shown(offsets)}; they must be a list of two numbers"
    for offset in offsets:
        if type(offset) is not int or not 0 <= offset <= MOST:
            return f"has data_offsets with {shown(offset)} in them, which is no natural number of 64 bits"
    return f"ends at byte {offsets[1]} of the data, before it begins, at {offsets[0]}"


def _fault_of_size(dtype: str, shape: list[int], bits: int, size: int) -> str:
    if bits > MOST_BITS:
        return f"has the shape {shown(shape)}, more elements than any memory holds"
    if bits % 8:
        return f"has {bits} bits as {dtype} × {shown(shape)}, which is no whole number of bytes"
    return f"has {bits // 8} bytes as {dtype} × {shown(shape)}, but {size} by its data_offsets"
