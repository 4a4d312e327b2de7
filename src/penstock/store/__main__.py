"""`python -m penstock.store`: the store alone. Prints one line, `store ready http://HOST:PORT`, when it serves."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from pathlib import Path

from penstock.store.config import Limits, StoreConfig, limits_of, load_or_create_credentials
from penstock.store.encryption import EncryptionError
from penstock.store.server import DirectoryInUseError, serve
from penstock.telemetry import Log


def main() -> int:
    """Run until SIGTERM, SIGINT, or (with `--exit-with-stdin`) until the parent's pipe closes."""
    options = _options()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if options.exit_with_stdin:
        threading.Thread(target=_watch_stdin, args=(stop,), daemon=True).start()
    credentials = options.credentials or options.data / "credentials.json"
    config = StoreConfig(
        directory=options.data,
        credentials=load_or_create_credentials(credentials),
        host=options.host,
        port=options.port,
        region=options.region,
        buckets=tuple(options.bucket),
        cors_origins=tuple(options.cors_origin),
        public_acls=options.allow_public_acl,
        limits=limits_of(
            object_bytes=options.max_object_bytes,
            multipart_bytes=options.max_multipart_bytes,
            least_rate=options.min_rate,
            connections=options.connections,
            reserve_bytes=options.reserve_bytes,
        ),
        encryption_key_file=options.encryption_key_file,
        processes=options.processes,
        metrics_host=options.metrics_host,
        metrics_port=options.metrics_port,
    )

    def announce(port: int) -> None:
        host = f"[{config.host}]" if ":" in config.host else config.host
        print(f"store ready http://{host}:{port}", flush=True)  # noqa: T201 - the one line of the contract

    try:
        serve(config, ready=announce, stop=stop, log=Log("store", sys.stderr if options.log else None), now=time.time)  # noqa: TID251 - the store's one clock
    except (DirectoryInUseError, EncryptionError, OSError) as error:
        print(f"penstock.store: {error}", file=sys.stderr)  # noqa: T201 - for whoever started it
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m penstock.store", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory of the objects")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000, help="0: any free port")
    parser.add_argument("--credentials", type=Path, help="0600 JSON file; default: credentials.json in the directory")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--bucket", action="append", default=[], help="create this bucket at start")
    parser.add_argument(
        "--allow-public-acl",
        action="store_true",
        help="keep x-amz-acl: public-read and public-read-write, and serve what has it to everybody, unsigned",
    )
    parser.add_argument("--cors-origin", action="append", default=[], help="origin that browsers may call from")
    usual = Limits()
    parser.add_argument(
        "--max-object-bytes", type=int, default=usual.object_bytes, help="largest object of one request"
    )
    parser.add_argument(
        "--max-multipart-bytes", type=int, default=usual.multipart_bytes, help="largest object that comes in parts"
    )
    parser.add_argument(
        "--min-rate", type=int, default=1024, help="bytes per second, over 30 s, below which a transfer ends; 0: never"
    )
    parser.add_argument("--connections", type=int, default=usual.connections, help="most connections at a time")
    parser.add_argument(
        "--reserve-bytes", type=int, default=usual.reserve_bytes, help="free space that uploads leave alone"
    )
    parser.add_argument("--encryption-key-file", type=Path, help="0600 file of the key that encrypts what is stored")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="serve with so many; default: 1")
    parser.add_argument("--metrics-port", type=int, help="serve Prometheus metrics on this port; 0: any free port")
    parser.add_argument("--metrics-host", default="127.0.0.1", help="address of the metrics alone")
    parser.add_argument("--exit-with-stdin", action="store_true", help="stop when standard input ends")
    parser.add_argument("--no-log", dest="log", action="store_false", help="write no request log to standard error")
    return parser.parse_args()


def _watch_stdin(stop: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
