"""A proxy that ends TLS in front of the store and passes on bytes as they are, with a certificate made for the test."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.clients.tools import program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ADDRESS = "127.0.0.1"
_PATIENCE_SECONDS = 30.0


def make_certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody but the test trusts, and its key, in one file."""
    path = folder / "certificate.pem"
    subprocess.run(
        [
            *(program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "2", "-subj", "/CN=penstock test", "-addext", f"subjectAltName=IP:{_ADDRESS}"),
            *("-keyout", str(path), "-out", str(folder / "public.pem")),
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + (folder / "public.pem").read_text())
    return path


@contextmanager
def tls_in_front_of(url: str, certificate: Path) -> Iterator[str]:
    """The https address of a proxy for the http address `url`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((_ADDRESS, 0)))
        port: int = listener.getsockname()[1]
        threads: list[threading.Thread] = []

        def serve() -> None:
            while True:
                client, _ = listener.accept()
                if stopping.is_set():
                    client.close()
                    return
                pair = (client, (parts.hostname, parts.port), context)
                threads.append(threading.Thread(target=_relay, args=pair, daemon=True))
                threads[-1].start()

        stopping = threading.Event()
        accepting = threading.Thread(target=serve, daemon=True)
        accepting.start()
        try:
            yield f"https://{_ADDRESS}:{port}"
        finally:
            stopping.set()
            socket.create_connection((_ADDRESS, port)).close()
            for thread in (accepting, *threads):
                thread.join(_PATIENCE_SECONDS)


def _relay(client: socket.socket, target: tuple[str, int], context: ssl.SSLContext) -> None:
    """One connection, until either side ends it."""
    with (
        suppress(OSError),
        context.wrap_socket(client, server_side=True) as outer,
        socket.create_connection(target) as inner,
    ):
        answers = threading.Thread(target=_pass_on, args=(inner, outer), daemon=True)
        answers.start()
        _pass_on(outer, inner)
        answers.join(_PATIENCE_SECONDS)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
