"""Object stores for tests: ours and OpenStack Swift, each as real processes on free ports of this machine."""

from __future__ import annotations

import getpass
import json
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.objects.s3 import Bucket
from penstock.sigv4 import Credentials, Request
from tests.support.ports import held_port
from tests.support.server import clean_environment, stop

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_START_SECONDS = 60.0
_SWIFT_PARTS = ("account", "container", "object")


class WallClock:
    """The real time: stores refuse requests that are signed at another."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@contextmanager
def embedded_store(directory: Path, *options: str, bucket: str = "penstock") -> Iterator[Bucket]:
    """`python -m penstock.store OPTIONS` on a free port, with one bucket."""
    directory.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "penstock.store", "--data", str(directory), "--port", "0"),
            *("--bucket", bucket, "--exit-with-stdin", "--no-log", *options),
        ],
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline().decode()  # ends without a line when the store ends
        assert line.startswith("store ready "), line
        access_key, secret_key = next(iter(json.loads((directory / "credentials.json").read_text()).items()))
        yield Bucket(
            endpoint=line.split()[-1],
            name=bucket,
            region="us-east-1",
            credentials=Credentials(access_key, secret_key),
        )
    finally:
        stop(process)
        process.stdin.close()
        process.stdout.close()


@contextmanager
def swift(directory: Path, *, bucket: str = "penstock") -> Iterator[Bucket]:
    """A one-machine OpenStack Swift with its S3 API, and one bucket. Skips the test when Swift is not installed."""
    if _swift_program("swift-proxy-server") is None:
        pytest.skip("OpenStack Swift is not installed (./dev setup integration)")
    with ExitStack() as stack:
        ports = {part: stack.enter_context(held_port()) for part in (*_SWIFT_PARTS, "proxy")}
        yield _started_swift(directory, bucket, ports, stack)


def _started_swift(directory: Path, bucket: str, ports: Mapping[str, int], stack: ExitStack) -> Bucket:
    (directory / "disks" / "d1").mkdir(parents=True)
    (directory / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = test\n")
    for part in _SWIFT_PARTS:
        _make_ring(directory, part, port=ports[part])
        (directory / f"{part}.conf").write_text(_part_configuration(directory, part, port=ports[part]))
    (directory / "proxy.conf").write_text(_proxy_configuration(directory, port=ports["proxy"]))
    for part in ports:
        stack.callback(stop, _start_swift(directory, part))
    place = Bucket(
        endpoint=f"http://127.0.0.1:{ports['proxy']}",
        name=bucket,
        region="us-east-1",
        credentials=Credentials("test:tester", "testing"),
    )
    _create_bucket(place)
    return place


def _create_bucket(place: Bucket) -> None:
    """Create it as soon as the store answers, and then without fault."""
    deadline = time.monotonic() + _START_SECONDS
    request = Request(method="PUT", origin=place.origin, path=f"/{place.name}", headers=(("content-length", "0"),))
    while True:
        target, headers = place.signer.sign_headers(request, now=WallClock().now())
        connection = HTTPConnection(place.origin.partition("://")[2], timeout=_START_SECONDS)
        try:
            connection.request("PUT", target, headers={"content-length": "0", **headers})
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                return
            failure = str(answer.status)
        except (OSError, HTTPException) as error:
            failure = repr(error)
        finally:
            connection.close()
        assert time.monotonic() < deadline, f"the store did not come up: {failure}"
        time.sleep(0.1)


def _swift_program(name: str) -> str | None:
    beside_python = Path(sys.executable).with_name(name)
    return str(beside_python) if beside_python.exists() else shutil.which(name)


def _make_ring(directory: Path, part: str, *, port: int) -> None:
    builder = _swift_program("swift-ring-builder")
    assert builder is not None
    ring = str(directory / f"{part}.builder")
    for arguments in (("create", "4", "1", "1"), ("add", f"r1z1-127.0.0.1:{port}/d1", "1"), ("rebalance",)):
        subprocess.run([builder, ring, *arguments], check=True, capture_output=True)


def _start_swift(directory: Path, part: str) -> subprocess.Popen[bytes]:
    program = _swift_program(f"swift-{part}-server")
    assert program is not None
    with (directory / f"{part}.log").open("wb") as log:
        return subprocess.Popen(
            [program, str(directory / f"{part}.conf")],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _defaults(directory: Path, *, port: int) -> str:
    return (
        f"[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = {port}\nworkers = 0\nuser = {getpass.getuser()}\n"
        f"swift_dir = {directory}\n"
    )


def _part_configuration(directory: Path, part: str, *, port: int) -> str:
    return (
        _defaults(directory, port=port) + f"devices = {directory}/disks\nmount_check = false\n"
        f"[pipeline:main]\npipeline = {part}-server\n[app:{part}-server]\nuse = egg:swift#{part}\n"
    )


def _proxy_configuration(directory: Path, *, port: int) -> str:
    plain = ("catch_errors", "gatekeeper", "healthcheck", "listing_formats", "bulk", "slo", "dlo", "symlink", "copy")
    return (
        _defaults(directory, port=port) + "[pipeline:main]\npipeline = catch_errors gatekeeper healthcheck cache "
        "listing_formats s3api tempauth bulk slo dlo symlink versioned_writes copy proxy-server\n"
        "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n"
        + "".join(f"[filter:{name}]\nuse = egg:swift#{name}\n" for name in plain)
        + "[filter:cache]\nuse = egg:swift#memcache\n"
        "[filter:versioned_writes]\nuse = egg:swift#versioned_writes\nallow_object_versioning = true\n"
        "[filter:s3api]\nuse = egg:swift#s3api\nlocation = us-east-1\nmax_upload_part_num = 10000\n"
        "[filter:tempauth]\nuse = egg:swift#tempauth\nuser_test_tester = testing .admin\n"
    )
