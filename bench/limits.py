"""What this machine can do at all, measured in the same rounds: its loopback, its file system, its hash."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

from bench.table import Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from bench.source import Source

_STEP = 64 * 1024
"""Larger writes make larger folios, which some virtual machines have to ask their host for."""
_PATIENCE_SECONDS = 120


class Limits:
    """Measurements with the bytes of `source`, in the file system of `directory`."""

    def __init__(self, source: Source, directory: Path, *, settled: bool) -> None:
        self._source = source
        self._settle = os.sync if settled else lambda: None
        self._directory = directory

    def loopback(self, count: int) -> Outcome:
        """Transport alone: `sendfile` to another process, which throws the bytes away."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            sink = multiprocessing.get_context("fork").Process(target=_swallow, args=(listener, count), daemon=True)
            sink.start()
            with socket.create_connection(listener.getsockname(), timeout=_PATIENCE_SECONDS) as connection:
                connection.settimeout(None)
                begun = time.perf_counter()
                for piece in self._source.slices(count):
                    offset = 0
                    while offset < piece.count:
                        offset += os.sendfile(connection.fileno(), piece.fd, offset, piece.count - offset)
                if connection.recv(1) != b"!":
                    raise RuntimeError("the sink did not get everything")
                seconds = time.perf_counter() - begun
            sink.join(timeout=_PATIENCE_SECONDS)
        return Outcome(figure=count / 1e6 / seconds)

    def file_write(self, count: int) -> Outcome:
        """One file, written from memory and fsynced."""
        path, block = self._directory / "written", memoryview(self._source.small(_STEP))
        self._settle()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            begun, missing = time.perf_counter(), count
            while missing:
                missing -= os.write(descriptor, block[:missing])
            os.fsync(descriptor)
            seconds = time.perf_counter() - begun
        finally:
            os.close(descriptor)
            path.unlink()
        return Outcome(figure=count / 1e6 / seconds)

    def hashing(self, count: int) -> Outcome:
        """SHA-256 over the page cache, in one thread."""
        digest, view = hashlib.sha256(), memoryview(bytearray(_STEP))
        begun = time.perf_counter()
        for piece in self._source.slices(count):
            offset = 0
            while offset < piece.count:
                got = os.preadv(piece.fd, [view[: piece.count - offset]], offset)
                digest.update(view[:got])
                offset += got
        return Outcome(figure=count / 1e6 / (time.perf_counter() - begun))

    def small_files(self, size: int, *, threads: int, seconds: float) -> Outcome:
        """Durable small files: write, fsync, rename, fsync of the directory; each thread in a directory of its own."""
        self._settle()
        body, counts = self._source.small(size), [0] * threads
        begun = time.perf_counter()

        def work(place: int) -> None:
            home = self._directory / f"files-{place}"
            home.mkdir(exist_ok=True)
            with _Directory(home) as handle:
                while time.perf_counter() - begun < seconds:
                    _write_durably(body, f"{begun}-{counts[place]}", handle)
                    counts[place] += 1

        workers = [threading.Thread(target=work, args=(place,)) for place in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return Outcome(figure=sum(counts) / (time.perf_counter() - begun))


class _Directory:
    """An open directory."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def __enter__(self) -> int:
        return self._handle

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)


def _write_durably(body: bytes, name: str, directory: int) -> None:
    descriptor = os.open("new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=directory)
    os.write(descriptor, body)
    os.fsync(descriptor)
    os.close(descriptor)
    os.rename("new", name, src_dir_fd=directory, dst_dir_fd=directory)
    os.fsync(directory)


def _swallow(listener: socket.socket, count: int) -> None:
    connection, _ = listener.accept()
    view = memoryview(bytearray(_STEP))
    while count:
        got = connection.recv_into(view)
        if not got:
            return
        count -= got
    connection.sendall(b"!")
