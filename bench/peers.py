"""The servers under test, each started in a directory of its own on free ports of 127.0.0.1, and stopped at the end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.processes import children, free_port, process, wait_until
from bench.servers import REGION, Server
from penstock.sigv4 import Credentials
from tests.support.server import clean_environment
from tests.support.stores import swift as swift_bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_OWN = Credentials("benchmark", "benchmark-secret")
_CEPH_BLOCK_BYTES = 48 * 1024**3  # sparse
_CEPH_CLUSTER = "11111111-2222-4333-8444-555555555555"


class NotInstalledError(Exception):
    """A peer whose programs are not on PATH; the text tells how to get them."""


@contextlib.contextmanager
def ours(
    directory: Path, *, name: str = "ours", source: Path | None = None, options: Sequence[str] = ()
) -> Iterator[Server]:
    """Our store alone, on as many processes as it offers; from another source tree if one is given."""
    directory.mkdir(parents=True)
    keys = directory / "keys.json"
    keys.touch(mode=0o600)
    keys.write_text(json.dumps({_OWN.access_key: _OWN.secret_key}), encoding="utf-8")
    environment = clean_environment(**({"PYTHONPATH": str(source / "src")} if source else {}))
    store = [sys.executable, "-m", "penstock.store"]
    if "--processes" in subprocess.run([*store, "--help"], env=environment, stdout=subprocess.PIPE, text=True).stdout:  # noqa: PLW1510 - a store that cannot do this cannot start either
        store += ["--processes", str(os.cpu_count() or 1)]
    port = free_port()
    store += ["--data", str(directory / "data"), "--port", str(port), "--credentials", str(keys), "--exit-with-stdin"]
    with process([*store, *options], log=directory / "log", environment=environment) as pid:
        yield _ready(name, _commit(source or Path()), f"http://127.0.0.1:{port}", [pid], credentials=_OWN, ours=True)


@contextlib.contextmanager
def nginx(directory: Path) -> Iterator[Server]:
    """nginx with WebDAV PUT: neither a hash nor an fsync."""
    program = _program("nginx", "apt-get install --no-install-recommends nginx-light")
    version = _output(program, "-V")
    if "http_dav_module" not in version:
        raise NotInstalledError("this nginx has no WebDAV; apt-get install --no-install-recommends nginx-light")
    for part in ("files/bench", "temporary"):
        (directory / part).mkdir(parents=True)
    port = free_port()
    (directory / "nginx.conf").write_text(_NGINX.format(port=port, user=_nginx_user()), encoding="utf-8")
    command = [program, "-p", str(directory), "-c", "nginx.conf", "-e", "log", "-g", "daemon off;"]
    with process(command, log=directory / "log") as pid:
        number = re.search(r"nginx/(\S+)", version)
        yield _ready("nginx", number.group(1) if number else "", f"http://127.0.0.1:{port}", [pid])


@contextlib.contextmanager
def swift(directory: Path) -> Iterator[Server]:
    """OpenStack Swift with its S3 API, one process per part."""
    program = _program("swift-proxy-server", "pip install swift, and its programs on PATH")
    before = set(children(os.getpid()))
    directory.mkdir(parents=True)
    with swift_bucket(directory, bucket="bench") as bucket:
        roots = set(children(os.getpid())) - before
        yield _ready("Swift", _package_version(program, "swift"), bucket.origin, roots, credentials=bucket.credentials)


@contextlib.contextmanager
def rgw(directory: Path) -> Iterator[Server]:
    """Ceph RGW over one monitor and one BlueStore OSD."""
    how = "apt-get install --no-install-recommends ceph-mon ceph-osd radosgw"
    gateway, monitor, osd = (_program(program, how) for program in ("radosgw", "ceph-mon", "ceph-osd"))
    for part in ("mon", "osd", "rgw"):
        (directory / part).mkdir(parents=True)
    (directory / "keyring").touch()
    port, monitor_port = free_port(), free_port()
    configuration = directory / "ceph.conf"
    configuration.write_text(
        _CEPH.format(at=directory, port=port, monitor_port=monitor_port, block=_CEPH_BLOCK_BYTES, id=_CEPH_CLUSTER),
        encoding="utf-8",
    )
    environment = clean_environment(CEPH_CONF=str(configuration))

    def run(*command: str) -> None:
        subprocess.run(command, env=environment, check=True, capture_output=True, cwd=directory, timeout=120)

    run(
        *("monmaptool", "--create", "--fsid", _CEPH_CLUSTER),
        *("--addv", "a", f"[v1:127.0.0.1:{monitor_port}]", str(directory / "monmap")),
    )
    run(monitor, "--mkfs", "-i", "a", "--monmap", str(directory / "monmap"))
    with contextlib.ExitStack() as stack:

        def start(*command: str) -> int:
            return stack.enter_context(process([*command, "-f"], log=directory / "log", environment=environment))

        roots = [start(monitor, "-i", "a")]
        run("ceph", "osd", "create")
        run(osd, "-i", "0", "--mkfs")
        roots.append(start(osd, "-i", "0"))
        run("ceph", "osd", "crush", "add", "osd.0", "1", "root=default", "host=localhost")
        keys = (f"--access-key={_OWN.access_key}", f"--secret-key={_OWN.secret_key}")
        run("radosgw-admin", "user", "create", "--uid=bench", "--display-name=bench", *keys)
        roots.append(start(gateway, "-n", "client.rgw"))
        version = _output(gateway, "--version").split()[2]
        yield _ready("Ceph RGW", version, f"http://127.0.0.1:{port}", roots, credentials=_OWN)


@contextlib.contextmanager
def minio(directory: Path) -> Iterator[Server]:
    """MinIO on one directory."""
    program = _program("minio", "its server binary on PATH")
    port, console = free_port(), free_port()
    environment = clean_environment(MINIO_ROOT_USER=_OWN.access_key, MINIO_ROOT_PASSWORD=_OWN.secret_key)
    addresses = ("--address", f"127.0.0.1:{port}", "--console-address", f"127.0.0.1:{console}")
    directory.mkdir(parents=True)
    with process(
        [program, "server", *addresses, str(directory / "data")], log=directory / "log", environment=environment
    ) as pid:
        version = _output(program, "--version").split()[2]
        yield _ready("MinIO", version, f"http://127.0.0.1:{port}", [pid], credentials=_OWN)


@contextlib.contextmanager
def seaweedfs(directory: Path) -> Iterator[Server]:
    """SeaweedFS: master, volume server, filer and S3 gateway in one process."""
    program = _program("weed", "the SeaweedFS binary on PATH")
    (directory / "data").mkdir(parents=True)
    identity = {
        "name": "bench",
        "credentials": [{"accessKey": _OWN.access_key, "secretKey": _OWN.secret_key}],
        "actions": ["Admin", "Read", "Write", "List"],
    }
    (directory / "s3.json").write_text(json.dumps({"identities": [identity]}), encoding="utf-8")
    port = free_port()
    parts = [f"-{part}.port={free_port()}" for part in ("master", "volume", "filer")]
    parts += [f"-{part}.port.grpc={free_port()}" for part in ("master", "volume", "filer", "s3")]
    command = [
        *(program, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={directory / 'data'}", *parts),
        *("-s3", f"-s3.port={port}", f"-s3.config={directory / 's3.json'}", "-volume.max=0"),
    ]
    with process(command, log=directory / "log") as pid:
        version = _output(program, "version").split()[2]
        yield _ready("SeaweedFS", version, f"http://127.0.0.1:{port}", [pid], credentials=_OWN)


@contextlib.contextmanager
def versitygw(directory: Path) -> Iterator[Server]:
    """The Versity gateway over a directory."""
    program = _program("versitygw", "its binary on PATH")
    (directory / "data").mkdir(parents=True)
    port = free_port()
    environment = clean_environment(ROOT_ACCESS_KEY=_OWN.access_key, ROOT_SECRET_KEY=_OWN.secret_key)
    command = [program, "--port", f"127.0.0.1:{port}", "--region", REGION, "posix", str(directory / "data")]
    with process(command, log=directory / "log", environment=environment) as pid:
        version = next(iter(re.findall(r"[Vv]ersion\s*:\s*(\S+)", _output(program, "--version"))), "")
        yield _ready("versitygw", version, f"http://127.0.0.1:{port}", [pid], credentials=_OWN)


PEERS: dict[str, Callable[[Path], contextlib.AbstractContextManager[Server]]] = {
    "nginx": nginx,
    "swift": swift,
    "rgw": rgw,
    "minio": minio,
    "seaweedfs": seaweedfs,
    "versitygw": versitygw,
}


def _ready(
    name: str,
    version: str,
    origin: str,
    roots: Sequence[int] | set[int],
    *,
    credentials: Credentials | None = None,
    ours: bool = False,
) -> Server:
    server = Server(name=name, version=version, origin=origin, roots=tuple(roots), credentials=credentials, ours=ours)
    wait_until(server.create_bucket, name)
    return server


def _program(name: str, how: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise NotInstalledError(how)
    return found


def _output(*command: str) -> str:
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    return run.stdout


def _package_version(program: str, package: str) -> str:
    """Of the Python package that brought a program; the program's first line names its interpreter."""
    with Path(program).open(encoding="utf-8") as script:
        interpreter = script.readline().removeprefix("#!").strip()
    return _output(interpreter, "-c", f"import importlib.metadata as m; print(m.version('{package}'))").strip()


def _commit(tree: Path) -> str:
    """Which version of ours: the commit, and a plus when files differ from it."""
    try:
        return _output("git", "-C", str(tree), "describe", "--always", "--dirty=+", "--exclude=*").strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _nginx_user() -> str:
    return "user root;" if os.geteuid() == 0 else ""


_NGINX = """
{user}
pid nginx.pid;
worker_processes 2;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
  access_log access.log;
  error_log log;
  client_body_temp_path temporary;
  proxy_temp_path temporary;
  fastcgi_temp_path temporary;
  uwsgi_temp_path temporary;
  scgi_temp_path temporary;
  client_max_body_size 0;
  keepalive_requests 100000000;
  keepalive_timeout 600s;
  sendfile on;
  tcp_nopush on;
  default_type application/octet-stream;
  server {{
    listen 127.0.0.1:{port} reuseport backlog=4096;
    root files;
    location / {{
      dav_methods PUT DELETE;
      create_full_put_path on;
    }}
  }}
}}
"""

_CEPH = """
[global]
fsid = {id}
mon_host = v1:127.0.0.1:{monitor_port}
public_network = 127.0.0.0/8
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
run_dir = {at}
log_file = {at}/$name.log
pid_file = {at}/$name.pid
admin_socket = {at}/$name.asok
keyring = {at}/keyring
osd_pool_default_size = 1
osd_pool_default_pg_num = 8
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
bluestore_block_size = {block}
osd_memory_target = 939524096
[mon.a]
mon_data = {at}/mon
[osd.0]
osd_data = {at}/osd
[client.rgw]
rgw_data = {at}/rgw
rgw_frontends = beast endpoint=127.0.0.1:{port}
"""
