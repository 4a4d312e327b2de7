"""One file by several connections, from servers that allow it, that do not, and that change their minds.

The first connection is held up by the server until a range has come, so that nothing here depends on who is faster.
"""

from __future__ import annotations

import ipaddress
import itertools
import random
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Self

import pytest

from penstock.adapters.fetch import GuardedFetcher, Pace
from penstock.domain.egress import parse_rules
from penstock.ports.fetch import SourceFailedError, SourceRefusedError
from penstock.telemetry import Log
from penstock.workflows.parallel_ranges import ParallelOrigin
from penstock.workflows.range_lanes import Parallel
from penstock.workflows.url_origin import UrlOrigin
from tests.support.remote import ADDRESS, Remote, Visit, remote_server, serving
from tests.support.repeatable import SteppedClock

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Generator, Iterator, Sequence

    from penstock.domain.egress import Address
    from penstock.ports.fetch import Answer, Ranges

SIZE = 4 * 2**20
DATA, OTHER = (random.Random(seed).randbytes(SIZE) for seed in (1, 2))  # noqa: S311 - bytes that can be made again
SMALL = Parallel(
    connections=4, least_bytes=2**20, alone_bytes=2**18, waiting_share=0.0, longest_range=2**16, held_bytes=2**18
)
HELD_UP_AT = 2**18 + 2**16
"""Behind where ranges are tried, and before where they begin."""
PATIENCE_SECONDS = 30.0


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    with remote_server() as running:
        yield running


@dataclass(slots=True)
class Source:
    """A file at a path of its own, and an origin that gets it. `tried`: what the first range came to is known."""

    remote: Remote
    path: str
    tried: threading.Event = field(default_factory=threading.Event)
    told: list[tuple[int, int]] = field(default_factory=list)

    def origin(
        self,
        parallel: Parallel = SMALL,
        *,
        resolve: Callable[[str], Sequence[Address]] | None = None,
        host: str = ADDRESS,
        now: Callable[[], float] | None = None,
    ) -> ParallelOrigin:
        client = GuardedFetcher(
            parse_rules("127.0.0.0/8"), clock=SteppedClock(), log=Log("test", None), pace=Pace(), resolve=resolve
        )
        url = self.remote.url(self.path, host=host)
        plain = UrlOrigin(url, client, left=lambda: timedelta(hours=1), max_bytes=2**30)
        more = {"now": now} if now is not None else {}
        return ParallelOrigin(_Watched(plain, self.tried), parallel, told=lambda *told: self.told.append(told), **more)

    def on(
        self,
        ranged: Callable[[Visit], None],
        *,
        first: Callable[[Visit, int], None] | None = None,
        data: bytes = DATA,
        etag: str | None = '"v1"',
    ) -> None:
        """Who asks without a range gets the file, held up in the middle and `first` from there on; others `ranged`."""

        def handle(visit: Visit) -> None:
            if "range" in visit.headers:
                ranged(visit)
                return
            named = {"ETag": etag} if etag else {}
            visit.head("200 OK", Content_Length=str(len(data)), **named)
            with suppress(OSError):
                visit.send(data[:HELD_UP_AT])
                assert self.tried.wait(PATIENCE_SECONDS)
                (first or _the_rest)(visit, HELD_UP_AT)

        self.remote.on(self.path, handle)

    @property
    def visits(self) -> list[Visit]:
        return [visit for visit in self.remote.visits if visit.target == self.path]

    @property
    def asked(self) -> list[str | None]:
        return [visit.headers.get("range") for visit in self.visits]


class _Watched:
    """An origin that says when it is known what its first range came to."""

    def __init__(self, plain: UrlOrigin, tried: threading.Event) -> None:
        self._plain = plain
        self._tried = tried

    def open(self, start: int, etag: str | None, *, watch: Callable[[], None]) -> Answer:
        return self._plain.open(start, etag, watch=watch)

    def ranges(self, etag: str, size: int, *, watch: Callable[[], None]) -> Ranges:
        return _WatchedRanges(self._plain.ranges(etag, size, watch=watch), self._tried)


class _WatchedRanges:
    def __init__(self, ranges: Ranges, tried: threading.Event) -> None:
        self._ranges = ranges
        self._tried = tried

    def blocks(self, start: int, end: int) -> Generator[bytes]:
        for block in self._ranges.blocks(start, end):
            yield block
            self._tried.set()

    def __enter__(self) -> Self:
        self._ranges.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._ranges.__exit__(*error)
        self._tried.set()


def _the_rest(visit: Visit, at: int) -> None:
    visit.send(DATA[at:])


def a_little_more_and_then_nothing(visit: Visit, at: int) -> None:
    visit.send(DATA[at : at + 2**17])
    visit.stay_silent()


@pytest.fixture(autouse=True)
def _without_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.workflows.range_lanes._REST_SECONDS", 0.0)


@pytest.fixture
def source(remote: Remote, request: pytest.FixtureRequest) -> Source:
    return Source(remote, f"/{request.node.name}")


def brought(origin: ParallelOrigin, *, watch: Callable[[], None] = lambda: None) -> bytes:
    """The whole file, as `Original` gets it: on behind a break, and from the beginning when that is what comes."""
    came, etag = bytearray(), None
    for _ in range(5):
        try:
            with origin.open(len(came), etag, watch=watch) as answer:
                etag = answer.etag
                if answer.start == 0:
                    came.clear()
                for block in answer.blocks():
                    came += block
            return bytes(came)
        except SourceFailedError:
            continue
    raise AssertionError("the file did not come")


def lanes_alive() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name in {"range", "reserve"}]


def spans(source: Source) -> list[tuple[int, int]]:
    """The bounded ranges that were asked for."""
    asked = [text.removeprefix("bytes=").split("-") for text in source.asked if text is not None]
    return [(int(first), int(last)) for first, last in asked if last]


def test_several_connections_bring_what_the_first_one_does_not(source: Source) -> None:
    source.on(serving(DATA), first=a_little_more_and_then_nothing)

    came = brought(source.origin())

    assert came == DATA
    assert source.asked[0] is None
    ranges = sorted(spans(source))
    assert len(ranges) == len(source.asked) - 1
    assert all(last - first < 2**16 for first, last in ranges)
    assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(ranges))
    assert ranges[-1][1] == SIZE - 1
    assert source.told == [(4, len(ranges))]
    assert len({id(visit.line) for visit in source.visits}) <= 5
    assert not lanes_alive()


def test_nothing_is_asked_for_a_second_time_where_one_connection_is_enough_or_all_that_may_be(source: Source) -> None:
    source.tried.set()
    alone: dict[str, tuple[str | None, Parallel]] = {
        "small": ('"v1"', replace(SMALL, least_bytes=SIZE + 1)),
        "a weak version": ('W/"v1"', SMALL),
        "no version": (None, SMALL),
        "one connection, as was set": ('"v1"', replace(SMALL, connections=1)),
        "little left": ('"v1"', replace(SMALL, held_bytes=2**20)),
    }
    for number, (name, (etag, parallel)) in enumerate(alone.items(), 1):
        source.on(serving(DATA), etag=etag)

        assert brought(source.origin(parallel)) == DATA, name

        assert source.asked == [None] * number, name
    assert source.told == []


def test_a_file_that_comes_as_fast_as_it_is_used_comes_by_one_connection(source: Source) -> None:
    source.tried.set()
    source.on(serving(DATA))
    came = bytearray()
    origin = source.origin(replace(SMALL, waiting_share=0.5), now=lambda: float(len(came)))  # time goes by in its use

    with origin.open(0, None, watch=lambda: None) as answer:
        for block in answer.blocks():
            came += block

    assert came == DATA
    assert source.asked == [None]


def test_a_file_that_is_waited_for_comes_by_several_connections(source: Source) -> None:
    source.on(serving(DATA), first=a_little_more_and_then_nothing)
    looks: list[None] = []
    origin = source.origin(replace(SMALL, waiting_share=0.99), now=lambda: float(len(looks)))  # it goes by in waiting

    assert brought(origin, watch=lambda: looks.append(None)) == DATA

    assert source.told[0][0] == 4


def test_a_server_that_gives_no_further_connection_what_was_asked_for_loses_nothing(source: Source) -> None:
    def once(visit: Visit) -> None:
        visit.answer("403 Forbidden")

    def packed(visit: Visit) -> None:
        serving(DATA, Content_Encoding="gzip")(visit)

    refusing: dict[str, Callable[[Visit], None]] = {
        "a URL for one use": once,
        "no ranges": serving(DATA, ranges=False),
        "no such range": lambda visit: visit.answer("416 Range Not Satisfiable"),
        "another version": serving(OTHER, etag='"v2"'),
        "packed": packed,
        "too many connections": lambda visit: visit.answer("429 Too Many Requests"),
        "reset": Visit.reset,
        "a broken range": serving(DATA, cut=0),
    }
    for name, ranged in refusing.items():
        source.tried.clear()
        source.remote.visits.clear()
        source.on(ranged)

        assert brought(source.origin()) == DATA, name

        assert source.asked[0] is None
        assert len(source.asked) == 2, name
        assert len(spans(source)) == 1
    assert source.told == []
    assert not lanes_alive()


def test_a_range_that_comes_too_late_is_not_waited_for(source: Source) -> None:
    def late(visit: Visit) -> None:
        source.tried.set()
        visit.stay_silent()

    source.on(late)

    assert brought(source.origin()) == DATA

    assert len(spans(source)) == 1
    assert source.told == []


def test_a_server_that_gives_only_one_connection_more_is_content_with_that(source: Source) -> None:
    taken = threading.Lock()
    mine: list[socket.socket] = []

    def one(visit: Visit) -> None:
        with taken:
            mine.append(visit.line)
        if visit.line is mine[0]:
            serving(DATA)(visit)
        else:
            visit.answer("429 Too Many Requests")

    source.on(one, first=a_little_more_and_then_nothing)

    assert brought(source.origin()) == DATA

    assert source.told[0][0] == 4


def test_a_connection_that_breaks_within_a_range_costs_no_more_than_that_range(source: Source) -> None:
    broken = iter([serving(DATA), serving(DATA, cut=1000), serving(DATA, cut=2000), Visit.reset])

    def ranged(visit: Visit) -> None:
        handle = next(broken, serving(DATA))
        handle(visit)

    source.on(ranged, first=a_little_more_and_then_nothing)

    assert brought(source.origin()) == DATA

    assert source.asked.count(None) == 1


def until(place: int, then: Callable[[Visit], None]) -> Callable[[Visit], None]:
    """Good ranges up to a place of the file; from there on, something else."""

    def handle(visit: Visit) -> None:
        first = int(visit.headers["range"].removeprefix("bytes=").split("-")[0])
        (serving(DATA) if first < place else then)(visit)

    return handle


def test_ranges_that_end_in_the_middle_are_followed_by_one_connection(source: Source) -> None:
    def no_bounded_ones(visit: Visit) -> None:
        if visit.headers["range"].endswith("-"):
            serving(DATA)(visit)
        else:
            visit.answer("503 Service Unavailable")

    source.on(until(SIZE // 2, no_bounded_ones), first=a_little_more_and_then_nothing)

    assert brought(source.origin()) == DATA

    last = source.asked[-1]
    assert last is not None
    assert last.endswith("-")
    assert SIZE // 2 <= int(last.removeprefix("bytes=").removesuffix("-")) < SIZE // 2 + 2**16
    assert source.told[0][0] == 4
    assert not lanes_alive()


def test_a_signature_that_runs_out_in_the_middle_leaves_the_connection_that_was_there_first(source: Source) -> None:
    def expired(visit: Visit) -> None:
        visit.answer("403 Forbidden")

    source.on(until(SIZE // 2, expired))

    assert brought(source.origin()) == DATA

    assert source.asked.count(None) == 1
    assert source.asked[-1] is not None
    assert source.asked[-1].endswith("-")


def test_a_signature_that_runs_out_when_the_first_connection_is_gone_is_refused(source: Source) -> None:
    def closed(visit: Visit, at: int) -> None:
        visit.send(DATA[at : at + 2**17])
        visit.reset()

    source.on(until(SIZE // 2, lambda visit: visit.answer("403 Forbidden")), first=closed)

    with pytest.raises((SourceRefusedError, SourceFailedError)):
        brought(source.origin())


def test_a_file_that_changes_in_the_middle_comes_from_its_beginning_and_is_never_put_together(source: Source) -> None:
    changed = serving(OTHER, etag='"v2"')
    source.on(until(SIZE // 2, changed), first=a_little_more_and_then_nothing)
    origin = source.origin()

    with origin.open(0, None, watch=lambda: None) as answer, pytest.raises(SourceFailedError):
        list(answer.blocks())
    with origin.open(SIZE // 2, '"v1"', watch=lambda: None) as answer:
        assert (answer.start, answer.etag) == (0, '"v2"')


def test_what_the_reader_s_watch_raises_ends_every_connection(source: Source) -> None:
    class UnwantedError(Exception):
        pass

    left = [threading.Event() for _ in range(5)]
    count = itertools.count()

    def hang(visit: Visit) -> None:
        first = int(visit.headers["range"].removeprefix("bytes=").split("-")[0])
        if first < SIZE // 2:
            serving(DATA)(visit)
            return
        visit.stay_silent()
        left[next(count)].set()

    def first(visit: Visit, at: int) -> None:
        a_little_more_and_then_nothing(visit, at)
        left[next(count)].set()

    def watch() -> None:
        if sum(span[0] >= SIZE // 2 for span in spans(source)) == 4:
            raise UnwantedError

    source.on(hang, first=first)

    with pytest.raises(UnwantedError):
        brought(source.origin(), watch=watch)

    assert all(event.wait(PATIENCE_SECONDS) for event in left)
    for thread in lanes_alive():
        thread.join(PATIENCE_SECONDS)
    assert not lanes_alive()


def test_each_connection_is_guarded(source: Source) -> None:
    answers: list[Sequence[Address]] = [[ipaddress.ip_address(ADDRESS)], [ipaddress.ip_address("10.0.0.1")]]
    source.on(serving(DATA))

    came = brought(
        source.origin(host="renamed.example", resolve=lambda _: answers.pop(0) if len(answers) > 1 else answers[0])
    )

    assert came == DATA
    assert source.asked == [None]
