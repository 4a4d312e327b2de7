"""A pool of sealed children: what they cannot do, and what becomes of a file that ends them."""

from __future__ import annotations

import socket
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

from penstock.adapters.children import (
    ChildFailedError,
    ChildPool,
    ChildProgram,
    Failure,
    NoChildError,
    NoMessageError,
    PoolOptions,
)
from penstock.ports.jobs import AttemptInterruptedError
from penstock.telemetry import Log
from tests.support.children import ended_by, stand_in

if TYPE_CHECKING:
    from pathlib import Path

PROBE = """
def attempt(action):
    try:
        action()
        return "works"
    except OSError as error:
        return type(error).__name__

def fork():
    if os.fork() == 0:
        os._exit(0)

def answer(file, request):
    return Reply(message={
        "its file": attempt(lambda: file.read(1)),
        "socket": attempt(lambda: socket.create_connection(("127.0.0.1", request["port"]), timeout=5)),
        "open": attempt(lambda: open("/etc/passwd")),
        "write": attempt(lambda: open(request["path"], "w")),
        "write its file": attempt(lambda: os.write(file.fileno(), b"x")),
        "fork": attempt(fork),
        "kill": attempt(lambda: os.kill(int(sys.argv[-1]), 0)),
        "execute": attempt(lambda: os.execv("/bin/true", ["true"])),
    })

serve(sys.argv[-2:], lambda begin: Prepared(answer=answer), most_resident_bytes=1 << 30)
"""
ECHO = """
def answer(file, request):
    return Reply(message={"child": os.getpid(), "read": file.read().decode()}, exhausted=request["exhausts"])

serve(sys.argv[-2:], lambda begin: Prepared(answer=answer), most_resident_bytes=1 << 30)
"""


def pool(python: str, **options: Any) -> ChildPool:  # noqa: ANN401 - of several types
    program = ChildProgram(name="weights", module="none", python=python)
    return ChildPool(program, Log("test", None), PoolOptions(**{"children": 1, "seconds": 60, **options}))


def ask(children: ChildPool, **request: object) -> dict[str, Any]:
    with tempfile.TemporaryFile() as file:
        file.write(b"whole")
        file.flush()
        return children.ask(request, file.fileno(), lambda message, _data: message, cancelled=lambda: False)


def test_a_child_reads_what_it_is_given_and_can_do_nothing_else(tmp_path: Path) -> None:
    children = pool(stand_in(tmp_path, PROBE))
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = ask(children, port=server.getsockname()[1], path=str(tmp_path / "new"))
    walls = children.walls()
    children.close()
    if "open" in {walls["calls"], walls["files"]}:
        pytest.skip("this kernel has no seccomp or no Landlock")

    assert done.pop("its file") == "works"
    assert done.pop("write its file") == "OSError"
    assert {name: done[name] for name in ("socket", "open", "write", "fork", "kill", "execute")} == dict.fromkeys(
        ("socket", "open", "write", "fork", "kill", "execute"), "PermissionError"
    )


def test_a_file_for_which_memory_did_not_suffice_is_given_to_a_fresh_child_once(tmp_path: Path) -> None:
    children = pool(stand_in(tmp_path, ECHO))
    first, second = ask(children, exhausts=False), ask(children, exhausts=False)
    exhausted = ask(children, exhausts=True)
    kept = children.processes()
    again = ask(children, exhausts=False)

    children.close()
    assert first["child"] == second["child"]
    assert (exhausted["exhausted"], exhausted["read"]) == (True, "whole")
    assert kept == []
    assert len({first["child"], exhausted["child"], again["child"]}) == 3


@pytest.mark.parametrize(
    ("deed", "failure"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", Failure.KILLED),
        ("os.kill(os.getpid(), signal.SIGXCPU)", Failure.TIME),
        ("os.abort()", Failure.BREAKS),
        ("sys.exit(0)", Failure.BREAKS),
        ("parents.sendall(b'x' * 100)", Failure.BREAKS),
    ],
)
def test_a_file_that_ends_two_children_has_failed(tmp_path: Path, deed: str, failure: Failure) -> None:
    children = pool(ended_by(tmp_path, deed))

    with pytest.raises(ChildFailedError) as failed:
        ask(children)
    children.close()
    assert failed.value.failure is failure


def test_a_child_that_is_told_to_end_interrupts(tmp_path: Path) -> None:
    children = pool(ended_by(tmp_path, "os.kill(os.getpid(), signal.SIGTERM)"))

    with pytest.raises(AttemptInterruptedError):
        ask(children)
    children.close()


def test_an_answer_that_is_nonsense_to_whoever_asked_counts_as_a_death(tmp_path: Path) -> None:
    children = pool(stand_in(tmp_path, ECHO))

    def read(message: dict[str, Any], data: bytes) -> None:
        raise NoMessageError

    with tempfile.TemporaryFile() as file, pytest.raises(ChildFailedError):
        children.ask({"exhausts": False}, file.fileno(), read, cancelled=lambda: False)
    left = children.processes()
    children.close()
    assert left == []


def test_without_a_child_there_is_no_answer() -> None:
    children = pool("/bin/false")

    with pytest.raises(NoChildError):
        ask(children)
    children.close()
