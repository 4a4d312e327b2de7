"""Writing one large object part by part, several parts at a time. Knows nothing of what the bytes are."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from penstock.workflows.buffers import Buffers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from penstock.ports.objects import ObjectInfo, ObjectStore, StoredPart

PART_BYTES = 16 * 2**20
MOST_PARTS = 10_000
_LARGEST_PART = 128 * 2**20
"""A part is in memory while it is sent, and a few are at a time."""
_SHOWN_BYTES = 2 * 2**20
"""So many bytes of a part are shown at a time to whoever watches them pass."""


def part_size_of(size: int | None, *, usual: int = PART_BYTES) -> int:
    """Bytes of the parts of an object of that size (None: not known)."""
    return min(_LARGEST_PART, max(usual, -(-(size or 0) // MOST_PARTS)))


def abort_all(objects: ObjectStore, prefix: str) -> None:
    """Free the parts of whatever is under way for keys that begin so: an earlier attempt left them behind."""
    for stale in list(objects.multiparts.all(prefix)):
        objects.multiparts.abort(stale.key, stale.upload_id)


class Lane:
    """Work for other threads, `ahead` pieces of it at most. Whoever brings work meets what became of earlier work."""

    def __init__(self, name: str, *, threads: int, ahead: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._ahead = ahead
        self._waiting: deque[Future[object]] = deque()

    def put(self, work: Callable[[], object]) -> None:
        """Wait for room and hand work over. Raises what earlier work raised."""
        while len(self._waiting) >= self._ahead:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(work))

    def settle(self) -> None:
        """Wait until all is done. Raises what any of it raised."""
        while self._waiting:
            self._waiting.popleft().result()

    def close(self) -> None:
        """Wait for what has begun and forget the rest; may be repeated."""
        self._pool.shutdown(cancel_futures=True)
        self._waiting.clear()


class PartStream:
    """Takes bytes in order and sends them as the parts of one upload, behind the parts that are there already.

    Memory is that of `senders` + 2 parts. Close it to end its threads.
    """

    def __init__(  # noqa: PLR0913 - the parts it works with
        self,
        objects: ObjectStore,
        key: str,
        upload_id: str,
        *,
        part_size: int,
        there: Sequence[StoredPart] = (),
        senders: int = 2,
        passing: Callable[[memoryview], None] | None = None,
    ) -> None:
        """`passing` sees the bytes in order and in the caller's thread; they do not change afterwards."""
        self._objects = objects
        self._key = key
        self._upload_id = upload_id
        self._part_size = part_size
        self._sent = {part.number: part for part in there}
        self._number = len(there) + 1
        self._passing = passing
        self._lane = Lane("send", threads=senders, ahead=senders)
        self._buffers = Buffers(part_size)
        self._part: memoryview | None = None
        self._filled = self._shown = 0

    def write(self, block: bytes | memoryview) -> None:
        """Take the next bytes. Raises what sending earlier ones raised."""
        view = memoryview(block).cast("B")
        while view:
            part = self._part = self._part or self._buffers.take()
            count = min(len(view), self._part_size - self._filled)
            part[self._filled : self._filled + count] = view[:count]
            self._filled += count
            view = view[count:]
            if self._filled - self._shown >= _SHOWN_BYTES:
                self._show()
            if self._filled == self._part_size:
                self._send()

    def settle(self) -> None:
        """Send what is left, as the last part, and wait until all parts are there."""
        self._send()
        self._lane.settle()

    def complete(self) -> ObjectInfo:
        """Make the object."""
        self.settle()
        parts = [self._sent[number] for number in sorted(self._sent)]
        return self._objects.multiparts.complete(self._key, self._upload_id, parts)

    @property
    def stored(self) -> int:
        """Bytes of the parts that are there."""
        return sum(part.size for part in list(self._sent.values()))

    def close(self) -> None:
        """Wait for what is being sent, and forget the rest; may be repeated."""
        self._lane.close()

    def _send(self) -> None:
        if self._part is None:
            return
        self._show()
        data, number = self._part[: self._filled], self._number
        self._part, self._filled, self._shown = None, 0, 0
        self._number += 1
        self._lane.put(lambda: self._put(number, data))

    def _show(self) -> None:
        if self._passing is not None and self._part is not None and self._filled > self._shown:
            self._passing(self._part[self._shown : self._filled])
        self._shown = self._filled

    def _put(self, number: int, data: memoryview) -> None:
        self._sent[number] = self._objects.multiparts.put_part(self._key, self._upload_id, number, data)
