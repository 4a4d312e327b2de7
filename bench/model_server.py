"""A server of model files that are a header and then the same numbers over and over: `python -m bench.model_server`.

Prints its port. A path is a name under `files`, which come as JSON on standard input: `{"head": hex, "size": bytes,
"data": `F32`, `BF16` or `zeros`, "rate": bytes per second of each answer or 0, "delay": seconds before each}`;
`?n=…` adds that number to the header's padding, so that no two are the same file. For each answer it prints the bytes
that the network took and the seconds. Ends with its standard input.
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

_REPEATED_BYTES = 2**20
_PIECE_BYTES = 2**16
_ACKNOWLEDGED = 120
"""Where `tcpi_bytes_acked` stands in `struct tcp_info` (Linux, include/uapi/linux/tcp.h)."""


def _patterns() -> dict[str, memoryview]:
    numbers = np.random.default_rng(6).standard_normal(_REPEATED_BYTES // 2, np.float32) * np.float32(0.02)
    halves = (numbers.view(np.uint32) >> 16).astype(np.uint16).tobytes()  # of any other bits, some would be NaN
    return {
        "F32": memoryview(numbers.tobytes()),
        "BF16": memoryview(halves),
        "zeros": memoryview(bytes(_REPEATED_BYTES)),
    }


def main() -> None:
    """Serve until standard input ends."""
    files = json.loads(sys.stdin.readline())
    patterns = _patterns()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        threading.Thread(target=_accept, args=(listener, files, patterns), daemon=True).start()
        sys.stdin.read()
    os._exit(0)


def _accept(listener: socket.socket, files: dict[str, dict[str, object]], patterns: dict[str, memoryview]) -> None:
    while True:
        line, _ = listener.accept()
        threading.Thread(target=_answer, args=(line, files, patterns), daemon=True).start()


def _answer(line: socket.socket, files: dict[str, dict[str, object]], patterns: dict[str, memoryview]) -> None:
    with line, suppress(OSError):
        while request := line.recv(65536).decode("latin-1"):
            found = re.match(r"GET /([a-z0-9]+)(?:\?n=([0-9]+))?", request)
            assert found is not None
            file = files[found[1]]
            head, size = bytes.fromhex(str(file["head"])), int(str(file["size"]))
            if found[2]:
                head = head.replace(b'"number":"000000"', b'"number":"%06d"' % int(found[2]))
            began = time.perf_counter()
            time.sleep(float(str(file["delay"])))
            try:
                _send(line, head, patterns[str(file["data"])], _span(request, size), rate=int(str(file["rate"])))
            finally:
                (taken,) = struct.unpack_from(
                    "<Q", line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), _ACKNOWLEDGED
                )
                told = json.dumps({"taken": taken, "seconds": time.perf_counter() - began})
                print(f"{told}\n", end="", flush=True)  # in one piece, for there are other threads
            if "connection: close" in request.lower():
                break
        line.shutdown(socket.SHUT_WR)
        line.recv(1)


def _span(request: str, size: int) -> tuple[int, int, int]:
    """First byte, the one behind the last, and the size of all."""
    asked = re.search(r"\r\nrange: bytes=([0-9]+)-([0-9]*)\r\n", request, re.IGNORECASE)
    if asked is None:
        return 0, size, size
    return int(asked[1]), int(asked[2]) + 1 if asked[2] else size, size


def _send(line: socket.socket, head: bytes, pattern: memoryview, span: tuple[int, int, int], *, rate: int) -> None:
    at, end, size = span
    status = b"200 OK"
    if end - at < size:
        status = b"206 Partial Content\r\nContent-Range: bytes %d-%d/%d" % (at, end - 1, size)
    line.sendall(b'HTTP/1.1 %b\r\nContent-Length: %d\r\nETag: "v1"\r\n\r\n' % (status, end - at))
    began, sent, piece = time.perf_counter(), 0, _PIECE_BYTES if rate else _REPEATED_BYTES
    while at < end:
        data = memoryview(head)[at:end] if at < len(head) else _repeated(pattern, at - len(head), end - at)
        count = line.send(data[:piece])
        at, sent = at + count, sent + count
        if rate:
            time.sleep(max(0.0, sent / rate - (time.perf_counter() - began)))


def _repeated(pattern: memoryview, at: int, most: int) -> memoryview:
    begin = at % _REPEATED_BYTES
    return pattern[begin : min(_REPEATED_BYTES, begin + most)]


if __name__ == "__main__":
    main()
