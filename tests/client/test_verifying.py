"""Reading a model's files back: both, each once, and whatever is wrong is named."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from penstock.client import DownloadError
from tests.client.scripted_server import NOW, Answer, reply, s3_error

if TYPE_CHECKING:
    from penstock.client import Penstock
    from tests.client.scripted_server import ScriptedServer

MODEL = "/v1/models/labs%3A1%401"
ORIGINAL = b"as it came"
OPTIMIZED = b"as it is served"


def model(original: bytes = ORIGINAL, optimized: bytes = OPTIMIZED) -> dict[str, Any]:
    files = {
        part: {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for part, content in (("original", original), ("optimized", optimized))
    }
    told = {"air": "labs:1@1", "urn": "urn", "owned": False, "category": "vae", "architecture": "sdxl", "name": "a"}
    dates = {"created_at": NOW, "updated_at": NOW}
    return told | dates | {"version_label": "1", "private": False, "file": {**files, "summary": {}}}


@pytest.fixture(autouse=True)
def registry(server: ScriptedServer) -> None:
    """A server whose store has what was registered."""
    server.answer("GET", MODEL, reply(model()))
    for part, content in (("original", ORIGINAL), ("optimized", OPTIMIZED)):
        there = f"{server.url}/bucket/{part}"
        server.answer("GET", f"{MODEL}/files/{part}", Answer(status=307, headers={"Location": there}))
        server.answer("GET", f"/bucket/{part}", Answer(body=content))


def test_both_files_are_read_and_told(client: Penstock) -> None:
    steps: list[tuple[str, int, int]] = []

    client.verify_model("labs:1@1", on_step=lambda *step: steps.append(step))

    assert [step for step in steps if step[1] == step[2]] == [
        ("original", len(ORIGINAL), len(ORIGINAL)),
        ("optimized", len(OPTIMIZED), len(OPTIMIZED)),
    ]


def test_one_object_under_two_names_is_read_once(client: Penstock, server: ScriptedServer) -> None:
    server.answer("GET", MODEL, reply(model(optimized=ORIGINAL)))

    client.verify_model("labs:1@1")

    assert len(server.requests("GET", "/bucket/original")) == 1
    assert server.requests("GET", "/bucket/optimized") == []


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        ({"optimized": Answer(body=b"as it is SERVED")}, "^labs:1@1 .* the optimized file: [^;]*another SHA-256[^;]*$"),
        ({"original": Answer(body=b"")}, "the original file: 0 bytes arrived instead of 10$"),
        (
            {part: s3_error(404, "NoSuchKey", "gone") for part in ("original", "optimized")},
            "the original file: .*; the optimized file: ",
        ),
    ],
)
def test_each_file_that_is_wrong_is_named(
    client: Penstock, server: ScriptedServer, broken: dict[str, Answer], named: str
) -> None:
    for part, answer in broken.items():
        server.answer("GET", f"/bucket/{part}", answer)

    with pytest.raises(DownloadError, match=named):
        client.verify_model("labs:1@1")


def test_a_model_that_gets_another_file_meanwhile_is_no_broken_one(client: Penstock, server: ScriptedServer) -> None:
    server.answer("GET", MODEL, reply(model()), reply(model(optimized=b"a new one")))
    server.answer("GET", "/bucket/optimized", Answer(body=b"a new one"))

    with pytest.raises(DownloadError, match="was given another file while it was read; verify it again"):
        client.verify_model("labs:1@1")
