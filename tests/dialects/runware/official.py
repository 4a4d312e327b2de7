"""The three official clients, unchanged but for address and key, making calls against a house."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.clients.tools import NODE_FOLDER, environment, missing, program

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.dialects.runware.client import Runware

_HERE = Path(__file__).parent
_SECONDS = 120
_LOOK_SECONDS = 0.05


def socket_url(acme: Runware) -> str:
    """The address of the WebSocket."""
    return "ws" + acme.base.removeprefix("http")


@dataclass(frozen=True, slots=True, kw_only=True)
class Official:
    """A client as a program of its own; `command` takes the key and the calls behind it."""

    command: Sequence[str]
    folder: Path

    def call(self, key: str, *calls: object, meanwhile: Callable[[], object] = lambda: None) -> list[Any]:
        """What came of each call (`[method, argument]`); until the end, `meanwhile` is called again and again."""
        with subprocess.Popen(
            [*self.command, key, json.dumps(calls)],
            cwd=self.folder,
            env=environment(self.folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        ) as running:
            told, errors = "", ""
            try:
                for _ in range(int(_SECONDS / _LOOK_SECONDS)):
                    meanwhile()
                    with suppress(subprocess.TimeoutExpired):
                        told, errors = running.communicate(timeout=_LOOK_SECONDS)
                        break
            finally:
                running.kill()
        assert running.returncode == 0, errors
        return list(json.loads(told))


def javascript(acme: Runware, folder: Path, query: str = "") -> Official:
    """`@runware/sdk-js` under Node."""
    if not (NODE_FOLDER / "node_modules" / "@runware").is_dir():
        missing("the official JavaScript SDK is not installed (./dev setup integration)")
    folder.mkdir(exist_ok=True)
    (folder / "node_modules").symlink_to(NODE_FOLDER / "node_modules")
    shutil.copy(_HERE / "calls.mjs", folder)
    return Official(command=(program("node"), "calls.mjs", socket_url(acme) + query), folder=folder)


def python(acme: Runware, folder: Path) -> Official:
    """`runware` 0.x, which speaks by WebSocket alone."""
    folder.mkdir(exist_ok=True)
    return Official(command=(sys.executable, str(_HERE / "calls_v0.py"), socket_url(acme)), folder=folder)


def newer_python(acme: Runware, folder: Path, transport: str) -> Official:
    """`runware-sdk`, by `rest` or `websocket`."""
    python = Path(sys.prefix) / "clients" / "runware-sdk" / "bin" / "python"
    if not python.is_file():
        missing("the newer official Python SDK is not installed (./dev setup integration)")
    folder.mkdir(exist_ok=True)
    return Official(command=(str(python), str(_HERE / "calls_v1.py"), transport, acme.base), folder=folder)
