"""Lanes over ranges that the test gives out: order, bounds, and what becomes of lanes that break, hang or are late."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Self

import pytest

from penstock.ports.fetch import SourceFailedError, SourceRefusedError
from penstock.workflows.range_lanes import Parallel, RangeLanes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from penstock.ports.fetch import Ranges

DATA = random.Random(44).randbytes(3 * 2**20 + 12345)  # noqa: S311 - bytes that can be made again
SIZE = len(DATA)
SMALL = Parallel(connections=4, longest_range=2**16, held_bytes=2**18)
BLOCK = 10_000
PATIENCE_SECONDS = 30.0


class Given:
    """What a server gives: `refuse` may raise for a connection's number and a place in the file, or wait there."""

    def __init__(
        self, refuse: Callable[[int, int, Callable[[], None]], None] = lambda *_: None, *, block: int = BLOCK
    ) -> None:
        self.refuse = refuse
        self.block = block
        self.connected = 0
        self.asked: list[tuple[int, int]] = []
        self.sent = 0
        self.open = 0

    def __call__(self, watch: Callable[[], None]) -> Ranges:
        self.connected += 1
        return _Given(self, self.connected, watch)


class _Given:
    def __init__(self, given: Given, number: int, watch: Callable[[], None]) -> None:
        self._given = given
        self._number = number
        self._watch = watch

    def blocks(self, start: int, end: int) -> Generator[bytes]:
        self._given.asked.append((start, end))
        for at in range(start, end, self._given.block):
            self._watch()
            self._given.refuse(self._number, at, self._watch)
            block = DATA[at : min(at + self._given.block, end)]
            self._given.sent += len(block)
            yield block

    def __enter__(self) -> Self:
        self._given.open += 1
        return self

    def __exit__(self, *error: object) -> None:
        self._given.open -= 1


def lanes_of(given: Given, parallel: Parallel = SMALL, *, start: int = 0) -> RangeLanes:
    return RangeLanes(given, start=start, end=SIZE, parallel=parallel)


def all_of(lanes: RangeLanes, start: int = 0, *, watch: Callable[[], None] = lambda: None) -> bytes:
    return b"".join(lanes.blocks(start, watch=watch))


def take(lanes: RangeLanes, came: bytearray) -> None:
    for block in lanes.blocks(0, watch=lambda: None):
        came += block


def hang(until: threading.Event, watch: Callable[[], None]) -> None:
    """As a connection does on which nothing comes, for longer than any test takes that is good."""
    for _ in range(int(PATIENCE_SECONDS * 100)):
        watch()
        if until.wait(0.01):
            return


@pytest.fixture
def wait() -> Iterator[threading.Event]:
    """Nobody who waits for it outlives the test."""
    event = threading.Event()
    yield event
    event.set()


def test_what_several_connections_bring_comes_in_order_and_once() -> None:
    given = Given()
    lanes = lanes_of(given)

    lanes.begin(1)
    lanes.begin(4)
    came = all_of(lanes)
    lanes.close()

    assert came == DATA
    assert given.sent == SIZE
    assert (given.connected, given.open, lanes.lanes) == (4, 0, 4)
    assert lanes.ranges == len(given.asked) == -(-SIZE // 2**16)
    assert lanes.proved


def test_it_may_begin_behind_the_first_ranges() -> None:
    lanes = lanes_of(Given(), start=1000)

    lanes.begin(2)
    came = all_of(lanes, 200_000)
    lanes.close()

    assert came == DATA[200_000:]


@pytest.mark.parametrize("connections", [1, 4, 16])
def test_no_more_is_held_than_was_said_however_long_nobody_takes_any(connections: int) -> None:
    parallel = Parallel(connections=connections, longest_range=2**16, held_bytes=2**18)
    given = Given()
    lanes = lanes_of(given, parallel)
    lanes.begin(connections)

    blocks = lanes.blocks(0, watch=lambda: None)
    taken = len(next(blocks))
    for thread in threading.enumerate():  # as far as they get
        if thread.name == "range":
            thread.join(0.05)
    held = given.sent - taken
    rest = b"".join(blocks)
    lanes.close()

    assert held <= 2**18
    assert taken + len(rest) == SIZE


def test_a_connection_that_breaks_within_a_range_is_followed_by_one_for_its_rest() -> None:
    broke: list[int] = []
    parallel = Parallel(connections=2, longest_range=2**21, held_bytes=2**22)

    def break_once(_: int, at: int, __: Callable[[], None]) -> None:
        if at >= 2**20 + 2**19 and not broke:
            broke.append(at)
            raise SourceFailedError("broke off")

    given = Given(break_once)
    lanes = lanes_of(given, parallel)
    lanes.begin(2)
    came = all_of(lanes)
    lanes.close()

    assert came == DATA
    assert (broke[0], 2**21) in given.asked
    assert given.sent == SIZE


def test_what_a_refused_connection_was_to_bring_is_brought_by_another() -> None:
    def only_the_second(number: int, _: int, __: Callable[[], None]) -> None:
        if number != 2:
            raise SourceFailedError("answered 429")

    given = Given(only_the_second)
    lanes = lanes_of(given)
    lanes.begin(4)
    came = all_of(lanes)
    lanes.close()

    assert came == DATA
    assert given.sent == SIZE


def test_a_lane_that_was_good_may_fail_a_few_times_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.workflows.range_lanes._REST_SECONDS", 0.0)
    failures = 3

    def fail(_: int, at: int, __: Callable[[], None]) -> None:
        nonlocal failures
        if at >= 2**17 and failures:
            failures -= 1
            raise SourceFailedError("answered 503")

    given = Given(fail)
    lanes = lanes_of(given)
    lanes.begin(1)
    came = all_of(lanes)
    lanes.close()

    assert came == DATA
    assert (given.sent, given.connected) == (SIZE, 1)


def test_when_no_lane_is_left_what_came_in_order_is_given_before_that_is_told() -> None:
    def no_further(_: int, at: int, __: Callable[[], None]) -> None:
        if at >= 700_000:
            raise SourceRefusedError("answered 403")

    lanes = lanes_of(Given(no_further))
    lanes.begin(3)
    came = bytearray()
    with pytest.raises(SourceFailedError, match="answered 403"):
        take(lanes, came)
    lanes.close()

    assert DATA.startswith(came)
    assert 700_000 <= len(came) < 700_000 + BLOCK


def test_what_comes_in_crumbs_is_held_in_few_pieces() -> None:
    lanes = lanes_of(Given(block=3), start=SIZE - 200_000)
    before = set(threading.enumerate())
    lanes.begin(4)
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE_SECONDS)
    blocks = list(lanes.blocks(SIZE - 200_000, watch=lambda: None))
    lanes.close()

    assert b"".join(blocks) == DATA[-200_000:]
    assert len(blocks) < 20


def test_nothing_is_proved_by_a_server_that_gives_none() -> None:
    def none(_: int, __: int, ___: Callable[[], None]) -> None:
        raise SourceRefusedError("answered 416")

    lanes = lanes_of(Given(none))
    lanes.begin(1)
    with pytest.raises(SourceFailedError, match="answered 416"):
        all_of(lanes)
    lanes.close()

    assert not lanes.proved


def test_a_lane_for_which_all_others_wait_is_overtaken(wait: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.workflows.range_lanes._PATIENCE_SECONDS", 0.0)
    hung: list[int] = []

    def hang_once(_: int, at: int, watch: Callable[[], None]) -> None:
        if at >= 5 * 2**16 and not hung:
            hung.append(at)
            hang(wait, watch)

    given = Given(hang_once)
    lanes = lanes_of(given)
    lanes.begin(4)
    came = all_of(lanes)
    lanes.close()

    assert came == DATA
    assert [start for start, _ in given.asked].count(hung[0]) == 2
    assert given.open == 0


def test_what_the_reader_s_watch_raises_reaches_the_reader_alone_and_closing_ends_every_lane(
    wait: threading.Event,
) -> None:
    class UnwantedError(Exception):
        pass

    hanging = threading.Barrier(5)

    def hang_together(_: int, __: int, watch: Callable[[], None]) -> None:
        hanging.wait(PATIENCE_SECONDS)
        hang(wait, watch)

    def interrupt() -> None:
        if all(lane.is_alive() for lane in threads):
            raise UnwantedError

    given = Given(hang_together)
    lanes = lanes_of(given)
    before = set(threading.enumerate())
    lanes.begin(4)
    threads = [thread for thread in threading.enumerate() if thread not in before]
    hanging.wait(PATIENCE_SECONDS)
    with pytest.raises(UnwantedError):
        all_of(lanes, watch=interrupt)
    lanes.close()

    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert len(threads) == 4
    assert not any(thread.is_alive() for thread in threads)
    assert given.open == 0


def test_a_reader_that_waits_is_asked_again_and_again_whether_it_still_wants_to(wait: threading.Event) -> None:
    asked: list[int] = []

    def watch() -> None:
        asked.append(1)
        if len(asked) == 3:
            wait.set()

    lanes = lanes_of(Given(lambda _, __, watch: hang(wait, watch)))
    lanes.begin(1)
    came = all_of(lanes, watch=watch)
    lanes.close()

    assert came == DATA
    assert len(asked) > 3
