"""A store in a thread of the test's process, or in a process of its own; and clients that speak raw HTTP."""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.sigv4 import UNSIGNED_PAYLOAD, Credentials, Request, Signer
from penstock.store.config import Limits, StoreConfig
from penstock.store.server import serve
from penstock.telemetry import Log
from tests.support.server import clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

BUCKET = "penstock"
SIGNER = Signer(credentials=Credentials("TESTKEY", "a secret for tests"), region="us-east-1")
HOUR = timedelta(hours=1)
PATIENCE_SECONDS = 20.0
_WITHOUT_FSYNC = """import os, runpy
os.fsync = os.fdatasync = lambda fd: None
runpy.run_module("penstock.store", run_name="__main__")"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An HTTP response; header names in lower case, the last one of a name."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The S3 error code of an XML error."""
        return self.body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()


class RawConnection:
    """A socket that speaks HTTP/1.1 as badly as a test wants it to."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        self._received = b""

    def __enter__(self) -> RawConnection:  # noqa: PYI034 - not meant for inheritance
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> bytes:
        """What comes next; nothing at the end of the stream, also when it was reset."""
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return b""

    def read_response(self, *, bodiless: bool = False) -> Response:
        """The next response; raises `EOFError` when the stream ends first."""
        while b"\r\n\r\n" not in self._received:
            self._more()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(status_line.split()[1])
        size = 0 if bodiless or status in {100, 204, 304} else int(headers["content-length"])
        while len(self._received) < size:
            self._more()
        body, self._received = self._received[:size], self._received[size:]
        return Response(status=status, headers=headers, body=body)

    def is_closed(self) -> bool:
        """Whether the server ends the stream without sending more."""
        return not self._received and self.receive() == b""

    def _more(self) -> None:
        data = self.receive()
        if not data:
            raise EOFError
        self._received += data


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A running store, and requests to its one bucket."""

    port: int
    directory: Path
    signer: Signer = SIGNER
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> RawConnection:
        return RawConnection(self.port)

    def presign(
        self,
        method: str,
        key: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        expires_in: timedelta = HOUR,
        now: datetime | None = None,
    ) -> str:
        """The target of a presigned request; `headers` are signed."""
        request = Request(
            method=method,
            origin=self.url,
            path=f"/{BUCKET}/{key}",
            query=tuple((query or {}).items()),
            headers=tuple((headers or {}).items()),
        )
        url = self.signer.presign(request, now=now or datetime.now(UTC), expires_in=expires_in)
        return url.removeprefix(self.url)

    def head_bytes(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        payload_hash: str = UNSIGNED_PAYLOAD,
    ) -> bytes:
        """The head of a header-signed request, ready for the wire."""
        request = Request(
            method=method,
            origin=self.url,
            path=path,
            query=tuple((query or {}).items()),
            headers=tuple((headers or {}).items()),
        )
        target, signed = self.signer.sign_headers(request, now=datetime.now(UTC), payload_hash=payload_hash)
        return self.plain_head(method, target, {**(headers or {}), **signed})

    def plain_head(self, method: str, target: str, headers: Mapping[str, str] | None = None) -> bytes:
        """A head with Host and these headers, unsigned or presigned."""
        lines = [f"{name}: {value}\r\n" for name, value in (headers or {}).items()]
        return f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{''.join(lines)}\r\n".encode("latin-1")

    def exchange(self, data: bytes, *, bodiless: bool = False) -> Response:
        """Send bytes on a new connection and read one response."""
        with self.connect() as connection:
            connection.send(data)
            return connection.read_response(bodiless=bodiless)

    def call(
        self,
        method: str,
        key: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Response:
        """One header-signed request for a key (or, with an empty key, for the bucket)."""
        sent = {**(headers or {}), "content-length": str(len(body))} if body or method == "PUT" else headers
        path = f"/{BUCKET}/{key}" if key else f"/{BUCKET}"
        head = self.head_bytes(method, path, headers=sent, query=query)
        return self.exchange(head + body, bodiless=method == "HEAD")

    def put(self, key: str, body: bytes, **headers: str) -> Response:
        """PutObject; header names with underscores for hyphens."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.call("PUT", key, headers=sent, body=body)

    def get(self, key: str, **headers: str) -> Response:
        """GetObject; header names with underscores for hyphens."""
        return self.call("GET", key, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def stored_files(self) -> list[str]:
        """Everything that holds or could hold an object's bytes: objects, linked data, temporary files."""
        places = (self.directory / "objects", self.directory / "tmp")
        return sorted(path.name for place in places for path in place.rglob("*") if path.is_file())


@contextmanager
def store_in_thread(
    directory: Path,
    *,
    encryption_key_file: Path | None = None,
    limits: Limits | None = None,
    cors_origins: tuple[str, ...] = (),
    public_acls: bool = False,
    metrics_port: int | None = None,
    log: Callable[..., None] | None = None,
) -> Iterator[Store]:
    """A store of this process, on a free port; drained at the end. `log` gets its events."""
    config = StoreConfig(
        directory=directory,
        credentials={SIGNER.credentials.access_key: SIGNER.credentials.secret_key},
        port=0,
        buckets=(BUCKET,),
        cors_origins=cors_origins,
        public_acls=public_acls,
        encryption_key_file=encryption_key_file,
        limits=limits or Limits(reserve_bytes=0),
        metrics_port=metrics_port,
    )
    stop, started = threading.Event(), threading.Event()
    ports: list[int] = []
    failures: list[BaseException] = []

    def ready(port: int) -> None:
        ports.append(port)
        started.set()

    def run() -> None:
        try:
            serve(config, ready=ready, stop=stop, log=log or Log("store", None), now=time.time)
        except BaseException as error:  # noqa: BLE001 - raised below, in the test's thread
            failures.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="store")
    thread.start()
    assert started.wait(PATIENCE_SECONDS)
    try:
        if not failures:
            yield Store(port=ports[0], directory=directory, stop=stop)
    finally:
        stop.set()
        thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    if failures:
        raise failures[0]


def sync(path: Path) -> None:
    """Make a file, or the names in a directory, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def new_key_file(path: Path) -> Path:
    """A master key of an encrypted store."""
    path.touch(mode=0o600)
    path.write_text(secrets.token_hex(32))
    return path


class StoreProcess:
    """`python -m penstock.store` as a child, behind `prefix`: for what only a process can show, such as dying."""

    def __init__(
        self,
        directory: Path,
        *options: str,
        failpoint: str = "",
        without_fsync: bool = False,
        prefix: tuple[str, ...] = (),
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        credentials = directory / "credentials.json"
        if not credentials.exists():
            credentials.touch(mode=0o600)
            pair = SIGNER.credentials
            credentials.write_text(json.dumps({pair.access_key: pair.secret_key}))
            for path in (credentials, directory):  # a test may cut the power
                sync(path)
        environment = clean_environment(**({"PENSTOCK_STORE_FAILPOINT": failpoint} if failpoint else {}))
        program = ("-c", _WITHOUT_FSYNC) if without_fsync else ("-m", "penstock.store")
        command = (*prefix, sys.executable, *program, "--data", str(directory), "--port", "0", "--bucket", BUCKET)
        self.process = subprocess.Popen(
            [*command, "--exit-with-stdin", *options],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.directory = directory

    def __enter__(self) -> StoreProcess:  # noqa: PYI034 - not meant for inheritance
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def ready(self) -> Store:
        """The store, as soon as it says that it serves. Raises `EOFError` when it ends before that."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise EOFError("the store ended before it was ready")
        assert line.startswith("store ready http://127.0.0.1:"), line
        return Store(port=int(line.rpartition(":")[2]), directory=self.directory)

    def exit_status(self) -> int:
        """How it ended, or will end by itself."""
        return self.process.wait(PATIENCE_SECONDS)

    def end(self) -> None:
        """Let it come to an orderly end."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE_SECONDS) == 0

    def freeze(self) -> None:
        """Let it do nothing more; returns when it does nothing."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def children(self) -> list[int]:
        """The processes that serve, where there are several; the first one looks after them."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return [int(pid) for task in tasks for pid in task.joinpath("children").read_text().split()]

    def kill_all(self) -> None:
        """End it with all its children, as a power cut would; the first one first, so that it replaces nobody."""
        ends = [os.pidfd_open(pid) for pid in self.children()]
        self.kill()
        for end in ends:
            signal.pidfd_send_signal(end, signal.SIGKILL)
            assert select.select([end], [], [], PATIENCE_SECONDS)[0]
            os.close(end)

    def kill(self) -> None:
        """End it as a power cut would end a process."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_SECONDS)
