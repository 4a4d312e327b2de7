"""What the pages tell a reader to type works, word for word, against a real server."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

from tests.support import pages
from tests.support.native import Native
from tests.support.server import clean_environment, running_server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.model_files import ModelFiles
    from tests.support.server import Server

PNG = b"\x89PNG\r\n\x1a\n"


def test_the_tutorial_works_from_its_first_command_to_its_last(server: Server, tmp_path: Path) -> None:
    begin, *rest = pages.commands("tutorial/first-upload.md")
    pages.save_files("tutorial/first-upload.md", tmp_path)

    said = pages.run("\n".join(_at(server, command) for command in rest), tmp_path, _environment(server))

    assert begin == "penstock serve\n"
    assert (tmp_path / "cut-out.png").read_bytes().startswith(PNG)
    assert (tmp_path / "drawing.png").read_bytes().startswith(PNG)
    assert "event: run.succeeded" in said
    assert '"code":"missing"' in said.replace(" ", "")
    assert "refused, and nothing was charged: " in said


def test_the_native_api_is_used_as_its_page_says(server: Server, api_key: str, tmp_path: Path) -> None:
    pages.save_files("reference/native.md", tmp_path)

    said = pages.run("\n".join(pages.commands("reference/native.md")), tmp_path, _environment(server, api_key))

    assert '"object":"upload"' in said
    assert '"object":"asset"' in said


def test_assets_are_organised_as_the_page_says(server: Server, tmp_path: Path) -> None:
    pages.save_files("howto/organise-assets.md", tmp_path)

    script = "\n".join(pages.commands("howto/organise-assets.md"))
    said = pages.run(script, tmp_path, _environment(server, server.create_key()))

    assert '"name":"Drafts"' in said
    assert said.count('"filename":"coffee.png"') == 5
    assert '"ok":true' in said


def test_a_large_file_is_sent_and_resumed_as_its_page_says(server: Server, api_key: str, tmp_path: Path) -> None:
    page = "howto/large-uploads.md"

    said = pages.run("\n".join(pages.commands(page)), tmp_path, _environment(server, api_key))

    counted, arrived = said.splitlines()[:2]
    assert counted == "3"
    assert [part["part_number"] for part in json.loads(arrived)["data"]] == [1, 2]
    assert (tmp_path / "back.bin").stat().st_size == 12_000_000


def test_a_catalog_of_ones_own_is_made_as_its_page_says(tmp_path: Path) -> None:
    pages.save_files("howto/own-models.md", tmp_path)
    own = {"PENSTOCK_CATALOG": str(tmp_path / "catalog.toml")}
    with running_server(tmp_path / "data", environment=clean_environment(**own)) as server:
        key = server.create_key()

        said = pages.run("\n".join(pages.commands("howto/own-models.md")), tmp_path, _environment(server, key))
        models = Native(url=server.url, key=key).get("/models").must(200)["data"]

    assert (tmp_path / "cut-out.webp").read_bytes()[8:12] == b"WEBP"
    assert (tmp_path / "sketch.png").read_bytes().startswith(PNG)
    assert [json.loads(run)["cost_usd"] for run in re.findall(r"^\{\n.*?^\}$", said, re.DOTALL | re.MULTILINE)] == [
        "0.01",
        "0.02",
    ]
    assert [model["slug"] for model in models] == ["acme/cut-out", "acme/sketch"]


def test_a_model_is_registered_as_the_page_says(server: Server, model_files: ModelFiles, tmp_path: Path) -> None:
    pages.save_files("howto/models.md", tmp_path)
    shutil.copy(model_files.path("lora/sdxl_kohya"), tmp_path / "rivers.safetensors")

    said = pages.run("\n".join(pages.commands("howto/models.md")), tmp_path, _environment(server))

    assert "labs: belongs to labs" in said
    assert "labs:100@1  urn:air:sdxl:lora:labs:100@1" in said
    assert re.search(r"^labs:100@1 +lora +sdxl +private +Rivers$", said, re.MULTILINE)
    assert re.search(r"^weight +1.0$", said, re.MULTILINE)
    assert re.search(r"^numbers are +F16: \d+ tensors", said, re.MULTILINE)
    assert "labs:100@1: all bytes are as they were registered" in said
    assert "labs:100@1 Rivers False" in said
    assert re.search(r"^shared +(\d+) of \1 tensors, (\d+) of \2 bytes, with labs:100@1$", said, re.MULTILINE)
    assert said.endswith("labs:100@1: removed\n")
    assert (tmp_path / "optimized.safetensors").stat().st_size > 0


def test_quotas_are_set_as_the_page_says(tmp_path: Path) -> None:
    data = clean_environment(PENSTOCK_DATA=str(tmp_path / "data"))

    said = pages.run("\n".join(pages.commands("howto/quotas.md")), tmp_path, data)

    assert re.search(r"^bytes +0 +0 +10737418240 +account$", said, re.MULTILINE)
    assert re.search(r"^bytes +0 +0 +100000000000 +default$", said, re.MULTILINE)
    assert re.search(r"^open uploads +0 +- +none +account$", said, re.MULTILINE)


def _at(server: Server, command: str) -> str:
    """The command with this server's address in place of the usual one."""
    return command.replace("http://127.0.0.1:8000", server.url)


def _environment(server: Server, api_key: str = "") -> dict[str, str]:
    environment = {**server.environment, "PENSTOCK_DATA": str(server.data), "PENSTOCK_URL": server.url}
    return {**environment, "PENSTOCK_API_KEY": api_key} if api_key else environment
