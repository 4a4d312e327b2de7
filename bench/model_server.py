"""A server of model files that are a header and then the same numbers over and over: `python -m bench.model_server`.

Prints its port. A path is a name under `files`, which come as JSON on standard input: `{"head": hex, "size": bytes,
"hole": whether zeros follow}`; `?n=…` adds that number to the header's padding, so that no two are the same file. For
each answer it prints the bytes that the network took and the seconds. Ends with its standard input.
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import sys
import threading
import time
from contextlib import suppress

import numpy as np

_PATTERN_BYTES = 64 * 2**20
_ACKNOWLEDGED = 120
"""Where `tcpi_bytes_acked` stands in `struct tcp_info` (Linux, include/uapi/linux/tcp.h)."""


def _pattern() -> bytes:
    numbers = np.random.default_rng(6).standard_normal(_PATTERN_BYTES // 4, np.float32)
    return (numbers * np.float32(0.02)).tobytes()


def main() -> None:
    """Serve until standard input ends."""
    files = json.loads(sys.stdin.readline())
    patterns = {False: memoryview(_pattern()), True: memoryview(bytes(_PATTERN_BYTES))}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        threading.Thread(target=_accept, args=(listener, files, patterns), daemon=True).start()
        sys.stdin.read()
    os._exit(0)


def _accept(listener: socket.socket, files: dict[str, dict[str, object]], patterns: dict[bool, memoryview]) -> None:
    while True:
        line, _ = listener.accept()
        threading.Thread(target=_answer, args=(line, files, patterns), daemon=True).start()


def _answer(line: socket.socket, files: dict[str, dict[str, object]], patterns: dict[bool, memoryview]) -> None:
    request = line.recv(65536).decode("latin-1")
    found = re.match(r"GET /([a-z0-9]+)(?:\?n=([0-9]+))?", request)
    assert found is not None
    file = files[found[1]]
    head, size = bytes.fromhex(str(file["head"])), int(str(file["size"]))
    if found[2]:
        head = head.replace(b'"number":"000000"', b'"number":"%06d"' % int(found[2]))
    began = time.perf_counter()
    with line, suppress(OSError):
        line.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\nETag: "v1"\r\nConnection: close\r\n\r\n' % size)
        line.sendall(head)
        left, pattern = size - len(head), patterns[bool(file["hole"])]
        try:
            while left:
                left -= line.send(pattern[: min(left, 2**20)])
        finally:
            (taken,) = struct.unpack_from(
                "<Q", line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), _ACKNOWLEDGED
            )
            print(json.dumps({"taken": taken, "seconds": time.perf_counter() - began}), flush=True)
        line.shutdown(socket.SHUT_WR)
        line.recv(1)


if __name__ == "__main__":
    main()
