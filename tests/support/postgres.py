"""A private PostgreSQL for the tests of one process: a data directory of its own, a Unix socket, no network.

`PENSTOCK_REQUIRE_POSTGRES=1` turns a missing PostgreSQL from a skip into a failure.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_SECONDS = 30.0
_PROGRAMS = Path("/usr/lib/postgresql")  # where Debian keeps them, by version, off PATH
_SETTINGS = (
    "listen_addresses=",
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=16MB",
    "max_connections=150",
    "log_min_messages=fatal",
)


class PostgresServer:
    """A running server. `url` names one of its databases."""

    def __init__(self, programs: Path, directory: Path) -> None:
        self._programs = programs
        self._directory = directory
        self._data = directory / "data"
        self._log = directory / "log"
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        # The server refuses to run as root.
        self._user: int | None = None
        self._group: int | None = None
        self._extra_groups: list[int] | None = None
        if os.geteuid() == 0:
            user = _unprivileged_user()
            self._user, self._group, self._extra_groups = user.pw_uid, user.pw_gid, []
            os.chown(directory, user.pw_uid, user.pw_gid)
        self._run(
            "initdb", "--pgdata", str(self._data), "--username=penstock", "--auth=trust", "--encoding=UTF8", "--no-sync"
        )

    def url(self, database: str = "postgres") -> str:
        """The SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://penstock@/{database}?host={self._directory}"

    @property
    def pid(self) -> int | None:
        """The server's process, while it runs."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start and wait until it answers."""
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        command = [str(self._programs / "postgres"), "-D", str(self._data), "-k", str(self._directory), *settings]
        if shutil.which("setpriv"):  # the server goes with us, however we go
            command = ["setpriv", "--pdeathsig", "QUIT", *command]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, user=self._user, group=self._group, extra_groups=self._extra_groups
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"PostgreSQL does not start: {self._log.read_text(errors='replace')}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop at once, ending all connections."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(_START_SECONDS)
            self._process = None

    def execute(self, statement: str) -> None:
        """Run a statement, outside any transaction, in the database `postgres`."""
        import psycopg  # noqa: PLC0415 - not for tests without a database

        with psycopg.connect(self.url().replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(statement.encode())

    def create_database(self, *, template: str = "template1") -> str:
        """A new database's name."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database, ending its connections."""
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _answers(self) -> bool:
        done = subprocess.run(
            [str(self._programs / "pg_isready"), "-q", "-h", str(self._directory)], check=False, capture_output=True
        )
        return done.returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            user=self._user,
            group=self._group,
            extra_groups=self._extra_groups,
        )
        if done.returncode != 0:
            pytest.fail(f"{program} failed: {done.stderr}")


def find_programs() -> Path | None:
    """The directory of the newest PostgreSQL server's programs."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = sorted(_PROGRAMS.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server for this test process."""
    programs = find_programs()
    if programs is None:
        message = "PostgreSQL's server programs (initdb, postgres) are not installed"
        if os.environ.get("PENSTOCK_REQUIRE_POSTGRES") == "1":
            pytest.fail(message)
        pytest.skip(message)
    # Not below pytest's own directory, which the unprivileged user may not enter.
    with tempfile.TemporaryDirectory(prefix="penstock-postgres-", ignore_cleanup_errors=True) as name:
        server = PostgresServer(programs, Path(name))
        server.start()
        yield server
        server.stop()


def _unprivileged_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
