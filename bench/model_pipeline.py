"""Models from a URL to ready, through a real server: what each phase takes, and what its limit is.

The source is a server on this machine that makes its files up, so that its own disk is none of the figures. In the same
run the disk is written as much as the models take, a SHA-256 is computed, and the source is read by nobody else: the
slowest of these bounds what can be had.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.processes import cpu_seconds, family, peak_mb, rss_mb
from bench.server import running
from penstock.adapters.db.database import SqlDatabase
from penstock.adapters.system import SystemClock, SystemEntropy
from penstock.domain.egress import parse_rules
from penstock.domain.model_uploads import Phase, is_over
from penstock.domain.models import ModelSource
from penstock.services.accounts import Accounts
from penstock.services.model_uploads import ModelUploads, NewModelUpload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.server import Running
    from penstock.domain.ids import AccountId
    from penstock.domain.model_uploads import ModelUpload

_MAKER = Path(__file__).parents[1] / "tests" / "fixtures" / "make_model_files.py"
_LIKE = "checkpoint/flux_schnell_bfl"
_GROWN = ("img_mlp.0.weight", "linear1.weight")
_ROW = 3072
_WIDTHS = {"F32": 4, "BF16": 2}
_MOST_SECONDS = 1800.0
_LOOK_SECONDS = 0.02
_WRITTEN_AT_ONCE = 16 * 2**20
_CARD = {"category": "checkpoint", "type": "base", "name": "bench", "version_label": "1"}


def main(arguments: list[str]) -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(prog="bench models --part pipeline", description=__doc__)
    parser.add_argument("--mb", type=int, default=4000, help="of each large checkpoint")
    parser.add_argument("--many", type=int, default=100, help="uploads that are queued at once")
    parser.add_argument("--many-mb", type=int, default=100, help="of each of those")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=["refusal", "large", "many"], default=["refusal", "large", "many"])
    options = parser.parse_args(arguments)
    wanted = set(options.only)
    files = {"huge": _huge()} if "refusal" in wanted else {}
    if "large" in wanted:
        files |= {"f32": made_file("F32", options.mb), "bf16": made_file("BF16", options.mb)}
    if "many" in wanted:
        files["many"] = made_file("F32", options.many_mb)
    with open_source(files) as source:
        if "refusal" in wanted:
            _refusal(source)
        if "large" in wanted:
            for _ in range(options.rounds):
                for name in ("f32", "bf16"):
                    _large(source, name, files[name])
        if "many" in wanted:
            _many(source, options.many, files["many"])


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """What the source serves; `rate` in bytes per second and `delay` in seconds are those of each answer."""

    head: bytes
    size: int
    data: str
    rate: int = 0
    delay: float = 0.0


@dataclass(slots=True)
class Source:
    port: int
    answers: list[dict[str, float]] = field(default_factory=list)

    def url(self, name: str, number: int = 0) -> str:
        return f"http://127.0.0.1:{self.port}/{name}?n={number}"


@cache
def _beginning(profile: str) -> bytes:
    """The beginning of a fixture: its header and what follows."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(_MAKER), folder, "--profile", profile]
        subprocess.run(command, check=True, capture_output=True)
        (path,) = Path(folder).rglob(f"{_LIKE}.*")
        return path.read_bytes()


def made_file(dtype: str, megabytes: int) -> File:
    """The header of a checkpoint of that many MB, most of them in the matrices of its blocks."""
    whole = _beginning("tiny")
    header = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])
    del header["__metadata__"]
    width = _WIDTHS[dtype]
    grown = {name for name in header if name.endswith(_GROWN)}
    fixed = sum(width * math.prod(header[name]["shape"]) for name in header.keys() - grown)
    rows = (megabytes * 1_000_000 - fixed) // (len(grown) * width * _ROW) // 4 * 4  # whole pages, as those of real ones
    entries: dict[str, Any] = {"__metadata__": {"number": "000000"}}
    begin = 0
    for name, entry in header.items():
        shape = [rows, _ROW] if name in grown else entry["shape"]
        end = begin + width * math.prod(shape)
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    head = len(text).to_bytes(8, "little") + text
    return File(head=head, size=len(head) + begin, data=dtype)


def _huge() -> File:
    """The header of a whole checkpoint of 24 GB, with nothing behind it."""
    whole = _beginning("head")
    length = 8 + int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8:length])
    last = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
    return File(head=whole[:length], size=length + last, data="zeros")


@contextmanager
def open_source(files: dict[str, File]) -> Iterator[Source]:
    """The source, in a process of its own."""
    told = {name: {**asdict(file), "head": file.head.hex()} for name, file in files.items()}
    command = [sys.executable, "-m", "bench.model_server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        source = Source(int(process.stdout.readline()))
        lines = process.stdout
        reader = threading.Thread(target=lambda: source.answers.extend(json.loads(line) for line in lines), daemon=True)
        reader.start()
        try:
            yield source
        finally:
            process.stdin.close()
            reader.join()


@dataclass(slots=True)
class Place:
    """A running server, and its database, into which uploads are put as its API does."""

    server: Running
    database: SqlDatabase
    clock: SystemClock = field(default_factory=SystemClock)
    entropy: SystemEntropy = field(default_factory=SystemEntropy)

    def open_account(self, name: str) -> AccountId:
        account_id = Accounts(self.database, self.clock, self.entropy).create_account(name, 0).id  # type: ignore[arg-type]
        with self.database.write() as tx:
            tx.models.add_source(ModelSource(name=name, account_id=account_id, created_at=self.clock.now()))
        return account_id

    def begin(self, account_id: AccountId, url: str, air: str, *, architecture: str = "flux1s") -> ModelUpload:
        uploads = ModelUploads(self.database, parse_rules("127.0.0.0/8"), clock=self.clock, entropy=self.entropy)
        given = {**_CARD, "architecture": architecture, "unique_identifier": url}
        return uploads.begin(account_id, NewModelUpload(air=air, given=given, source_url=url), dialect="native")

    def wait(self, upload: ModelUpload) -> ModelUpload:
        deadline = time.monotonic() + _MOST_SECONDS
        while time.monotonic() < deadline:
            with self.database.read() as tx:
                upload = tx.model_uploads.get(upload.account_id, upload.id)
            if is_over(upload):
                return upload
            time.sleep(_LOOK_SECONDS)
        raise RuntimeError("the model did not come")

    def phases(self, upload: ModelUpload) -> dict[str, float]:
        """Seconds that each phase took."""
        with self.database.read() as tx:
            events = tx.events.after(upload.account_id, upload.id, 0, limit=10_000)
        ends = [event for event in events if event.kind.value not in {"model.progress", "model.delayed"}]
        return {
            after.kind.value.removeprefix("model."): (after.created_at - before.created_at) / timedelta(seconds=1)
            for before, after in pairwise(ends)
        }

    def worker(self) -> int:
        return self.server.parts["worker"]

    def cpu(self, part: str) -> float:
        return sum(cpu_seconds(pid) for pid in family([self.server.parts[part]]))


@contextmanager
def open_place(**settings: str) -> Iterator[Place]:
    """A server with these settings, by their names in the environment."""
    with running(environment={"PENSTOCK_ALLOW_PRIVATE_NETWORKS": "127.0.0.0/8", **settings}) as server:
        database = SqlDatabase(f"sqlite:///{server.data / 'penstock.db'}")
        try:
            yield Place(server, database)
        finally:
            database.close()


def _refusal(source: Source) -> None:
    with open_place() as place:
        account_id = place.open_account("acme")
        took = []
        for number in range(5):
            began = time.perf_counter()
            upload = place.wait(
                place.begin(account_id, source.url("huge", number), f"acme:1@{number}", architecture="sdxl")
            )
            took.append(time.perf_counter() - began)
            assert upload.error_code == "model_file_mismatch", upload
    most = max(answer["taken"] for answer in source.answers)
    print(f"24 GB, wrongly declared: refused after {min(took):.2f} to {max(took):.2f} s", end=", ")
    print(f"at most {most / 1e6:.2f} MB had left their server", flush=True)


def _large(source: Source, name: str, file: File) -> None:
    with open_place() as place:
        account_id = place.open_account("acme")
        network, hashing = _network(source, name, file.size), _hashing()
        before = {part: place.cpu(part) for part in ("worker", "store")}
        began = time.perf_counter()
        upload = place.wait(place.begin(account_id, source.url(name), "acme:1@1"))
        seconds = time.perf_counter() - began
        assert upload.phase is Phase.READY, upload
        with place.database.read() as tx:
            kept = tx.model_files.of([upload.file_id] if upload.file_id is not None else [])[0]
        cpu = {part: place.cpu(part) - before[part] for part in before}
        written = file.size + (kept.optimized_size if kept.optimized_key != kept.original_key else 0)
        disk = _disk(place.server.data, written)
        size = file.size / 1e9
        print(f"{size:.1f} GB of {name}, {kept.optimized_size / 1e9:.1f} GB served: {size / seconds:.2f} GB/s of input")
        print("  phases   " + ", ".join(f"{phase} {took:.2f} s" for phase, took in place.phases(upload).items()))
        print("  CPU      " + ", ".join(f"{part} {took / size:.2f} s/GB" for part, took in cpu.items()))
        print(f"  memory   worker {peak_mb(place.worker()):.0f} MB at most")
        print(
            f"  alone    network {network:.2f} GB/s, SHA-256 {hashing:.2f} GB/s, disk {disk:.2f} GB/s written", end=""
        )
        print(f" ({written / file.size:.1f} × the input)", flush=True)


def _network(source: Source, name: str, size: int) -> float:
    """GB/s of the source to somebody who does nothing with it."""
    buffer, left, began = bytearray(2**20), size, time.perf_counter()
    with socket.create_connection(("127.0.0.1", source.port)) as line:
        line.sendall(f"GET /{name} HTTP/1.1\r\n\r\n".encode())
        while left > 0 and (count := line.recv_into(buffer)):
            left -= count
    return size / (time.perf_counter() - began) / 1e9


def _hashing() -> float:
    block, began = bytes(2**20), time.perf_counter()
    digest = hashlib.sha256()
    for _ in range(1000):
        digest.update(block)
    return len(block) * 1000 / (time.perf_counter() - began) / 1e9


def _disk(folder: Path, size: int) -> float:
    """GB/s of one file that is written and synced, where the store keeps its own."""
    block, left, path = os.urandom(_WRITTEN_AT_ONCE), size, folder / "disk-alone"
    began = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        while left > 0:
            left -= file.write(block[: min(left, len(block))])
        os.fdatasync(file.fileno())
    seconds = time.perf_counter() - began
    path.unlink()
    return size / seconds / 1e9


def _many(source: Source, count: int, file: File) -> None:
    with open_place() as place:
        accounts = [(name, place.open_account(name)) for name in ("first", "second")]
        uploads = []
        began = time.perf_counter()
        for number in range(count):  # all of the one account's before all of the other's
            name, account_id = accounts[number >= count // 2]
            uploads.append(place.begin(account_id, source.url("many", number), f"{name}:1@{number}"))
        memory: list[float] = []
        order: list[str] = []
        left = {upload.id: upload for upload in uploads}
        while left:
            with contextlib.suppress(OSError):
                memory.append(rss_mb(place.worker()))
            with place.database.read() as tx:
                ended = [tx.model_uploads.get(one.account_id, one.id) for one in left.values()]
            for upload in sorted(
                (one for one in ended if one.finished_at is not None), key=lambda one: str(one.finished_at)
            ):
                assert upload.phase is Phase.READY, upload
                order.append(upload.air.partition(":")[0])
                del left[upload.id]
            time.sleep(0.2)
        seconds = time.perf_counter() - began
        half = Counter(order[: count // 2])
        late = memory[len(memory) // 2 :]
        total = count * file.size / 1e9
        figure = f"{seconds:.0f} s, {total / seconds:.2f} GB/s of input"
        print(f"{count} of {file.size / 1e6:.0f} MB from two accounts: {figure}")
        print(f"  of the first {count // 2} that were ready: " + ", ".join(f"{n} of {who}" for who, n in half.items()))
        print(
            f"  memory   worker {max(memory):.0f} MB at most; in the second half {min(late):.0f} to {max(late):.0f} MB"
        )
