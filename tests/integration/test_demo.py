"""`./dev demo`: what a newcomer sees first."""

from __future__ import annotations

import importlib.util
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from PIL import Image

from tests.support.server import clean_environment

if TYPE_CHECKING:
    from types import ModuleType

    from tests.support.server import Server

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"
PHOTOGRAPH = DEMO.with_name("chelsea.png")


def run_demo(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (directory / "tmp").mkdir()
    return subprocess.run(
        [sys.executable, str(DEMO), *arguments],
        cwd=directory,
        env=clean_environment(TMPDIR=str(directory / "tmp")),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def load_demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_demo_makes_two_pictures_and_leaves_nothing_else(tmp_path: Path) -> None:
    done = run_demo(tmp_path)

    assert done.returncode == 0, done.stderr
    output = tmp_path / "demo-output"
    assert sorted(path.name for path in output.iterdir()) == ["chelsea-cut-out.png", "chelsea-painting.png"]
    with Image.open(output / "chelsea-cut-out.png") as cut_out, Image.open(PHOTOGRAPH) as photograph:
        assert cut_out.mode == "RGBA"
        assert cut_out.size == photograph.size
    for words in ("Uploaded chelsea.png", "Ran swook/inspyrenet", "Ran builtin/stylize", "curl "):
        assert words in done.stdout
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads a pseudo-terminal as Linux ends it")
def test_on_a_terminal_the_server_stays_up_until_ctrl_c(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = clean_environment(TMPDIR=str(tmp_path), TERM="xterm", COLUMNS="200")
    process = subprocess.Popen(
        [sys.executable, str(DEMO)], cwd=tmp_path, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = read_until(ours, b"Ctrl-C stops it")
    url = re.search(rb"Penstock answers at (http://[\d.:]+)", shown)
    assert url, shown
    with urlopen(f"{url[1].decode()}/healthz") as answer:  # noqa: S310 - an address of our own making
        assert answer.status == 200

    process.send_signal(signal.SIGINT)

    read_until(ours, b"")
    assert process.wait(40) == 0
    with pytest.raises(URLError):
        urlopen(f"{url[1].decode()}/healthz")  # noqa: S310 - likewise
    os.close(ours)


def read_until(terminal: int, words: bytes) -> bytes:
    """What the terminal shows up to the words, or up to its end when there are none."""
    shown = b""
    while not words or words not in shown:
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # EIO: the other side has closed
            assert not words, shown
            break
    return shown


def test_the_demo_takes_a_file_of_ones_own_and_says_when_there_is_none(tmp_path: Path) -> None:
    done = run_demo(tmp_path, "missing.jpg")

    assert done.returncode == 1
    assert done.stderr == "demo: no such file: missing.jpg\n"


def test_the_demo_says_why_it_failed_and_shows_the_servers_log(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("not a picture")

    done = run_demo(tmp_path, "words.txt")

    assert done.returncode == 1
    assert done.stderr.startswith("demo: text/plain is not accepted here")
    assert '"event": "api.request"' in done.stderr
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_curl_commands_that_the_demo_prints_work_in_a_plain_shell(
    server: Server, api_key: str, tmp_path: Path
) -> None:
    awkward = tmp_path / 'it\'s a "cat" & more.png'
    awkward.write_bytes(PHOTOGRAPH.read_bytes())
    commands = load_demo().curl_commands(server.url, api_key, awkward, "image/png", "by curl.png")

    done = subprocess.run(
        ["sh", "-euc", commands], cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False
    )

    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "by curl.png") as painting, Image.open(PHOTOGRAPH) as photograph:
        assert painting.size == photograph.size
