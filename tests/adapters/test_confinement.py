"""What the child reports about its confinement is what it can and cannot do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from penstock.adapters.runners.builtin import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = """
import json, os, resource, socket, sys
from pathlib import Path
from penstock.adapters.confinement import Limits, confine_files, confine_process

order = json.loads(sys.argv[1])

def attempt(action):
    try:
        action()
        return "works"
    except OSError as error:
        return type(error).__name__

own = Path(order["own"])
report = confine_process(Limits(**order["limits"]), parent=order["parent"])
report["files"] = confine_files(own)
print(json.dumps({
    "report": report,
    "connect": attempt(lambda: socket.create_connection(("127.0.0.1", order["port"]), timeout=5).close()),
    "read elsewhere": attempt(lambda: Path(order["secret"]).read_bytes()),
    "write elsewhere": attempt(lambda: Path(order["secret"]).with_name("new").write_bytes(b"x")),
    "write own": attempt(lambda: (own / "new").write_bytes(b"x")),
    "read own": attempt(lambda: (own / "new").read_bytes()),
    "read code": attempt(lambda: Path(os.__file__).read_bytes()),
    "limits": {name: resource.getrlimit(getattr(resource, "RLIMIT_" + name)) for name in report["limits"].split()},
    "uid": os.getuid(),
}))
"""


@pytest.fixture
def confined(tmp_path: Path) -> Iterator[dict[str, Any]]:
    own, foreign = tmp_path / "own", tmp_path / "foreign"
    own.mkdir()
    foreign.mkdir()
    (foreign / "secret").write_text("hush")
    with socket.create_server(("127.0.0.1", 0)) as server:
        order = {
            "own": str(own),
            "secret": str(foreign / "secret"),
            "port": server.getsockname()[1],
            "parent": os.getpid(),
            "limits": asdict(Limits(memory_bytes=1 << 30, cpu_seconds=7, file_bytes=1000, open_files=20)),
        }
        command = [sys.executable, "-I", "-c", PROGRAM, json.dumps(order)]
        yield json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_the_network_is_gone_where_the_report_says_so(confined: dict[str, Any]) -> None:
    expected = {"none": {"OSError", "PermissionError"}, "open": {"works"}}[confined["report"]["network"]]

    assert confined["connect"] in expected


def test_foreign_files_are_out_of_reach_where_the_report_says_so(confined: dict[str, Any]) -> None:
    expected = {"code and own folder": "PermissionError", "open": "works"}[confined["report"]["files"]]

    assert (confined["read elsewhere"], confined["write elsewhere"]) == (expected, expected)


def test_own_files_and_code_stay_within_reach(confined: dict[str, Any]) -> None:
    assert (confined["write own"], confined["read own"], confined["read code"]) == ("works", "works", "works")


def test_every_limit_reported_is_in_force(confined: dict[str, Any]) -> None:
    limits = confined["limits"]

    assert {"AS", "CPU", "FSIZE", "NOFILE", "CORE"} <= set(limits)
    assert (limits["AS"], limits["CPU"], limits["CORE"]) == ([1 << 30] * 2, [7, 8], [0, 0])
    assert (limits["FSIZE"], limits["NOFILE"]) == ([1000, 1000], [20, 20])


def test_the_user_stays_the_same(confined: dict[str, Any]) -> None:
    assert confined["uid"] == os.getuid()


SEALED = """
import json, os, resource, socket, sys, threading
from penstock.adapters.confinement import Limits, confine_files, confine_process
from penstock.adapters.seccomp import refuse_system_calls

parent, secret, port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def attempt(action):
    try:
        action()
        return "works"
    except (OSError, RuntimeError) as error:
        return type(error).__name__

def fork():
    if os.fork() == 0:
        os._exit(0)

descriptor = os.open(secret, os.O_RDONLY)
report = confine_process(Limits(threads=0), parent=parent)
report["files"] = confine_files(None)
report["calls"] = refuse_system_calls()
told = {
    "report": report,
    "connect": attempt(lambda: socket.create_connection(("127.0.0.1", port), timeout=5).close()),
    "open": attempt(lambda: os.close(os.open(secret, os.O_RDONLY))),
    "open code": attempt(lambda: os.close(os.open(os.__file__, os.O_RDONLY))),
    "list": attempt(lambda: os.listdir("/")),
    "fork": attempt(fork),
    "thread": attempt(threading.Thread(target=int).start),
    "execute": attempt(lambda: os.execv("/bin/true", ["true"])),
    "signal": attempt(lambda: os.kill(parent, 0)),
    "trace": attempt(lambda: os.readlink("/proc/self/exe")),
    "read what was open": attempt(lambda: os.read(descriptor, 4)),
}
os.write(1, json.dumps(told).encode())
"""


@pytest.fixture
def sealed(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What a process can do that needs no more files: a decoder of media."""
    secret = tmp_path / "secret"
    secret.write_text("hush")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        command = [sys.executable, "-I", "-c", SEALED, str(os.getpid()), str(secret), str(port)]
        yield json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_a_sealed_process_reads_what_was_open_and_nothing_else(sealed: dict[str, Any]) -> None:
    if (sealed["report"]["files"], sealed["report"]["calls"]) == ("open", "open"):
        pytest.skip("this kernel has neither Landlock nor seccomp")

    assert sealed["read what was open"] == "works"
    assert (sealed["open"], sealed["open code"]) == ("PermissionError", "PermissionError")


def test_a_sealed_process_starts_calls_and_signals_nobody(sealed: dict[str, Any]) -> None:
    if sealed["report"]["calls"] == "open":
        pytest.skip("this kernel has no seccomp")

    attempts = ("connect", "list", "fork", "execute", "signal", "trace")
    assert {name: sealed[name] for name in attempts} == dict.fromkeys(attempts, "PermissionError")
    assert sealed["thread"] == "RuntimeError"
