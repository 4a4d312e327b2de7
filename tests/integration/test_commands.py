"""`penstock upload` and `penstock run` against the real server."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.support.server import PENSTOCK, clean_environment, must, run_penstock

if TYPE_CHECKING:
    from tests.support.server import Server

PHOTOGRAPH = Path(__file__).parents[2] / "examples" / "chelsea.png"


def test_an_upload_prints_id_and_address_and_no_bar_into_a_pipe(server: Server, api_key: str) -> None:
    done = must(server.command("upload", str(PHOTOGRAPH), api_key=api_key))

    asset_id, url = done.stdout.splitlines()
    assert asset_id.startswith("asset_")
    assert url.startswith(f"{server.url}/v1/media/")
    assert done.stderr == ""


def test_an_upload_prints_the_whole_asset_as_json(server: Server, api_key: str) -> None:
    done = must(server.command("upload", str(PHOTOGRAPH), "--json", "--expires-in", "3600", api_key=api_key))

    asset = json.loads(done.stdout)
    assert asset["size_bytes"] == PHOTOGRAPH.stat().st_size
    assert asset["expires_at"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads a pseudo-terminal to its end as Linux ends it")
def test_an_upload_draws_a_bar_on_a_terminal(server: Server, api_key: str) -> None:
    ours, theirs = pty.openpty()
    environment = clean_environment(PENSTOCK_URL=server.url, PENSTOCK_API_KEY=api_key, TERM="xterm", COLUMNS="100")
    process = subprocess.Popen(
        [*PENSTOCK, "upload", str(PHOTOGRAPH)], env=environment, stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    drawn = b""
    try:
        while piece := os.read(ours, 4096):
            drawn += piece
    except OSError:  # EIO: the other side has closed
        pass
    output, _ = process.communicate(timeout=60)
    os.close(ours)

    assert process.returncode == 0
    assert b"chelsea.png" in drawn
    assert b"kB" in drawn
    assert output.startswith(b"asset_")


def test_a_run_uploads_prints_and_saves(server: Server, api_key: str, tmp_path: Path) -> None:
    picture = tmp_path / "drawing.png"
    inputs = ["--input", "prompt=pencil", "--input", f"image=@{PHOTOGRAPH}", "--input", "strength:=0.5"]

    done = must(server.command("run", "builtin/stylize", *inputs, "--out", str(picture), api_key=api_key))

    run = json.loads(done.stdout)
    assert (run["state"], run["input"]["strength"]) == ("succeeded", 0.5)
    assert done.stderr == ""
    with Image.open(picture) as drawing:
        assert drawing.size == (451, 300)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "no/such-model"], "no such model"),
        (["run", "builtin/stylize"], "prompt"),
        (["run", "builtin/stylize", "--input", "prompt=oil", "--input", "strength:=2"], "strength"),
        (["run", "builtin/stylize", "--input", "prompt=oil", "--out", "/no/such/folder/x.png"], "/no/such/folder"),
    ],
)
def test_what_the_server_refuses_is_one_line(server: Server, api_key: str, arguments: list[str], words: str) -> None:
    refused = server.command(*arguments, api_key=api_key)

    assert refused.returncode == 1
    assert words in refused.stderr
    assert refused.stderr.startswith("penstock: ")
    assert refused.stderr.count("\n") == 1


def test_a_wrong_key_is_one_line(server: Server) -> None:
    refused = server.command("upload", str(PHOTOGRAPH), api_key="sk_wrong")

    assert (refused.returncode, refused.stdout) == (1, "")
    assert "a valid API key is needed" in refused.stderr


def test_a_missing_key_is_one_line() -> None:
    refused = run_penstock("upload", str(PHOTOGRAPH))

    assert refused.returncode == 1
    assert refused.stderr == "penstock: no API key: set PENSTOCK_API_KEY, or hand one over\n"


def test_address_and_key_can_be_options(server: Server, api_key: str) -> None:
    must(run_penstock("upload", str(PHOTOGRAPH), "--url", server.url, "--api-key", api_key))
