"""Complete, abort and arriving parts at once, in random order and overlap: one wins, whole (F14, F15)."""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from penstock.store.changes import create_changes
from penstock.store.faults import Refused
from penstock.store.multipart import Multipart
from penstock.store.objects import Objects, Sibling
from tests.store.test_multipart import KEY, Bench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from penstock.store.completion import ListedPart
    from penstock.store.uploads import Upload

OK = "ok"
GONE = "NoSuchUpload"
OTHER_PART = "InvalidPart"


@contextmanager
def two_processes(directory: Path) -> Iterator[tuple[Bench, Bench]]:
    """Two stores on one directory, which share nothing but its locks, as two processes would."""
    benches = (Bench(directory, None), Bench(directory, None))
    changes = create_changes()
    for number, bench in enumerate(benches):
        bench.objects.close()
        sibling = Sibling(number=number, changes=changes, heir=False)
        bench.objects = Objects(directory, threads=bench.threads, sibling=sibling)
        bench.multipart = Multipart(bench.objects, least_bytes=4, most_bytes=1000)
        bench.objects.create_bucket("bucket")
    try:
        yield benches
    finally:
        for bench in benches:
            bench.close()
        os.close(changes)


@contextmanager
def eager_switches() -> Iterator[None]:
    """Let the interpreter change threads nearly everywhere."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def outcome(action: Callable[[], object]) -> str:
    try:
        action()
    except Refused as refused:
        return refused.fault.code
    return OK


def at_once(actions: dict[str, Callable[[], object]], chance: random.Random) -> dict[str, str]:
    """Begin all actions together, each after a pause of its own; how each ended."""
    barrier = threading.Barrier(len(actions))
    results: dict[str, str] = {}

    def run(name: str, action: Callable[[], object], pause: float) -> None:
        barrier.wait()
        until = time.perf_counter() + pause
        while time.perf_counter() < until:
            pass
        results[name] = outcome(action)

    threads = [
        threading.Thread(target=run, args=(name, action, chance.choice([0, 0, chance.random() * 0.003])))
        for name, action in actions.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.keys() == actions.keys()  # otherwise one ended in another exception
    return results


def play(benches: tuple[Bench, Bench], seed: int) -> str:
    """One schedule: some of complete, abort and parts at once, on either store. Returns who won."""
    chance = random.Random(seed)  # noqa: S311 - schedules, not secrets
    upload = benches[0].begin()
    parts = {number: benches[number % 2].put(upload, number, b"first %d" % number) for number in (1, 2, 4)}
    if chance.random() < 0.5:
        benches[0].write(KEY, b"an older object")
    actions = actions_of(benches, upload, list(parts.values()), chance)

    results = at_once(actions, chance)

    ends = {name: result for name, result in results.items() if not name.startswith("part")}
    completed = [name for name, result in ends.items() if name.startswith("complete") and result == OK]
    aborted = [name for name, result in ends.items() if name.startswith("abort") and result == OK]
    assert set(results.values()) <= {OK, GONE, OTHER_PART}, (seed, results)
    assert not (completed and aborted), (seed, results)
    assert len(aborted) <= 1, (seed, results)
    if completed:
        assert benches[0].read() == benches[1].read() == b"first 1first 2first 4", (seed, results)
        # A part may have been another one for a moment; but nobody who completes finds no upload.
        assert GONE not in {ends[name] for name in ends if name.startswith("complete")}, (seed, results)
    close(benches, upload, closed=bool(completed or aborted))
    return "complete" if completed else "abort" if aborted else "none"


def actions_of(
    benches: tuple[Bench, Bench], upload: Upload, parts: list[ListedPart], chance: random.Random
) -> dict[str, Callable[[], object]]:
    """A few of each; a part replaces a listed one in some schedules, and adds another in some."""
    actions: dict[str, Callable[[], object]] = {}
    for index in range(chance.randint(0, 3)):
        actions[f"complete {index}"] = partial(chance.choice(benches).complete, upload, *parts)
    for index in range(chance.randint(0, 2)):
        actions[f"abort {index}"] = partial(chance.choice(benches).multipart.abort, "bucket", KEY, upload.id)
    for index in range(chance.randint(0, 2)):
        number, data = chance.choice([(2, b"first 2"), (2, b"second"), (3, b"unlisted"), (4, b"again")])
        actions[f"part {index}"] = partial(chance.choice(benches).put, upload, number, data)
    return actions or {"abort": partial(benches[0].multipart.abort, "bucket", KEY, upload.id)}


def close(benches: tuple[Bench, Bench], upload: Upload, *, closed: bool) -> None:
    """End the schedule, and see that nothing is left over."""
    if closed:
        assert outcome(lambda: benches[0].put(upload, 1, b"late")) == GONE
        assert outcome(lambda: benches[1].multipart.abort("bucket", KEY, upload.id)) == GONE
    else:
        benches[1].multipart.abort("bucket", KEY, upload.id)
    benches[0].objects.delete("bucket", [KEY])
    benches[0].multipart.files.forget(upload.id)
    for bench in benches:
        bench.objects.drop_later()
    assert benches[0].files() == []


def run_schedules(directory: Path, seeds: range, *, seconds: float) -> set[str]:
    """Play schedules until there are no more, or the time is over; who won at least once."""
    winners: set[str] = set()
    deadline = time.monotonic() + seconds
    with two_processes(directory) as benches, eager_switches():
        for seed in seeds:
            winners.add(play(benches, seed))
            if time.monotonic() > deadline:
                break
    return winners


def test_of_complete_abort_and_parts_one_wins_and_nothing_is_left_over(tmp_path: Path) -> None:
    run_schedules(tmp_path, range(40), seconds=60)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_of_complete_abort_and_parts_one_wins_in_a_thousand_schedules(tmp_path: Path) -> None:
    assert run_schedules(tmp_path, range(1000, 2000), seconds=600) == {"complete", "abort", "none"}


def test_all_who_complete_at_once_get_the_same_answer_from_every_process(tmp_path: Path) -> None:
    with two_processes(tmp_path) as benches:
        upload = benches[0].begin()
        parts = [benches[0].put(upload, number, b"%05d" % number) for number in range(1, 9)]
        answers: list[object] = []

        def client(bench: Bench) -> None:
            answers.append(bench.complete(upload, *parts))

        results = at_once(
            {f"complete {index}": partial(client, benches[index % 2]) for index in range(20)},
            random.Random(1),  # noqa: S311 - pauses, not secrets
        )

        assert set(results.values()) == {OK}
        assert answers == [answers[0]] * 20


def test_readers_and_writers_of_one_key_never_meet_a_mixed_object(tmp_path: Path) -> None:
    with two_processes(tmp_path) as benches, eager_switches():
        stop = threading.Event()
        found: set[bytes] = set()
        threads = [
            *[threading.Thread(target=write_versions, args=(benches[n], b"ab"[n : n + 1], stop)) for n in (0, 1)],
            *[threading.Thread(target=read_versions, args=(bench, stop, found)) for bench in benches],
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert found <= {b"a" * 12, b"b" * 12, b"NoSuchKey"}
        for bench in benches:
            bench.objects.delete("bucket", [KEY, "copy"])
        for bench in benches:
            bench.objects.drop_later()
        assert [name for name in benches[0].files() if not name.endswith(".done")] == []


def write_versions(bench: Bench, letter: bytes, stop: threading.Event) -> None:
    """Put versions of one letter each under the key, and copies of whatever is there under another."""
    for _ in range(15):
        upload = bench.begin()
        bench.complete(upload, *[bench.put(upload, number, letter * 4) for number in (1, 2, 3)])
        outcome(partial(bench.copy, KEY, "copy"))
    stop.set()


def read_versions(bench: Bench, stop: threading.Event, found: set[bytes]) -> None:
    """Note every content, or refusal, that the two keys show."""
    while not stop.is_set():
        for key in (KEY, "copy"):
            try:
                found.add(bench.read(key))
            except Refused as refused:
                found.add(refused.fault.code.encode())
        bench.objects.drop_later()


def test_a_bucket_that_is_created_again_while_its_uploads_are_aborted_keeps_what_is_completed_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with two_processes(tmp_path) as (one, other):
        upload = one.begin()
        part = one.put(upload, 1, b"part")
        one.objects.delete_bucket("bucket")
        look = one.multipart.files.all

        def look_and_be_overtaken() -> list[Upload]:
            found = look()
            other.objects.create_bucket("bucket")
            other.complete(upload, part)
            return found

        monkeypatch.setattr(one.multipart.files, "all", look_and_be_overtaken)
        one.multipart.forget_bucket("bucket")

        assert other.read() == b"part"
