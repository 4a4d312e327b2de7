"""One look at all bytes of a file, in order: hashes, what the numbers span, and how they would bear being narrower.

`TensorLook` looks at one tensor, `Survey` at all of a file. A survey is a function of the file and of the options, in
blocks of whatever size it came; as JSON it is kept between the steps of an upload. Its state in between cannot be kept
(the hashes have none that could be written down): after a crash the bytes are read again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from penstock.weights.kernels import BLOCK, BOUNDS, Distance, Narrower, Span, span
from penstock.weights.policy import Options, treatments

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from penstock.weights.header import Header, Tensor


_WIDEST = 8
"""Bytes of the widest number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed:
    """What narrowing one tensor gives: its hash (BLAKE3, hex), decibels (None: no noise), the largest error.

    `broken` counts the numbers that leave their bound.
    """

    dtype: str
    hash: str
    sqnr: float | None
    worst: float
    broken: int

    @property
    def objection(self) -> str | None:
        """Why the tensor must keep its type."""
        if self.broken:
            return f"{self.broken} numbers do not fit into {self.dtype}"
        if self.sqnr is not None and self.sqnr < BOUNDS[self.dtype].least:
            return f"{self.sqnr:g} dB as {self.dtype} are too few"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of one tensor; `hash` is the BLAKE3 (hex) of its bytes."""

    hash: str
    least: float | None
    greatest: float | None
    nonfinite: int
    narrowed: Narrowed | None


class TensorLook:
    """Looks at the bytes of one tensor as they come, and narrows them when `target` names a type."""

    def __init__(self, tensor: Tensor, narrower: Narrower | None, target: str | None, *, spans: bool) -> None:
        self._tensor, self._narrower, self._target, self._spans = tensor, narrower, target, spans
        self._hash, self._narrow_hash = blake3(), blake3()
        self._span, self._distance = Span(), Distance()
        self._held = bytearray()

    @property
    def narrows(self) -> bool:
        """Whether narrower bytes come out of it."""
        return self._narrower is not None

    def update(self, piece: memoryview) -> list[memoryview]:
        """The tensor's next bytes; gives those of the narrower one, which fewer come in than out."""
        self._hash.update(piece)
        if not self._spans and self._narrower is None:
            return []
        return [narrowed for block in self._blocks(piece) if (narrowed := self._look(block)) is not None]

    def finish(self) -> tuple[Seen, list[memoryview]]:
        """After its last byte: what was seen, and the rest of the narrower bytes."""
        rest = self._look(memoryview(self._held)) if self._held else None
        return self._seen(), [] if rest is None else [rest]

    def _blocks(self, piece: memoryview) -> Iterator[memoryview]:
        """Whole numbers of them; those to be narrowed begin at the same places of the tensor however its bytes come.

        (Their sums depend on it.) What is left over waits.
        """
        grid = BLOCK if self._narrower is not None else _WIDEST
        if self._held:
            missing = min(grid - len(self._held), len(piece))
            self._held += piece[:missing]
            piece = piece[missing:]
            if len(self._held) < grid:
                return
            yield memoryview(self._held)
            self._held = bytearray()
        whole = len(piece) - len(piece) % grid
        for begin in range(0, whole, BLOCK):
            yield piece[begin : min(begin + BLOCK, whole)]
        self._held += piece[whole:]

    def _look(self, block: memoryview) -> memoryview | None:
        if self._spans:
            self._span |= span(block, self._tensor.dtype)
        if self._narrower is None:
            return None
        narrowed, distance = self._narrower(block, self._tensor.dtype)
        self._distance |= distance
        self._narrow_hash.update(narrowed)
        return narrowed

    def _seen(self) -> Seen:
        narrowed = None
        if self._target is not None:
            narrowed = Narrowed(
                dtype=self._target,
                hash=self._narrow_hash.hexdigest(),
                sqnr=self._distance.sqnr,
                worst=self._distance.worst,
                broken=self._distance.broken,
            )
        return Seen(
            hash=self._hash.hexdigest(),
            least=self._span.least,
            greatest=self._span.greatest,
            nonfinite=self._span.nonfinite,
            narrowed=narrowed,
        )


class Looks:
    """A look for each tensor of a file, by what becomes of it. Room for narrowing is shared: one thread at a time.

    Without `spans` only hashes and distances are computed.
    """

    def __init__(self, header: Header, targets: Mapping[int, str], *, spans: bool) -> None:
        self._header, self._targets, self._spans = header, targets, spans
        self._narrowers = {target: Narrower(target) for target in set(targets.values())}

    def at(self, index: int) -> TensorLook:
        """At the tensor of that place in the file."""
        target = self._targets.get(index)
        return TensorLook(self._header.tensors[index], self._narrowers.get(target or ""), target, spans=self._spans)


class Walk:
    """Walks along the data and says which tensors their bytes are of: from one tensor up to, not including, another."""

    def __init__(self, header: Header, index: int = 0, stop: int | None = None) -> None:
        self._tensors = header.tensors
        self._index, self._stop = index, len(self._tensors) if stop is None else stop
        self._left = self._size()

    @property
    def is_over(self) -> bool:
        """Whether all bytes have come."""
        return self._index == self._stop

    def split(self, block: memoryview) -> Iterator[tuple[int, memoryview, bool]]:
        """The next bytes: (place of a tensor, bytes of it, whether it ends with them), empty tensors where they lie.

        Raises `ValueError` for bytes beyond the last tensor.
        """
        while self._index < self._stop and (block.nbytes or not self._left):
            index, piece = self._index, block[: self._left]
            block = block[piece.nbytes :]
            self._left -= piece.nbytes
            last = not self._left
            if last:
                self._index += 1
                self._left = self._size()
            yield index, piece, last
        if block.nbytes:
            raise ValueError(f"{block.nbytes} bytes beyond the last tensor")

    def _size(self) -> int:
        return self._tensors[self._index].size if self._index < self._stop else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """All that is known of a file; `tensors` are in its order."""

    sha256: str
    size: int
    category: str | None
    family: str | None
    options: Options
    tensors: tuple[Seen, ...]

    @property
    def refused(self) -> Mapping[int, str]:
        """The tensors, by place, that must keep their type, and why."""
        return {
            index: objection
            for index, seen in enumerate(self.tensors)
            if seen.narrowed is not None and (objection := seen.narrowed.objection)
        }

    def as_json(self) -> dict[str, object]:
        """Strict JSON; `of_json` reads it."""
        return {**asdict(self), "tensors": [_seen_as_json(seen) for seen in self.tensors]}

    @staticmethod
    def of_json(kept: Mapping[str, Any]) -> Survey:
        """What `as_json` gave."""
        return Survey(
            sha256=kept["sha256"],
            size=kept["size"],
            category=kept["category"],
            family=kept["family"],
            options=Options(**kept["options"]),
            tensors=tuple(_seen_of_json(seen) for seen in kept["tensors"]),
        )


class Surveying:
    """A survey under way, but for the SHA-256 of the file, which whoever feeds it computes beside it."""

    def __init__(self, header: Header, *, category: str | None, family: str | None, options: Options) -> None:
        self._header, self._category, self._family, self._options = header, category, family, options
        self._looks = Looks(header, targets(header, category=category, family=family, options=options), spans=True)
        self._look: TensorLook | None = None
        self._walk, self._skip = Walk(header), header.data_start
        self._seen: list[Seen] = []
        self._size = 0

    def update(self, block: memoryview) -> Iterator[tuple[int, list[memoryview], bool]]:
        """The next bytes: for each tensor that they touch (place, its bytes or its narrower ones, whether it ended).

        Nothing is looked at until that is read. Raises `ValueError` for bytes beyond the last tensor.
        """
        self._size += block.nbytes
        head, block = block[: self._skip], block[self._skip :]
        self._skip -= head.nbytes
        if self._skip:
            return
        for index, piece, last in self._walk.split(block):
            look = self._look = self._look or self._looks.at(index)
            out = look.update(piece)
            if last:
                seen, rest = look.finish()
                self._seen.append(seen)
                self._look = None
                out += rest
            yield index, out if look.narrows else [piece], last

    @property
    def last_seen(self) -> Seen:
        """Of the tensor that ended last."""
        return self._seen[-1]

    def finish(self, sha256: str) -> Survey:
        """After the last byte. Raises `ValueError` when some are missing."""
        if self._skip or not self._walk.is_over:
            raise ValueError(f"the file ends after {self._size} bytes of {self._header.file_size}")
        return Survey(
            sha256=sha256,
            size=self._size,
            category=self._category,
            family=self._family,
            options=self._options,
            tensors=tuple(self._seen),
        )


def targets(header: Header, *, category: str | None, family: str | None, options: Options) -> Mapping[int, str]:
    """The tensors, by place, that would be narrowed if the data allow it, and the type."""
    decided = treatments(header, category=category, family=family, options=options)
    return {
        index: treatment.dtype
        for index, (tensor, treatment) in enumerate(zip(header.tensors, decided, strict=True))
        if not treatment.dropped and treatment.dtype != tensor.dtype
    }


def _seen_as_json(seen: Seen) -> list[object]:
    """Short: there are thousands of them."""
    narrowed = seen.narrowed
    of = None if narrowed is None else [narrowed.dtype, narrowed.hash, narrowed.sqnr, narrowed.worst, narrowed.broken]
    return [seen.hash, seen.least, seen.greatest, seen.nonfinite, of]


def _seen_of_json(kept: Sequence[Any]) -> Seen:
    digest, least, greatest, nonfinite, of = kept
    narrowed = None
    if of is not None:
        dtype, narrow_digest, sqnr, worst, broken = of
        narrowed = Narrowed(dtype=dtype, hash=narrow_digest, sqnr=sqnr, worst=worst, broken=broken)
    return Seen(hash=digest, least=least, greatest=greatest, nonfinite=nonfinite, narrowed=narrowed)
