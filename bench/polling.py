"""Pollers of run status: many clients on kept connections, each asking on its own schedule.

The clients are tasks of one process beside the server, so their own CPU is on the same cores. A client asks at fixed
times whatever the last answer took, and an answer counts from the time at which it should have been asked for: a
server that falls behind is not spared by clients that wait for it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bench.dialects import NO_LIMITS
from bench.processes import cpu_seconds, rss_mb
from bench.server import running
from bench.wire import Wire

if TYPE_CHECKING:
    from bench.server import Running

_AIM_MS = 100
_RUNS = 10
"""Runs that are asked for, in turn."""


@dataclass(slots=True)
class _Seen:
    """Seconds from when each answer was due, and what was wrong."""

    latencies: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench polling")
    parser.add_argument("--pollers", type=int, default=1000)
    parser.add_argument("--every", type=float, nargs="+", default=[5.0, 2.0, 1.0], help="seconds between two questions")
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args(arguments)
    with running(environment=NO_LIMITS) as server:
        targets = _runs(server)
        asyncio.run(_poll(server, targets, pollers=100, every=1.0, seconds=3.0))
        for every in options.every:
            before = cpu_seconds(server.parts["api"])
            begun = time.perf_counter()
            seen = asyncio.run(_poll(server, targets, pollers=options.pollers, every=every, seconds=options.seconds))
            cpu = (cpu_seconds(server.parts["api"]) - before) / (time.perf_counter() - begun)
            _tell(seen, pollers=options.pollers, every=every, cpu=cpu, memory=rss_mb(server.parts["api"]))


def _runs(server: Running) -> list[str]:
    """Paths of runs that have ended, so that nothing else goes on while they are asked for."""
    wire = Wire(server.url)
    made = []
    for number in range(_RUNS):
        body = {"model": "builtin/stylize", "input": {"prompt": f"a dam, {number}"}}
        made.append(f"/v1/runs/{wire.json('POST', '/v1/runs', key=server.key, body=body)['id']}")
    while any(wire.json("GET", path, key=server.key)["state"] in {"queued", "running"} for path in made):
        time.sleep(0.5)
    return made


async def _poll(server: Running, targets: list[str], *, pollers: int, every: float, seconds: float) -> _Seen:
    seen = _Seen()
    start = time.perf_counter() + 1.0
    chance = random.Random(7)  # noqa: S311 - spreads the clients
    tasks = [
        _client(server, targets[number % len(targets)], seen, start + chance.random() * every, every, start + seconds)
        for number in range(pollers)
    ]
    await asyncio.gather(*tasks)
    return seen


async def _client(server: Running, target: str, seen: _Seen, first: float, every: float, end: float) -> None:
    parts = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {server.key}\r\n\r\n".encode()
    due = first
    try:
        while due < end:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            writer.write(head)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().partition(b"content-length:")[2].partition(b"\r")[0])
            await reader.readexactly(length)
            seen.latencies.append(time.perf_counter() - due)
            if not answer.startswith(b"HTTP/1.1 200"):
                seen.failures.append(answer[:40].decode())
            due += every
    finally:
        writer.close()


def _tell(seen: _Seen, *, pollers: int, every: float, cpu: float, memory: float) -> None:
    if seen.failures:
        raise RuntimeError(f"{len(seen.failures)} answers without success, the first: {seen.failures[0]}")
    ordered = sorted(seen.latencies)
    middle, high, most = (ordered[int(len(ordered) * part)] * 1000 for part in (0.5, 0.99, 0.9999))
    print(
        f"{pollers} pollers, every {every:g} s: {pollers / every:6.0f} /s  p50 {middle:6.1f} ms  p99 {high:6.1f} ms"
        f" (aim ≤ {_AIM_MS})  most {most:6.1f} ms  API {cpu:.0%} of a core, {memory:.0f} MB"
    )
