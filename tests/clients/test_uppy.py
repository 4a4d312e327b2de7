"""The page on browser uploads, as it stands: the real Uppy in a real browser, its backend, and a whole server."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from tests.clients.tools import NODE_FOLDER, environment, node_modules, program
from tests.support import pages
from tests.support.native import Native
from tests.support.server import clean_environment, running_server, stop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = "howto/browser-uploads.md"
PICTURE = (pages.ROOT / "examples" / "chelsea.png").read_bytes()
FILM = b"".join(bytes([n]) * 2**20 for n in range(17))  # two parts and a rest
HANDLE = "\nglobalThis.uppy = uppy;\n"
AT_FIRST_PART = """
what => { globalThis.met = new Promise(done => uppy.once("s3-multipart:part-uploaded", file => {
  done(uppy.getFile(file.id).s3Multipart.uploadId);
  what === "pause" ? uppy.pauseAll() : uppy.removeFile(file.id);
})) }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The page's address, and the API behind its backend."""

    url: str
    api: Native


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    node_modules()
    folder = tmp_path_factory.mktemp("site")
    pages.save_files(PAGE, folder)
    with (folder / "browser.mjs").open("a", encoding="utf-8") as script:
        script.write(HANDLE)
    (folder / "node_modules").symlink_to(NODE_FOLDER / "node_modules")
    pages.run("\n".join(pages.commands(PAGE)), folder, environment(folder))
    with running_server(folder / "data", environment=clean_environment(PENSTOCK_CORS_ORIGINS="*")) as server:
        key = server.create_key()
        backend = subprocess.Popen(
            [program("node"), "backend.mjs"],
            cwd=folder,
            env=environment(folder, PENSTOCK_URL=server.url, PENSTOCK_API_KEY=key, PORT="0"),
            stdout=subprocess.PIPE,
        )
        assert backend.stdout is not None
        try:
            yield Site(url=backend.stdout.readline().decode().strip(), api=Native(url=server.url, key=key))
        finally:
            stop(backend)
            backend.stdout.close()


@pytest.fixture
def puts(tab: Any, site: Site) -> list[str]:  # noqa: ANN401 - playwright is not in every set-up
    """Opens the page; the number of every part that it sends from then on."""
    numbers: list[str] = []

    def note(request: Any) -> None:  # noqa: ANN401 - as above
        if request.method == "PUT":
            numbers.append(request.url.partition("partNumber=")[2].partition("&")[0])

    tab.on("request", note)
    tab.goto(site.url)
    return numbers


def choose(tab: Any, folder: Path, name: str, content: bytes) -> None:  # noqa: ANN401 - as above
    (folder / name).write_bytes(content)
    tab.set_input_files("#files", str(folder / name))


def uploaded(tab: Any, site: Site, name: str) -> dict[str, Any]:  # noqa: ANN401 - as above
    """The asset that the page names when it is done."""
    line: str = tab.locator("#done li").inner_text(timeout=60_000)
    assert line.startswith(f"{name}: asset_")
    asset: dict[str, Any] = site.api.get(f"/assets/{line.partition(': ')[2]}").must(200)
    return asset


def bytes_of(asset: dict[str, Any]) -> str:
    """The SHA-256 of what its URL gives."""
    return hashlib.sha256(httpx2.get(asset["url"], follow_redirects=True).raise_for_status().content).hexdigest()


@pytest.mark.parametrize(("name", "content"), [("cät 1.png", PICTURE), ("film.bin", FILM)])
def test_a_file_chosen_in_the_page_becomes_an_asset(
    tab: Any,  # noqa: ANN401 - as above
    site: Site,
    puts: list[str],
    tmp_path: Path,
    name: str,
    content: bytes,
) -> None:
    choose(tab, tmp_path, name, content)

    asset = uploaded(tab, site, name)
    assert (asset["filename"], asset["size_bytes"]) == (name, len(content))
    assert bytes_of(asset) == hashlib.sha256(content).hexdigest()
    assert puts == [str(number) for number in range(1, -(-len(content) // 2**23) + 1)]


def test_a_paused_upload_goes_on_with_the_parts_that_are_missing(
    tab: Any,  # noqa: ANN401 - as above
    site: Site,
    puts: list[str],
    tmp_path: Path,
) -> None:
    tab.evaluate(AT_FIRST_PART, "pause")
    choose(tab, tmp_path, "film.bin", FILM)
    upload_id = tab.evaluate("met")
    arrived = site.api.get(f"/uploads/{upload_id}/parts").must(200)["data"]

    tab.evaluate("uppy.resumeAll()")

    assert bytes_of(uploaded(tab, site, "film.bin")) == hashlib.sha256(FILM).hexdigest()
    assert [part["part_number"] for part in arrived] == [1]
    assert puts == ["1", "2", "3"]


def test_a_file_that_is_removed_in_the_page_leaves_nothing_behind(
    tab: Any,  # noqa: ANN401 - as above
    site: Site,
    puts: list[str],
    tmp_path: Path,
) -> None:
    tab.evaluate(AT_FIRST_PART, "remove")
    with tab.expect_response(lambda answer: answer.request.method == "DELETE"):
        choose(tab, tmp_path, "film.bin", FILM)
    upload_id = tab.evaluate("met")

    assert site.api.get(f"/uploads/{upload_id}").must(200)["state"] == "aborted"
    assert puts == ["1"]
