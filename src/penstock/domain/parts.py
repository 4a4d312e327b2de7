"""Uploads in parts: how large parts are, and whether what arrived is the file (S3 API, multipart upload limits)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.domain.errors import InvalidField, UploadIncomplete
from penstock.domain.uploads import SizePolicy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from penstock.domain.uploads import Upload

MOST_PARTS = 10_000
LEAST_PART_BYTES = 5 * 2**20
LARGEST_PART_BYTES = 5 * 2**30
USUAL_PART_BYTES = 16 * 2**20
_MIB = 2**20
_SHOWN = 5


def part_size_for(size: int | None, *, wanted: int | None) -> int:
    """Bytes of every part but the last: what the client wants, or 16 MiB, or more where 10,000 of those are too few.

    Raises `InvalidField` for a wish below 5 MiB or above 5 GiB, or with which the file would have too many parts.
    """
    if wanted is not None:
        if not LEAST_PART_BYTES <= wanted <= LARGEST_PART_BYTES:
            raise InvalidField(("part_size",), f"must be {LEAST_PART_BYTES} to {LARGEST_PART_BYTES} bytes")
        if size is not None and wanted * MOST_PARTS < size:
            raise InvalidField(("part_size",), f"the file would have more than {MOST_PARTS} parts")
        return wanted
    if size is None or size <= USUAL_PART_BYTES * MOST_PARTS:
        return USUAL_PART_BYTES
    return -(-size // (MOST_PARTS * _MIB)) * _MIB


def part_count(size: int | None, part_size: int | None) -> int | None:
    """How many parts a file of `size` bytes has, at least one; None where its size or theirs is unknown."""
    return None if size is None or part_size is None else max(1, -(-size // part_size))


def check_part_numbers(numbers: Sequence[int], *, count: int | None) -> None:
    """Raises `InvalidField` for a number that the upload has no part of."""
    most = count or MOST_PARTS
    for index, number in enumerate(numbers):
        if not 1 <= number <= most:
            raise InvalidField(("part_numbers", index), f"must be 1 to {most}")


def chosen_parts(
    upload: Upload, arrived: Mapping[int, tuple[int, str]], named: Mapping[int, str] | None
) -> Sequence[int]:
    """The numbers of the parts that make the file, ascending. `arrived` has sizes and ETags, `named` ETags, by number.

    Without `named` it is all that arrived. Raises `UploadIncomplete`, which says what is wrong; it can be mended.
    """
    if named is not None:
        wrong = [
            number
            for number, etag in named.items()
            if number not in arrived or arrived[number][1].strip('"') != etag.strip('"')
        ]
        if wrong:
            raise UploadIncomplete(upload.id, f"{_parts(wrong)} did not arrive with that ETag")
    numbers = sorted(arrived if named is None else named)
    missing = sorted(set(range(1, (numbers or [0])[-1] + 1)) - set(numbers))
    if missing:
        raise UploadIncomplete(upload.id, f"{_parts(missing)} did not arrive")
    _require_sizes(upload, {number: arrived[number][0] for number in numbers[:-1]})
    total = sum(arrived[number][0] for number in numbers)
    if upload.size_policy is SizePolicy.EXACT and upload.declared_size not in (None, total):
        raise UploadIncomplete(upload.id, f"the parts have {total} bytes, the file {upload.declared_size}")
    return numbers


def _require_sizes(upload: Upload, sizes: Mapping[int, int]) -> None:
    """What the parts before the last must have. Raises `UploadIncomplete`."""
    if upload.part_size is not None:
        wrong = [number for number, size in sizes.items() if size != upload.part_size]
        demand = f"{upload.part_size} bytes"
    else:
        wrong = [number for number, size in sizes.items() if size < LEAST_PART_BYTES]
        demand = f"at least {LEAST_PART_BYTES} bytes, for it is not the last"
    if wrong:
        raise UploadIncomplete(upload.id, f"{_parts(wrong)} must have {demand}")


def _parts(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:_SHOWN])
    more = ", …" if len(numbers) > _SHOWN else ""
    return f"part{'s' if len(numbers) > 1 else ''} {shown}{more}"
