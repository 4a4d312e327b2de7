"""A real `penstock serve` for tests: processes of its own, free ports, a data directory of the test's choice."""

from __future__ import annotations

import itertools
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import IO, TYPE_CHECKING
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from penstock.app import Administration

PARTS = ("store", "api", "worker")
PENSTOCK = (sys.executable, "-m", "penstock")
READY = re.compile(r"Penstock is ready: API (\S+), objects (\S+)")
_START_SECONDS = 150.0  # a machine with much else to do takes its time
_STOP_SECONDS = 35.0  # the server promises 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that answers. `log` is the file that its parts write to."""

    url: str
    objects_url: str
    data: Path
    log: Path
    process: subprocess.Popen[bytes]
    environment: Mapping[str, str]
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def command(self, *arguments: str, api_key: str = "") -> subprocess.CompletedProcess[str]:
        """Run `penstock` on this server's data directory and address, and wait for its end."""
        environment = {**self.environment, "PENSTOCK_DATA": str(self.data), "PENSTOCK_URL": self.url}
        if api_key:
            environment["PENSTOCK_API_KEY"] = api_key
        return run_penstock(*arguments, environment=environment)

    def create_account(self, *, credits_usd: str = "100") -> str:
        """A new account's name."""
        name = f"account-{next(self._numbers)}"
        with self._office() as verbs:
            verbs.create_account(name, Decimal(credits_usd))
        return name

    def create_key(self, account: str | None = None, *, credits_usd: str = "100", scopes: Sequence[str] = ()) -> str:
        """A new key, of the account or of a new one."""
        account = account or self.create_account(credits_usd=credits_usd)
        with self._office() as verbs:
            return verbs.create_key(account, tuple(scopes))[1]

    @contextmanager
    def _office(self) -> Iterator[Administration]:
        """The operator's verbs in this process: a command takes a second, and is tested for itself in tests/cli."""
        from penstock.app import administration  # noqa: PLC0415 - not for tests without a server
        from penstock.settings import Settings  # noqa: PLC0415 - likewise

        with patch.dict(os.environ, self.environment, clear=True):
            settings = Settings(data=self.data)
        with administration(settings) as verbs:
            yield verbs

    def part_pid(self, part: str) -> int:
        """The process of `api`, `store` or `worker`; of the supervisor for `serve`."""
        return int((self.data / f"{part}.lock").read_text().split()[0])

    def logged(self) -> str:
        """What the server has logged so far."""
        return self.log.read_text(errors="replace")


def clean_environment(**extra: str) -> dict[str, str]:
    """Our environment without settings of a developer's own Penstock."""
    own = {
        name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_") and name != "DATABASE_URL"
    }
    return own | extra


def run_penstock(
    *arguments: str, environment: Mapping[str, str] | None = None, seconds: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run `penstock` to its end."""
    return subprocess.run(
        [*PENSTOCK, *arguments],
        env=environment if environment is not None else clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def must(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """The command, which must have succeeded."""
    assert done.returncode == 0, f"{done.args} ended with {done.returncode}: {done.stderr}"
    return done


@contextmanager
def running_server(
    data: Path, *options: str, environment: Mapping[str, str] | None = None, log: Path | None = None
) -> Iterator[Server]:
    """`penstock serve --data DATA --port 0 --store-port 0 OPTIONS`, ready; stopped with SIGTERM at the end."""
    environment = dict(environment) if environment is not None else clean_environment()
    log = log or data.with_name(f"{data.name}.log")
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [*PENSTOCK, "serve", "--data", str(data), "--port", "0", "--store-port", "0", *options],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stream,
        )
    assert process.stdout is not None
    try:
        ready = READY.fullmatch(read_ready_line(process.stdout, log))
        assert ready
        yield Server(url=ready[1], objects_url=ready[2], data=data, log=log, process=process, environment=environment)
    finally:
        stop(process)
        process.stdout.close()


def read_ready_line(output: IO[bytes], log: Path) -> str:
    """Wait for the line that says that requests can be served."""
    deadline = time.monotonic() + _START_SECONDS
    text = b""
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while not text.endswith(b"\n"):
            came = selector.select(max(0.0, deadline - time.monotonic()))
            chunk = os.read(output.fileno(), 4096) if came else b""
            if not chunk:
                tail = log.read_text(errors="replace")[-4000:]
                raise AssertionError(f"the server did not become ready; it printed {text!r} and logged:\n{tail}")
            text += chunk
    return text.decode().removesuffix("\n")


def stop(process: subprocess.Popen[bytes]) -> int:
    """Stop a process we started: SIGTERM, and SIGKILL when it takes too long. Its exit status."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def wait_until(holds: Callable[[], bool], what: str, *, seconds: float = 60.0) -> None:
    """Wait for a condition that other processes bring about; fails when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain: {what}"
        time.sleep(0.02)
