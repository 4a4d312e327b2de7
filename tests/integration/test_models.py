"""The SDK's and the program's verbs on registered models, against the real server."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from penstock.client import (
    AsyncPenstock,
    InvalidRequestError,
    ModelUploadFailedError,
    ModelUploadTimeoutError,
    NotFoundError,
    Penstock,
)
from tests.support.server import PENSTOCK, clean_environment, must

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from penstock.client import StoredWeights
    from tests.support.model_files import ModelFiles
    from tests.support.server import Server

SAID = {"category": "lora", "architecture": "sdxl", "name": "Rivers", "version_label": "v1"}


@pytest.fixture(scope="module")
def lora(model_files: ModelFiles) -> Path:
    return model_files.path("lora/sdxl_kohya")


@pytest.fixture(scope="module")
def client(server: Server, api_key: str) -> Iterator[Penstock]:
    """A client whose account has the source `sdk`."""
    with Penstock(server.url, api_key) as opened:
        opened.create_model_source("SDK")
        yield opened


def test_a_model_is_registered_found_checked_changed_and_removed(client: Penstock, lora: Path, tmp_path: Path) -> None:
    head = lora.read_bytes()[: 8 + int.from_bytes(lora.read_bytes()[:8], "little")]
    found = client.examine_model(head, size_bytes=lora.stat().st_size, category="lora", architecture="sdxl")
    phases: list[str] = []

    asset = client.upload_file(lora, content_type="application/octet-stream")
    begun = client.register_model("sdk:1@1", asset_id=asset.id, **SAID)
    done = client.wait_model_upload(begun.id, timeout=60, on_change=lambda upload: phases.append(upload.phase))

    assert (found.verdict, found.proposal["category"]) == ("match", "lora")
    assert (done.phase, phases[-1]) == ("ready", "ready")
    model = client.registered_model("sdk:1@1")
    assert model.file is not None
    assert model.file.original.size_bytes == lora.stat().st_size
    assert [one.air for one in client.registered_models(q="rivers", visibility="owned", page_size=1)] == ["sdk:1@1"]
    assert [source.name for source in client.model_sources()] == ["sdk"]
    client.verify_model("sdk:1@1")
    saved = client.download_model("sdk:1@1", tmp_path / "back.safetensors")
    assert saved.read_bytes() == lora.read_bytes()
    manifest = client.download_model("sdk:1@1", tmp_path / "manifest.json", part="manifest")
    assert json.loads(manifest.read_bytes())["tensors"]
    assert client.change_model("sdk:1@1", name="Streams", tags=None).name == "Streams"
    client.delete_model("sdk:1@1")
    with pytest.raises(NotFoundError):
        client.registered_model("sdk:1@1")


def test_a_registration_that_fails_says_why(client: Penstock, lora: Path) -> None:
    asset = client.upload_file(lora, content_type="application/octet-stream")
    begun = client.register_model("sdk:2@1", asset_id=asset.id, **{**SAID, "category": "vae"})

    with pytest.raises(ModelUploadFailedError, match="model_file_mismatch") as failure:
        client.wait_model_upload(begun.id)

    assert failure.value.upload.id == begun.id
    with pytest.raises(InvalidRequestError):
        client.register_model("nonsense")


def test_one_does_not_have_to_wait_for_the_end(client: Penstock) -> None:
    begun = client.register_model("sdk:3@1", url="http://127.0.0.1:9/a", unique_identifier="a", **SAID)

    with pytest.raises(ModelUploadTimeoutError, match="still validated"):
        client.wait_model_upload(begun.id, timeout=0)


def test_the_asynchronous_client_does_the_same(server: Server, client: Penstock, lora: Path, tmp_path: Path) -> None:
    key = server.create_key()

    async def story() -> tuple[str, list[str], bytes]:
        async with AsyncPenstock(server.url, key) as there:
            await there.create_model_source("asynchronous")
            asset = await there.upload_file(lora, content_type="application/octet-stream")
            begun = await there.register_model("asynchronous:1@1", asset_id=asset.id, private=False, **SAID)
            await there.wait_model_upload(begun.id, timeout=60)
            await there.verify_model("asynchronous:1@1")
            saved = await there.download_model("asynchronous:1@1", tmp_path / "back", part="optimized")
            airs = [model.air async for model in there.registered_models(source="asynchronous")]
            return (await there.registered_model("asynchronous:1@1")).urn, airs, saved.read_bytes()

    urn, airs, saved = asyncio.run(story())

    assert (urn, airs) == ("urn:air:sdxl:lora:asynchronous:1@1", ["asynchronous:1@1"])
    assert client.registered_model("asynchronous:1@1").owned is False
    assert len(saved) > 1000


def test_the_program_refuses_a_wrong_file_before_it_is_sent(server: Server, client: Penstock, lora: Path) -> None:
    before = len(list(client.assets()))
    key = client._config.api_key  # noqa: SLF001 - the same account

    wrong = server.command("models", "push", str(lora), "--air", "sdk:4@1", "--category", "vae", api_key=key)
    other = server.command("models", "push", str(lora), "--air", "sdk:4@1", "--architecture", "flux1d", api_key=key)
    vague = server.command("models", "push", str(lora), "--air", "sdk:4@1", api_key=key)
    foreign = server.command("models", "push", str(lora), "--air", "other:4@1", "--architecture", "sdxl", api_key=key)
    unclear = server.command("models", "push", str(lora), "--air", "sdk:4", "--architecture", "sdxl", api_key=key)

    assert wrong.returncode == 1
    assert "lora" in wrong.stderr.lower()
    assert other.returncode == 1
    assert "Declare it as lora, architecture one of sdxl" in other.stderr
    assert "Nothing was sent: this server refuses such files." in other.stderr
    assert "no AIR source other; its sources: sdk" in foreign.stderr
    assert "penstock sources create" in foreign.stderr
    assert "must be `source:number@version`" in unclear.stderr
    assert vague.returncode == 1
    assert "--architecture" in vague.stderr
    assert "sdxl" in vague.stderr
    assert len(list(client.assets())) == before


def test_the_program_names_what_is_no_model_that_could_be_registered(
    server: Server, client: Penstock, model_files: ModelFiles, tmp_path: Path
) -> None:
    key = client._config.api_key  # noqa: SLF001 - the same account
    pointer = tmp_path / "pointer.safetensors"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "ascii")
    older = model_files.path("checkpoint/sd21_full")

    named = server.command("models", "push", str(pointer), "--air", "sdk:4@1", api_key=key)
    covered = server.command("models", "push", str(older), "--air", "sdk:4@1", api_key=key)
    unread = server.command("models", "push", "http://127.0.0.1:9/a", "--air", "sdk:4@1", api_key=key)

    assert "Git LFS pointer" in named.stderr
    assert "No architecture covers it" in covered.stderr
    assert "the model's category is needed; say it with --category (checkpoint," in unread.stderr


def test_the_program_tells_phases_and_prints_json(server: Server, client: Penstock, lora: Path) -> None:
    key = client._config.api_key  # noqa: SLF001 - the same account
    words = ("--air", "sdk:5@1", "--architecture", "sdxl", "--public", "--tag", "water", "--trigger", "river delta")

    told = must(server.command("models", "push", str(lora), *words, api_key=key))
    shown = must(server.command("models", "show", "sdk:5@1", "--json", api_key=key))
    gone = server.command("models", "rm", "sdk:99@1", api_key=key)

    phases = [line.split(": ")[1] for line in told.stderr.splitlines() if line.startswith("sdk:5@1: ")]
    assert phases == ["validated", "downloaded", "optimized", "stored", "ready"]
    assert "the file says category lora" in told.stderr
    assert json.loads(shown.stdout)["private"] is False
    assert json.loads(shown.stdout)["tags"] == ["water"]
    assert json.loads(shown.stdout)["positive_trigger_words"] == ["river delta"]
    assert (gone.returncode, "model_not_found" in gone.stderr) == (1, True)


@pytest.mark.skipif(sys.platform != "linux", reason="reads a pseudo-terminal to its end as Linux ends it")
def test_the_program_asks_at_a_terminal_for_what_the_header_does_not_tell(
    server: Server, client: Penstock, lora: Path
) -> None:
    ours, theirs = pty.openpty()
    environment = clean_environment(PENSTOCK_URL=server.url, PENSTOCK_API_KEY=client._config.api_key)  # noqa: SLF001 - the same account
    process = subprocess.Popen(
        [*PENSTOCK, "models", "push", str(lora), "--air", "sdk:6@1"],
        env=environment,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, b"sdxl\n")
    drawn = b""
    try:
        while piece := os.read(ours, 4096):
            drawn += piece
    except OSError:  # EIO: the other side has closed
        pass
    output, _ = process.communicate(timeout=60)
    os.close(ours)

    assert process.returncode == 0, drawn
    assert b"architecture (sdxl" in drawn
    assert output.startswith(b"sdk:6@1  urn:air:sdxl:lora:")


def test_pushing_another_file_keeps_what_is_not_said_again(
    server: Server, client: Penstock, lora: Path, model_files: ModelFiles
) -> None:
    asset = client.upload_file(lora, content_type="application/octet-stream")
    begun = client.register_model("sdk:7@1", asset_id=asset.id, **{**SAID, "name": "Lakes"})
    client.wait_model_upload(begun.id, timeout=60)
    key = client._config.api_key  # noqa: SLF001 - the same account
    other = model_files.path("lora/sdxl_peft")

    must(server.command("models", "push", str(other), "--air", "sdk:7@1", "--version", "v2", api_key=key))
    strange = server.command(
        "models", "push", str(model_files.path("vae/flux_16ch_bfl")), "--air", "sdk:7@1", api_key=key
    )

    assert "sdk:7@1 is registered as sdxl lora, which stands for what was left out" in strange.stderr
    model = client.registered_model("sdk:7@1")
    assert (model.name, model.version_label, model.architecture) == ("Lakes", "v2", "sdxl")
    assert model.file is not None
    assert model.file.original.size_bytes == other.stat().st_size


def test_verifying_tells_whoever_may_read_a_model_which_file_is_broken(
    server: Server, client: Penstock, model_files: ModelFiles
) -> None:
    file = model_files.path("lora/sd15_kohya")
    model = client.push_model(file, "sdk:8@1", category="lora", architecture="sd1x", name="a", version_label="1")
    assert model.file is not None
    assert model.file.optimized != model.file.original
    client.change_model("sdk:8@1", private=False)
    stranger = server.create_key()

    whole = must(server.command("models", "verify", "sdk:8@1", api_key=stranger))
    damage(server.data, model.file.optimized)
    broken = server.command("models", "verify", "sdk:8@1", api_key=stranger)

    assert whole.stdout == "sdk:8@1: all bytes are as they were registered\n"
    assert broken.returncode == 1
    assert broken.stdout == ""
    assert "sdk:8@1 is not what was registered. the optimized file: " in broken.stderr
    assert "original" not in broken.stderr


def damage(data: Path, stored: StoredWeights) -> None:
    """Change a byte of an object where it lies."""
    for path in data.rglob("*"):
        if path.is_file() and stored.size_bytes <= path.stat().st_size <= stored.size_bytes + 2**16:
            content = bytearray(path.read_bytes())
            if hashlib.sha256(content[: stored.size_bytes]).hexdigest() == stored.sha256:
                content[stored.size_bytes - 1] ^= 1
                path.write_bytes(content)
