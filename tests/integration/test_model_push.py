"""`penstock models push` and the SDK's `push_model`: what was interrupted goes on, and what is doubtful is asked."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from penstock.cli.model_telling import Telling
from penstock.cli.progress import display
from penstock.client import (
    AsyncPenstock,
    ConnectionFailedError,
    InParts,
    InvalidRequestError,
    ModelUploadFailedError,
    NotFoundError,
    Penstock,
    UploadError,
)
from tests.support.model_files import write_wide_lora
from tests.support.remote import remote_server, serving
from tests.support.server import PENSTOCK, clean_environment, must, running_server, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from penstock.client import Upload
    from tests.support.model_files import ModelFiles
    from tests.support.server import Server

SAID: dict[str, Any] = {"category": "lora", "architecture": "sdxl", "name": "Rivers", "version_label": "v1"}
MIB = 2**20
ONE_BY_ONE = InParts(at_least=MIB, part_size=5 * MIB, connections=1)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="holds programs up by what Linux has for it")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that takes files which are not what was declared."""
    data = tmp_path_factory.mktemp("server") / "data"
    with running_server(data, "--dev", environment=clean_environment(PENSTOCK_MODEL_CHECK="warn")) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server, api_key: str) -> Iterator[Penstock]:
    with Penstock(server.url, api_key) as opened:
        opened.create_model_source("push")
        yield opened


@pytest.fixture(scope="module")
def lora(model_files: ModelFiles) -> Path:
    return model_files.path("lora/sdxl_kohya")


def sha256_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def uploads_of(client: Penstock, file: Path) -> list[Upload]:
    """Every upload of exactly these bytes, newest first."""
    name = f"{sha256_of(file)}.safetensors"
    return [one for one in client.uploads() if one.filename == name]


def started(server: Server, api_key: str, *arguments: str, stderr: int) -> subprocess.Popen[bytes]:
    environment = clean_environment(PENSTOCK_URL=server.url, PENSTOCK_API_KEY=api_key)
    return subprocess.Popen(
        [*PENSTOCK, "models", "push", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
    )


def test_a_push_that_was_killed_goes_on_where_it_stood(
    server: Server, client: Penstock, api_key: str, lora: Path, tmp_path: Path
) -> None:
    file = write_wide_lora(tmp_path / "large.safetensors", lora, rank=170)
    words = (str(file), "--air", "push:1@1", "--architecture", "sdxl")
    # Of such a pipe each line has to be read before the next but one is written: so the program waits where we want it.
    ours, theirs = os.pipe2(os.O_DIRECT | os.O_CLOEXEC)
    os.set_inheritable(theirs, True)
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
    process = started(server, api_key, *words, stderr=theirs)
    os.close(theirs)
    while b"sent: 70 %" not in (line := os.read(ours, 4096)):
        assert line, "the program ended before it had sent so much"
    (begun,) = uploads_of(client, file)
    wait_until(lambda: len(client.received_parts(begun.id)) > 1, "parts arrive")
    process.kill()
    process.wait()
    os.close(ours)
    arrived = {part.part_number for part in client.received_parts(begun.id)}

    again = must(server.command("models", "push", *words, api_key=api_key))

    told = re.search(r"goes on at (\d+) %", again.stderr)
    assert 1 < len(arrived) < (begun.part_count or 0)
    assert told
    assert int(told[1]) >= 100 * len(arrived - {begun.part_count}) * 16 * MIB // file.stat().st_size
    assert [one.id for one in uploads_of(client, file)] == [begun.id]
    model = client.registered_model("push:1@1")
    assert model.file is not None
    assert model.file.original.sha256 == sha256_of(file)


class CutError(Exception):
    """What a connection that is lost for good would be."""


def cut_after(sent: int) -> Callable[[str, int, int], None]:
    """Ends a push once so many bytes were sent."""

    def on_step(step: str, done: int, total: int) -> None:
        if step == "send" and sent <= done < total:
            raise CutError

    return on_step


class Counting(httpx2.HTTPTransport):
    """Counts what is PUT to the object store."""

    puts = 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.puts += request.method == "PUT"
        return super().handle_request(request)


def test_only_the_parts_that_are_missing_are_sent(
    server: Server, client: Penstock, api_key: str, lora: Path, tmp_path: Path
) -> None:
    file = write_wide_lora(tmp_path / "streams.safetensors", lora, rank=32)
    with pytest.raises(CutError):
        client.push_model(file, "push:2@1", parts=ONE_BY_ONE, on_step=cut_after(11 * MIB), **SAID)
    steps: list[tuple[str, int, int]] = []
    renamed = file.rename(tmp_path / "rivers.safetensors")
    counting = Counting()

    with Penstock(server.url, api_key, transport=counting) as again:
        model = again.push_model(
            renamed, "push:2@1", parts=ONE_BY_ONE, on_step=lambda *step: steps.append(step), **SAID
        )

    assert model.file is not None
    assert model.file.original.sha256 == sha256_of(renamed)
    assert counting.puts == 2
    assert next(step for step in steps if step[0] == "send") == ("send", 10 * MIB, renamed.stat().st_size)
    assert list(dict.fromkeys(step for step, _, _ in steps)) == ["hash", "compare", "send"]


def test_another_version_of_a_file_is_sent_from_its_beginning(client: Penstock, lora: Path, tmp_path: Path) -> None:
    file = write_wide_lora(tmp_path / "rivers.safetensors", lora, rank=31)
    with pytest.raises(CutError):
        client.push_model(file, "push:3@1", parts=ONE_BY_ONE, on_step=cut_after(11 * MIB), **SAID)
    steps: list[tuple[str, int, int]] = []
    size = file.stat().st_size
    with file.open("r+b") as stream:
        stream.seek(size - 100)
        stream.write(b"\1")

    model = client.push_model(file, "push:3@1", parts=ONE_BY_ONE, on_step=lambda *step: steps.append(step), **SAID)

    assert next(step for step in steps if step[0] == "send") == ("send", 0, size)
    assert model.file is not None
    assert model.file.original.sha256 == sha256_of(file)


def test_a_file_that_is_written_to_while_it_is_sent_is_not_registered(
    client: Penstock, lora: Path, tmp_path: Path
) -> None:
    file = write_wide_lora(tmp_path / "rivers.safetensors", lora, rank=30)

    def write(step: str, done: int, total: int) -> None:
        if step == "send" and total == done:
            with file.open("r+b") as stream:
                stream.seek(total - 100)
                stream.write(b"\1")

    with pytest.raises(UploadError, match="written to while it was sent"):
        client.push_model(file, "push:4@1", parts=ONE_BY_ONE, on_step=write, **SAID)

    with pytest.raises(NotFoundError):
        client.registered_model("push:4@1")


def test_what_is_wrong_with_the_words_is_said_before_anything_is_sent(
    client: Penstock, lora: Path, tmp_path: Path
) -> None:
    file = write_wide_lora(tmp_path / "rivers.safetensors", lora, rank=2)

    with pytest.raises(InvalidRequestError, match="default_weight"):
        client.push_model(file, "push:5@1", **SAID, default_weight=40)

    assert uploads_of(client, file) == []


def test_bytes_that_are_there_are_not_sent_again(server: Server, client: Penstock, api_key: str, lora: Path) -> None:
    """Not after a registration that failed, and not to a model that has them; the asynchronous client's no less."""
    steps: list[tuple[str, int, int]] = []
    wrong = lora.with_name("wrong.safetensors")
    wrong.write_bytes(bytes(1000))
    for _ in range(2):
        with pytest.raises(ModelUploadFailedError, match="not_safetensors"):
            client.push_model(wrong, "push:6@1", on_step=lambda *step: steps.append(step), **SAID)

    async def push(version: str) -> str:
        async with AsyncPenstock(server.url, api_key) as there:
            said = {**SAID, "version_label": version}
            return (await there.push_model(lora, "push:7@1", on_step=lambda *step: steps.append(step), **said)).urn

    urn = asyncio.run(push("first"))
    asyncio.run(push("second"))

    assert [step for step in steps if step[0] in {"send", "kept"} and step[1] == step[2]] == [
        ("send", 1000, 1000),
        ("send", 1000, 1000),
        ("send", lora.stat().st_size, lora.stat().st_size),
        ("kept", lora.stat().st_size, lora.stat().st_size),
    ]
    assert len(uploads_of(client, wrong)) == len(uploads_of(client, lora)) == 1
    assert urn == "urn:air:sdxl:lora:push:7@1"
    assert client.registered_model("push:7@1").version_label == "second"
    assert next(client.model_uploads(page_size=1)).unique_identifier == sha256_of(lora)


def test_a_registration_that_goes_on_is_followed(
    server: Server, client: Penstock, api_key: str, lora: Path, tmp_path: Path
) -> None:
    file = write_wide_lora(tmp_path / "rivers.safetensors", lora, rank=3)
    worker = server.part_pid("worker")
    words = (str(file), "--air", "push:8@1", "--architecture", "sdxl")
    os.kill(worker, signal.SIGSTOP)
    try:
        process = started(server, api_key, *words, stderr=subprocess.PIPE)
        assert process.stderr is not None
        lines = iter(process.stderr.readline, b"")
        assert any(b"validated" in line for line in lines)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read().decode()
        process.stderr.close()
        steps: list[str] = []

        def on_step(step: str, _done: int, _total: int) -> None:
            steps.append(step)
            if step == "follow":
                os.kill(worker, signal.SIGCONT)

        model = client.push_model(file, "push:8@1", on_step=on_step, name="Streams")
    finally:
        os.kill(worker, signal.SIGCONT)

    assert process.wait() == 130
    assert "the server goes on with it (modelupload_" in said
    assert "push it again to follow it" in said
    assert list(dict.fromkeys(steps)) == ["hash", "follow", "kept"]
    assert (model.name, model.architecture) == ("Streams", "sdxl")


def test_a_file_from_a_url_that_is_on_its_way_is_followed_and_not_fetched_again(
    server: Server, client: Penstock, api_key: str, lora: Path
) -> None:
    worker = server.part_pid("worker")
    with remote_server() as remote:
        remote.on("/rivers.safetensors", serving(lora.read_bytes()))
        url = remote.url("/rivers.safetensors")
        words = ("models", "push", url, "--air", "push:20@1", "--category", "lora", "--architecture", "sdxl")
        os.kill(worker, signal.SIGSTOP)
        try:
            client.register_model("push:20@1", url=url, **SAID, unique_identifier=url)
            process = started(server, api_key, *words[2:], "--name", "Streams", stderr=subprocess.PIPE)
            assert process.stderr is not None
            assert any(b"is followed" in line for line in iter(process.stderr.readline, b""))
        finally:
            os.kill(worker, signal.SIGCONT)
        said = process.stderr.read().decode()
        process.stderr.close()

        assert process.wait(60) == 0, said
        assert client.registered_model("push:20@1").name == "Streams"
        assert len(remote.visits) == 1


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("s3://bucket/rivers.safetensors", "cannot be fetched; an https URL can"),
        (".", "is a directory; a model is one"),
    ],
)
def test_what_cannot_be_pushed_is_refused_with_what_can(
    server: Server, client: Penstock, api_key: str, what: str, why: str
) -> None:
    refused = server.command("models", "push", what, "--air", "push:21@1", api_key=api_key)

    assert client.model_sources()
    assert refused.returncode == 1
    assert why in refused.stderr


def test_a_server_that_is_away_for_a_moment_is_waited_for_and_that_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Once, until something goes on; a pause that is over at once is not worth a word."""
    with display() as shown:
        telling = Telling("push:22@1", "rivers", shown, quiet=False)
        for pause in (0.2, 0.8, 1.6):
            telling.retried(ConnectionFailedError("no answer from there"), pause)
        first = capsys.readouterr().err
        telling.step("send", 1, 2)
        telling.retried(ConnectionFailedError("no answer from there"), 0.8)

    assert first == "penstock: no answer from there; trying again for about a minute\n"
    assert first in capsys.readouterr().err


def test_a_file_that_is_there_already_is_not_told_to_be_sent(capsys: pytest.CaptureFixture[str]) -> None:
    with display() as shown:
        Telling("push:23@1", "rivers", shown, quiet=False).step("send", 100 * MIB, 100 * MIB)

    assert capsys.readouterr().err == "penstock: push:23@1: all of the file had arrived already; nothing is sent\n"


def test_a_file_that_is_not_what_is_declared_wants_a_decision(
    server: Server, client: Penstock, api_key: str, lora: Path
) -> None:
    words = ("models", "push", str(lora), "--category", "vae", "--architecture", "sdxl", "--air")

    alone = server.command(*words, "push:9@1", api_key=api_key)
    unasked = list(client.model_uploads())
    decided = must(server.command(*words, "push:9@1", "--despite-mismatch", api_key=api_key))
    refused = at_terminal(server, api_key, *words, "push:10@1", answers="n\n")
    agreed = at_terminal(server, api_key, *words, "push:11@1", answers="y\n")

    assert alone.returncode == 1
    assert "It is no VAE" in alone.stderr
    assert "--despite-mismatch goes on" in alone.stderr
    assert "push:9@1" not in {upload.air for upload in unasked}
    assert decided.stderr.index("It is no VAE") < decided.stderr.index("validated")
    assert client.registered_model("push:9@1").category == "vae"
    assert (refused[0], "nothing was sent" in refused[1]) == (1, True)
    assert "Register it all the same? [y/N]" in refused[1]
    assert agreed[0] == 0, agreed[1]
    assert {model.air for model in client.registered_models(source="push", category="vae")} == {"push:9@1", "push:11@1"}


def test_every_field_of_a_registration_has_an_option(
    server: Server, client: Penstock, api_key: str, model_files: ModelFiles
) -> None:
    file = model_files.path("checkpoint/sd15_full")
    words = ("models", "push", str(file), "--air", "push:12@1", "--json")
    options = {
        "--architecture": ("architecture", "sd1x"),
        "--name": ("name", "Lakes"),
        "--version": ("version_label", "two"),
        "--identifier": ("unique_identifier", "lakes"),
        "--tag": ("tags", ["water"]),
        "--trigger": ("positive_trigger_words", ["lake"]),
        "--negative-trigger": ("negative_trigger_words", ["sea"]),
        "--steps": ("default_steps", 30),
        "--scheduler": ("default_scheduler", "Euler"),
        "--cfg": ("default_cfg", 5.5),
        "--strength": ("default_strength", 0.5),
        "--hero-image": ("hero_image_url", "https://example.com/lake.png"),
        "--description": ("short_description", "Of lakes."),
        "--comment": ("comment", "Trained on my own pictures."),
    }
    given = [
        text for flag, (_, value) in options.items() for text in (flag, str(value[0] if type(value) is list else value))
    ]

    first = json.loads(must(server.command(*words, *given, "--public", api_key=api_key)).stdout)
    second = json.loads(
        must(server.command(*words, "--identifier", "lakes", "--hero-image", "", "--tag", "", api_key=api_key)).stdout
    )

    assert {field: first[field] for field, _ in options.values()} == dict(options.values())
    assert first["private"] is False
    assert (second["hero_image_url"], second["tags"]) == (None, [])
    assert (second["default_steps"], second["comment"]) == (30, "Trained on my own pictures.")


def test_an_asset_can_be_registered(server: Server, client: Penstock, api_key: str, lora: Path) -> None:
    asset = client.upload_file(lora, content_type="application/octet-stream")
    words = ("--air", "push:13@1", "--category", "lora", "--architecture", "sdxl")

    told = must(server.command("models", "push", asset.id, *words, api_key=api_key))

    assert told.stdout == "push:13@1  urn:air:sdxl:lora:push:13@1\n"
    assert client.registered_model("push:13@1").name == lora.stem


def test_a_question_is_asked_until_it_is_answered_or_left(server: Server, client: Penstock, api_key: str) -> None:
    words = ("models", "push", "http://127.0.0.1:9/a.safetensors", "--air", "push:14@1")

    answered = at_terminal(server, api_key, *words, answers="embeddings\nneutral\nnegative\nsdxl\n")
    left = at_terminal(server, api_key, *words, answers="\x04")

    assert answered[1].count("type (positive, negative) [positive]: ") == 2
    assert "push:14@1: validated: accepted" in answered[1]
    assert "push:14@1 was not registered: " in answered[1]
    assert (answered[0], left[0]) == (1, 1)
    assert "nothing was sent" in left[1]


def at_terminal(server: Server, api_key: str, *words: str, answers: str) -> tuple[int, str]:
    """What a command ends with, and all that it draws on a terminal where somebody has typed ahead."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*PENSTOCK, *words],
        env=clean_environment(PENSTOCK_URL=server.url, PENSTOCK_API_KEY=api_key),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, answers.encode())
    drawn = b""
    try:
        while piece := os.read(ours, 4096):
            drawn += piece
    except OSError:  # EIO: the other side has closed
        pass
    os.close(ours)
    return process.wait(60), drawn.decode()
