"""Somebody else's server, on this machine: each path does what the test scripts, down to the byte and the reset."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import struct
import threading
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.repeatable import NOON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ADDRESS = "127.0.0.1"
_PATIENCE_SECONDS = 30.0


@dataclass(slots=True, kw_only=True)
class Visit:
    """One request, and the connection to answer it on. Header names are lower case."""

    method: str
    target: str
    headers: dict[str, str]
    line: socket.socket
    gone: threading.Event
    body: bytes = b""
    stays: bool = False
    """Whether the connection waits for the next request afterwards."""

    def send(self, data: bytes) -> None:
        """Some bytes, as they are."""
        self.line.sendall(data)

    def answer(self, status: str, body: bytes = b"", **headers: str) -> None:
        """A whole answer; `_` in a header's name stands for `-`."""
        self.head(status, Content_Length=str(len(body)), **headers)
        self.send(body)

    def head(self, status: str, **headers: str) -> None:
        """The head of an answer, with these headers and no others."""
        lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
        self.send(f"HTTP/1.1 {status}\r\n{''.join(lines)}\r\n".encode("latin-1"))

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self.line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.line.close()

    def stay_silent(self) -> None:
        """Until the visitor has left, or the server stops."""
        self.line.settimeout(0.05)
        while not self.gone.is_set():
            try:
                if not self.line.recv(1):
                    return
            except TimeoutError:
                continue
            except OSError:
                return


@dataclass(slots=True, kw_only=True)
class Remote:
    """A running server. `routes` say what a path (without query) does; `visits` are the requests as they came."""

    port: int
    scheme: str
    routes: dict[str, Callable[[Visit], None]] = field(default_factory=dict)
    visits: list[Visit] = field(default_factory=list)

    def url(self, target: str = "/file", *, host: str = ADDRESS) -> str:
        """A URL of this server."""
        return f"{self.scheme}://{host}:{self.port}{target}"

    def on(self, path: str, *handlers: Callable[[Visit], None]) -> None:
        """What the first, second … visit of a path gets; the last handler stays."""
        left = list(handlers)
        lock = threading.Lock()

        def handle(visit: Visit) -> None:
            with lock:
                handler = left.pop(0) if len(left) > 1 else left[0]
            handler(visit)

        self.routes[path] = handle


def serving(
    data: bytes, *, etag: str | None = '"v1"', ranges: bool = True, cut: int | None = None, **more: str
) -> Callable[[Visit], None]:
    """A file as a good server sends it, with ranges under `If-Range`; `cut`: it ends after so many bytes."""
    named = {"ETag": etag} if etag is not None else {}

    def handle(visit: Visit) -> None:
        start, end = _range(visit, etag, len(data)) if ranges else (0, len(data))
        part = data[start:end]
        if len(part) < len(data):
            span = f"bytes {start}-{end - 1}/{len(data)}"
            visit.head("206 Partial Content", Content_Length=str(len(part)), Content_Range=span, **named, **more)
        else:
            visit.head("200 OK", Content_Length=str(len(part)), **named, **more)
        if visit.method != "HEAD":
            with suppress(OSError):
                visit.send(part[:cut])
                visit.stays = cut is None and "connection" not in visit.headers

    return handle


def redirecting(location: str, status: str = "302 Found") -> Callable[[Visit], None]:
    """A redirect."""
    return lambda visit: visit.answer(status, Location=location)


def _range(visit: Visit, etag: str | None, size: int) -> tuple[int, int]:
    asked = visit.headers.get("range", "")
    if not asked.startswith("bytes=") or visit.headers.get("if-range") != etag:
        return 0, size
    first, last = asked.removeprefix("bytes=").split("-")
    return int(first), int(last) + 1 if last else size


@contextmanager
def remote_server(*, certificate: Path | None = None, address: str = ADDRESS) -> Iterator[Remote]:
    """A server on loopback, over TLS when there is a certificate."""
    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    gone = threading.Event()
    threads: list[threading.Thread] = []
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((address, 0)))
        remote = Remote(port=listener.getsockname()[1], scheme="http" if tls is None else "https")

        def accept() -> None:
            while True:
                line, _ = listener.accept()
                if gone.is_set():
                    line.close()
                    return
                threads.append(threading.Thread(target=_serve, args=(remote, line, tls, gone), daemon=True))
                threads[-1].start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield remote
        finally:
            gone.set()
            socket.create_connection((address, remote.port)).close()
            for thread in (accepting, *threads):
                thread.join(_PATIENCE_SECONDS)


def _serve(remote: Remote, line: socket.socket, tls: ssl.SSLContext | None, gone: threading.Event) -> None:
    with suppress(OSError), ExitStack() as stack:
        stack.enter_context(line)
        line.settimeout(_PATIENCE_SECONDS)
        if tls is not None:
            line = stack.enter_context(tls.wrap_socket(line, server_side=True))
        while _answered(remote, line, gone):
            pass


def _answered(remote: Remote, line: socket.socket, gone: threading.Event) -> bool:
    """Take one request and answer it; whether the connection waits for another."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = line.recv(65536)
        if not data:
            return False
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    request, *fields = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in fields)}
    method, target, _ = request.split(" ")
    while len(body) < int(headers.get("content-length", "0")):
        data = line.recv(65536)
        if not data:
            return False
        body += data
    visit = Visit(target=target, headers=headers, line=line, gone=gone, method=method, body=body)
    remote.visits.append(visit)
    handler = remote.routes.get(target.partition("?")[0])
    if handler is None:
        visit.answer("404 Not Found")
    else:
        handler(visit)
    return visit.stays and not gone.is_set()


def make_certificate(folder: Path, *, names: tuple[str, ...] = (), addresses: tuple[str, ...] = ()) -> Path:
    """A certificate for these names and addresses, which nobody trusts who is not told to, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "penstock test")])
    alternatives = [
        *(x509.DNSName(name) for name in names),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses),
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOON - timedelta(days=3650))
        .not_valid_after(NOON + timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
