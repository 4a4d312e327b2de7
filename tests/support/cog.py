"""A real Cog server in a process of its own, with a model of ours that does what its inputs say."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.ports import held_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PATIENCE_SECONDS = 120
MODEL = textwrap.dedent("""
    import os
    import time
    import urllib.request
    from pathlib import Path as LocalPath

    from cog import BasePredictor, Input, Path


    class Predictor(BasePredictor):
        def predict(
            self,
            text: str = Input(default="hello"),
            image: Path = Input(default=None),
            what: str = Input(default="file"),
            wait_for: str = Input(default=""),
            weights: str = Input(default=""),
        ) -> object:
            if weights:
                ranged = urllib.request.Request(weights, headers={"Range": "bytes=8-15"})
                with urllib.request.urlopen(ranged) as answer:
                    return [str(answer.status), answer.read().decode()]
            print("got", text)
            if wait_for:
                print(" 40%|####      | 4/10", flush=True)
                while not os.path.exists(wait_for):
                    time.sleep(0.05)
            if what == "failure":
                raise ValueError("no such luck")
            if what == "crash":
                os._exit(3)
            if what == "text":
                return text
            made = LocalPath(os.environ["MADE"]) / "made.png"
            made.write_bytes(LocalPath(image).read_bytes() if image else b"made of " + text.encode())
            if what == "list":
                return [text, Path(made), Path(made)]
            return Path(made)
""")


@contextmanager
def cog_server(folder: Path) -> Iterator[str]:
    """The address of a Cog server in a process of its own."""
    (folder / "predict.py").write_text(MODEL)
    with held_port() as port:
        yield from _serve(folder, port)


def _serve(folder: Path, port: int) -> Iterator[str]:
    environment = {
        # Cog starts its worker with the `python` that it finds.
        "PATH": f"{os.path.dirname(sys.executable)}:/usr/bin:/bin",  # noqa: PTH120 - not resolved: the venv's own link
        "COG_PREDICT_TYPE_STUB": "predict.py:Predictor",
        "PORT": str(port),
        "MADE": str(folder),
        "HOME": str(folder),
    }
    command = [sys.executable, "-m", "cog.server.http", "--host", "127.0.0.1"]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            _wait_until_ready(port, server, folder / "server.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait_until_ready(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < ends and server.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/health-check")
            if b'"READY"' in connection.getresponse().read():
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.1)
    pytest.fail(f"the Cog server did not start: {log.read_text()}")
