"""The loads: each puts one kind of work on one server, checks the answers, and says what it took."""

from __future__ import annotations

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from bench.processes import Meter, family, rss_mb
from bench.servers import NotAvailableError, require_success
from bench.swarm import Swarm, prepare
from bench.table import Outcome
from bench.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.servers import Server
    from bench.source import Source

_MOST_SMALL = 30_000
_STORED_SMALL = 200
_CRC = "x-amz-checksum-crc64nvme"
_OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much of everything. Bytes; `seconds` is about how long a load of small requests lasts."""

    large: int = 500_000_000
    huge: int = 5_000_000_000
    part: int = 16 * 1024**2
    parts: int = 120
    parts_to_complete: int = 600
    lanes: int = 4
    small: int = 20_000
    first_small: int = 400
    seconds: float = 3.0
    idle: int = 5000
    settled: bool = True
    """Whether each measurement begins with nothing left to write, so that nobody pays for what another has written."""

    @property
    def total(self) -> int:
        """Of the multipart upload, in bytes."""
        return self.part * self.parts


QUICK = Sizes(
    large=4_000_000,
    huge=6_000_000,
    part=5 * 1024**2,
    parts=4,
    parts_to_complete=4,
    lanes=2,
    first_small=32,
    seconds=0.05,
    idle=30,
    settled=False,
)


class _Reading:
    """What passed between the beginning and the end of a measurement."""

    seconds = 0.0
    cpu = 0.0
    peak_mb = 0.0
    busy = 0.0

    def large(self, count: int) -> Outcome:
        """MB/s, and CPU seconds per GB."""
        return Outcome(
            figure=count / 1e6 / self.seconds, cpu=self.cpu / (count / 1e9), peak_mb=self.peak_mb, busy=self.busy
        )

    def small(self, count: int) -> Outcome:
        """Requests per second, and CPU milliseconds per request."""
        return Outcome(
            figure=count / self.seconds, cpu=self.cpu * 1000 / count, peak_mb=self.peak_mb, busy=self.busy
        )  # fmt: skip


class Loads:
    """Loads of one run. `turn` numbers the rounds, so that no round writes what another has written."""

    def __init__(self, source: Source, sizes: Sizes) -> None:
        self._source = source
        self._sizes = sizes
        self._checked: set[tuple[str, str]] = set()
        self._rates: dict[tuple[str, str], float] = {}
        self._ready: set[tuple[str, str]] = set()

    def warm_up(self, server: Server) -> None:
        """A store's first object may cost it what no later one does."""
        self._small_targets(server)

    # --- large

    def put(self, server: Server, turn: int) -> Outcome:
        """One presigned PUT."""
        return self._put(server, f"put-{turn}", self._sizes.large)

    def put_signed(self, server: Server, turn: int) -> Outcome:
        """One PUT that is signed in its headers: its ETag has to be the MD5."""
        target, headers = server.signed("PUT", f"md5-{turn}")
        return self._put(server, f"md5-{turn}", self._sizes.large, headers=headers, target=target)

    def put_huge(self, server: Server, turn: int) -> Outcome:
        """The peak of the memory during one very large PUT."""
        outcome = self._put(server, f"huge-{turn}", self._sizes.huge)
        assert outcome.peak_mb is not None
        return Outcome(figure=outcome.peak_mb, cpu=outcome.cpu, peak_mb=outcome.peak_mb, busy=outcome.busy)

    def put_with_crc(self, server: Server, turn: int) -> Outcome:
        """The same with a CRC64-NVME that the server has to compare; without S3, a plain PUT."""
        if server.credentials is not None and ("crc", server.name) not in self._ready:
            self._require_crc(server)
            self._ready.add(("crc", server.name))
        size = self._sizes.large
        headers = {_CRC: self._source.crc64nvme(size)} if server.credentials is not None else {}
        return self._put(server, f"crc-{turn}", size, headers=headers)

    def get(self, server: Server, turn: int) -> Outcome:
        """One presigned GET of what is in the page cache; `turn` makes no difference."""
        del turn
        size, key = self._sizes.large, "get-large"
        if (key, server.name) not in self._ready:
            self._put(server, key, size, keep=True)
            self._require_content(server, key, size)
            self._ready.add((key, server.name))
        target = server.target("GET", key)
        with closing(Wire(server.origin)) as wire, self._measuring(server) as reading:
            answer = wire.discard(target)
        if answer.status != _OK or answer.length != size:
            raise RuntimeError(f"{server.name}: GET: {answer.status}, {answer.length} bytes")
        return reading.large(size)

    def multipart(self, server: Server, turn: int) -> Outcome:
        """One upload in parts over several connections, including its completion; without S3, as many plain PUTs."""
        if server.credentials is None:
            return self._put_in_parallel(server, turn)
        key, total = f"multipart-{turn}", self._sizes.total
        upload_id = server.begin_multipart(key)
        with self._measuring(server) as reading:
            etags = self._send_parts(server, key, upload_id, self._sizes.parts)
            server.complete_multipart(key, upload_id, etags)
        server.require_size(key, total)
        self._check_once("multipart", server, key, self._sizes.part, repeated=self._sizes.parts)
        server.must("DELETE", key)
        return reading.large(total)

    def complete(self, server: Server, turn: int) -> Outcome:
        """Milliseconds of the completion alone."""
        if server.credentials is None:
            raise NotAvailableError("no multipart uploads")
        key, parts = f"complete-{turn}", self._sizes.parts_to_complete
        upload_id = server.begin_multipart(key)
        etags = self._send_parts(server, key, upload_id, parts)
        with self._measuring(server) as reading:
            server.complete_multipart(key, upload_id, etags)
        server.require_size(key, self._sizes.part * parts)
        server.must("DELETE", key)
        return Outcome(
            figure=reading.seconds * 1000, cpu=reading.cpu * 1000, peak_mb=reading.peak_mb, busy=reading.busy
        )  # fmt: skip

    # --- small

    def put_small(self, server: Server, turn: int, *, connections: int) -> Outcome:
        """Presigned PUTs of new keys."""
        row = f"small-{connections}"
        rate = self._rates.get((row, server.name))
        if rate is None:
            rate = self._put_many(server, f"{row}-first", self._sizes.first_small, connections=connections).figure
            self._rates[row, server.name] = rate
        count = max(self._sizes.first_small, min(_MOST_SMALL, int(rate * self._sizes.seconds)))
        outcome = self._put_many(server, f"{row}-{turn}", count, connections=connections)
        self._check_once(row, server, f"{row}-{turn}/{count // 2}", self._sizes.small)
        return outcome

    def get_small(self, server: Server, turn: int, *, connections: int) -> Outcome:
        """Presigned GETs of a few keys, again and again; `turn` makes no difference."""
        del turn
        targets = self._small_targets(server)
        rate = self._rates.get((f"get-small-{connections}", server.name))
        if rate is None:
            first = self._get_many(server, targets, self._sizes.first_small, connections=connections)
            rate = self._rates[f"get-small-{connections}", server.name] = first.figure
        count = max(self._sizes.first_small, int(rate * self._sizes.seconds))
        return self._get_many(server, targets, count, connections=connections)

    def idle(self, server: Server, turn: int) -> Outcome:
        """Memory with many connections that have each been used once; `turn` makes no difference."""
        del turn
        head = prepare(server.origin, "GET", self._small_targets(server)[:1], length=None)[0]
        with closing(Swarm(server.origin, self._sizes.idle)) as swarm:
            swarm.each(head, answer_bytes=self._sizes.small)
            memory = sum(rss_mb(pid) for pid in family(server.roots))
            swarm.each(head, answer_bytes=self._sizes.small)  # none of them was closed
        return Outcome(figure=memory)

    # --- inside

    @contextmanager
    def _measuring(self, server: Server) -> Iterator[_Reading]:
        if self._sizes.settled:
            os.sync()
        reading, meter = _Reading(), Meter(server.roots)
        own, begun = time.process_time(), time.perf_counter()
        yield reading
        reading.seconds = time.perf_counter() - begun
        cost = meter.read()
        reading.cpu, reading.peak_mb = cost.cpu, cost.peak_mb
        reading.busy = (time.process_time() - own) / reading.seconds

    def _put(
        self,
        server: Server,
        key: str,
        size: int,
        *,
        headers: dict[str, str] | None = None,
        target: str = "",
        keep: bool = False,
    ) -> Outcome:
        target = target or server.target("PUT", key, headers=tuple((headers or {}).items()))
        slices = self._source.slices(size)
        with closing(Wire(server.origin)) as wire, self._measuring(server) as reading:
            answer = wire.send_files("PUT", target, slices, headers=headers)
        require_success(server, f"PUT {key}", answer.status, answer.body)
        server.require_size(key, size)
        self._check_once(key.partition("-")[0], server, key, size)
        if not keep:
            server.must("DELETE", key)
        return reading.large(size)

    def _require_crc(self, server: Server) -> None:
        body = self._source.small(self._sizes.small)
        right, wrong = (self._source.crc64nvme(size) for size in (len(body), len(body) - 1))
        answer = server.call("PUT", "crc", headers={_CRC: right}, body=body)
        if answer.status != _OK:
            raise NotAvailableError(f"CRC64-NVME is answered with {answer.status}")
        if server.call("PUT", "crc", headers={_CRC: wrong}, body=body).status == _OK:
            raise NotAvailableError("takes a wrong CRC64-NVME")

    def _send_parts(self, server: Server, key: str, upload_id: str, count: int) -> list[str]:
        """ETags of the parts, in their order. Each is the first `part` bytes of the source."""
        numbers: SimpleQueue[int] = SimpleQueue()
        for number in range(1, count + 1):
            numbers.put(number)
        etags = [""] * count
        piece = self._source.slices(self._sizes.part)

        def lane() -> None:
            with closing(Wire(server.origin)) as wire:
                while True:
                    try:
                        number = numbers.get_nowait()
                    except Empty:
                        return
                    query = (("partNumber", str(number)), ("uploadId", upload_id))
                    answer = wire.send_files("PUT", server.target("PUT", key, query=query), piece)
                    require_success(server, f"part {number}", answer.status, answer.body)
                    etags[number - 1] = answer.headers["etag"]

        _together(self._sizes.lanes, lane)
        return etags

    def _put_in_parallel(self, server: Server, turn: int) -> Outcome:
        keys = [f"lane-{turn}-{lane}" for lane in range(self._sizes.lanes)]
        size = self._sizes.total // len(keys)
        waiting: SimpleQueue[str] = SimpleQueue()
        for key in keys:
            waiting.put(key)

        def lane() -> None:
            key = waiting.get()
            with closing(Wire(server.origin)) as wire:
                answer = wire.send_files("PUT", server.target("PUT", key), self._source.slices(size))
            require_success(server, f"PUT {key}", answer.status, answer.body)

        with self._measuring(server) as reading:
            _together(len(keys), lane)
        for key in keys:
            server.require_size(key, size)
            server.must("DELETE", key)
        return reading.large(size * len(keys))

    def _put_many(self, server: Server, prefix: str, count: int, *, connections: int) -> Outcome:
        body = self._source.small(self._sizes.small)
        targets = server.targets("PUT", [f"{prefix}/{number}" for number in range(count)])
        heads = prepare(server.origin, "PUT", targets, length=len(body))
        with closing(Swarm(server.origin, connections)) as swarm, self._measuring(server) as reading:
            swarm.run(heads, body=body)
        return reading.small(count)

    def _get_many(self, server: Server, targets: list[str], count: int, *, connections: int) -> Outcome:
        heads = prepare(server.origin, "GET", targets, length=None)
        heads = [heads[number % len(heads)] for number in range(count)]
        with closing(Swarm(server.origin, connections)) as swarm, self._measuring(server) as reading:
            swarm.run(heads, answer_bytes=self._sizes.small)
        return reading.small(count)

    def _small_targets(self, server: Server) -> list[str]:
        keys = [f"stored/{number}" for number in range(_STORED_SMALL)]
        if ("stored", server.name) not in self._ready:
            body = self._source.small(self._sizes.small)
            with closing(Wire(server.origin)) as wire:
                for key in keys:
                    answer = wire.send("PUT", server.target("PUT", key), body=body)
                    require_success(server, f"PUT {key}", answer.status, answer.body)
            self._require_content(server, keys[0], len(body))
            self._ready.add(("stored", server.name))
        return server.targets("GET", keys)

    def _check_once(self, row: str, server: Server, key: str, size: int, *, repeated: int = 1) -> None:
        if (row, server.name) not in self._checked:
            self._require_content(server, key, size, repeated=repeated)
            self._checked.add((row, server.name))

    def _require_content(self, server: Server, key: str, size: int, *, repeated: int = 1) -> None:
        """What is read back has the SHA-256 of what was sent: the first `size` bytes, so many times."""
        digest = hashlib.sha256()
        with closing(Wire(server.origin)) as wire:
            answer = wire.discard(server.target("GET", key), digest=digest)
        if answer.status != _OK or digest.hexdigest() != self._source.sha256(size, repeated=repeated):
            raise RuntimeError(f"{server.name}: {key} reads back as something else ({answer.status})")


def _together(count: int, work: Callable[[], None]) -> None:
    with ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(work) for _ in range(count)]:
            future.result()
