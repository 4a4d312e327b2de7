"""Intake: files of 20 KB through one worker, and the thumbnail of a 12-megapixel photograph in a kept child.

The files are uploaded while the worker is stopped; then it is let go, and timed until the last one's intake has ended.
Without thumbnails a decoder still looks at each for its facts.
"""

from __future__ import annotations

import io
import os
import random
import signal
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from PIL import Image

from bench.processes import cpu_seconds, family, peak_mb, rss_mb
from bench.server import running
from bench.wire import Wire
from penstock.adapters.media import ChildInspector
from penstock.ports.media import MediaFile
from penstock.telemetry import Log

if TYPE_CHECKING:
    from bench.server import Running

_FILES = 1500
_WITH_THUMBNAILS = 500
_LOOKS = 15
_MOST_SECONDS = 300.0
_SAMPLE = Path(__file__).parents[1] / "examples" / "coffee.png"


def main(arguments: list[str]) -> None:
    """Measure and print. There are no options."""
    if arguments:
        raise SystemExit(f"intake takes no options: {' '.join(arguments)}")
    for thumbnails, count in ((False, _FILES), (True, _WITH_THUMBNAILS)):
        with running(environment={"PENSTOCK_THUMBNAILS": str(thumbnails).lower()}) as server:
            _intake(server, count, "with thumbnails" if thumbnails else "without thumbnails")
    _photograph()


def _intake(server: Running, count: int, title: str) -> None:
    worker = server.parts["worker"]
    os.kill(worker, signal.SIGSTOP)
    _upload(server, count)
    before, store_before = _cpu(worker), cpu_seconds(server.parts["store"])
    begun = time.perf_counter()
    os.kill(worker, signal.SIGCONT)
    _wait_until_done(server.data / "penstock.db")
    seconds = time.perf_counter() - begun
    print(f"20 KB pictures, {title:<20} {count / seconds:8.0f} /s")
    print(f"  CPU each, worker and its children   {(_cpu(worker) - before) / count * 1000:8.2f} ms")
    store = cpu_seconds(server.parts["store"]) - store_before
    print(f"  CPU each, store                     {store / count * 1000:8.2f} ms")
    print(f"  RSS of worker; of its children      {rss_mb(worker):8.0f} MB; {_children_mb(worker)}")


def _upload(server: Running, count: int) -> None:
    """The same picture again and again, each as an asset of its own."""
    data = _noise(82)
    api, stores = Wire(server.url), list[Wire]()
    declared = {"filename": "picture.png", "content_type": "image/png", "size_bytes": len(data)}
    for _ in range(count):
        upload = api.json("POST", "/v1/uploads", key=server.key, body=declared)
        parts, headers = urlsplit(str(upload["upload_url"])), upload["headers"]
        assert isinstance(headers, dict)
        if not stores:
            stores.append(Wire(f"{parts.scheme}://{parts.netloc}"))
        stores[0].send("PUT", f"{parts.path}?{parts.query}", headers=headers, body=data)
        api.json("POST", f"/v1/uploads/{upload['id']}/complete", key=server.key)


def _wait_until_done(database: Path) -> None:
    deadline = time.monotonic() + _MOST_SECONDS
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    while time.monotonic() < deadline:
        if not connection.execute("SELECT count(*) FROM assets WHERE intake = 'pending'").fetchone()[0]:
            connection.close()
            return
        time.sleep(0.02)
    raise RuntimeError("intake did not end")


def _photograph() -> None:
    """What the child's own CPU time says; its memory is the most it ever had."""
    with Image.open(_SAMPLE) as sample:
        large = sample.convert("RGB").resize((4000, 3000), Image.Resampling.BICUBIC)
    target = io.BytesIO()
    Image.blend(large, Image.effect_noise((4000, 3000), 40).convert("RGB"), 0.15).save(target, "JPEG", quality=88)
    data = target.getvalue()
    inspector = ChildInspector(Log("bench", None))
    cpu, wall = [], []
    with tempfile.TemporaryFile() as file:
        file.write(data)
        for _ in range(_LOOKS + 1):
            before, begun = _children_cpu(), time.perf_counter()
            photo = MediaFile(bytes=file, content_type="image/jpeg", size=len(data), complete=True)
            seen = inspector.inspect(photo, want_thumbnail=True, cancelled=lambda: False)
            assert seen.thumbnail is not None, seen.problem
            cpu.append(_children_cpu() - before)
            wall.append(time.perf_counter() - begun)
    (child,) = inspector.processes()
    print(f"12-megapixel JPEG of {len(data) / 1e6:.1f} MB, in a kept child, medians of {_LOOKS}")
    print(f"  CPU; wall                           {_middle(cpu):8.0f} ms; {_middle(wall):.0f} ms")
    print(f"  RSS of the child at its peak        {peak_mb(child):8.0f} MB")
    inspector.close()


def _middle(seconds: list[float]) -> float:
    """Milliseconds, without the first, which started the child."""
    return statistics.median(seconds[1:]) * 1000


def _noise(side: int) -> bytes:
    target = io.BytesIO()
    Image.frombytes("RGB", (side, side), random.Random(7).randbytes(side * side * 3)).save(target, "PNG")  # noqa: S311 - not a secret
    return target.getvalue()


def _cpu(worker: int) -> float:
    """Of the worker and the children that it has now."""
    return sum(cpu_seconds(pid) for pid in family([worker]))


def _children_cpu() -> float:
    return sum(cpu_seconds(pid) for pid in family([os.getpid()])[1:])


def _children_mb(worker: int) -> str:
    return ", ".join(f"{rss_mb(pid):.0f} MB" for pid in family([worker])[1:])
