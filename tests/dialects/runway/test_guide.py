"""What our page tells people to type, typed, against a real `penstock serve`; and its tables, held to the code."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.dialects.base.errors import leaf_errors
from penstock.dialects.runway import POLICY, REFERENCES, sounds, wire
from penstock.dialects.runway.bodies import ENDPOINTS
from penstock.dialects.runway.errors import ERRORS
from penstock.domain.catalog_parsing import parse_catalog
from tests.clients.tools import NODE_FOLDER, missing, program
from tests.clients.tools import environment as clean
from tests.support.exchange import fetch
from tests.support.server import running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "dialects" / "runway.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (?P<status>\d{3}) \| (?P<standing>documented|inferred) \| .+ \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The two lines, for a server that runs."""
    home = tmp_path_factory.mktemp("served")
    with running_server(home / "data") as server:
        lines = {"RUNWAYML_BASE_URL": f"{server.url}/runway", "RUNWAYML_API_SECRET": server.create_key()}
        yield clean(home, **lines)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "examples" / "chelsea.png", tmp_path / "input.png")
    return tmp_path


def block(language: str) -> str:
    [found] = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def said(command: list[str], folder: Path, settings: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_our_pages_python_runs_as_it_stands(folder: Path, settings: dict[str, str]) -> None:
    url = said([sys.executable, "-c", block("python")], folder, settings).strip()

    film = fetch(url)
    assert film.status == 200
    assert film.headers["content-type"].startswith("video/")


@pytest.mark.real_clients
def test_our_pages_javascript_runs_as_it_stands(folder: Path, settings: dict[str, str]) -> None:
    if not (NODE_FOLDER / "node_modules" / "@runwayml").is_dir():
        missing("the official JavaScript SDK is not installed (./dev setup integration)")
    (folder / "node_modules").symlink_to(NODE_FOLDER / "node_modules")
    (folder / "run.mjs").write_text(block("js"))

    url = said([program("node"), "run.mjs"], folder, settings).strip()

    assert fetch(url).headers["content-type"].startswith("video/")


def test_our_pages_shell_lines_run_as_they_stand(folder: Path, settings: dict[str, str]) -> None:
    program("curl")

    said(["sh", "-eu", "-c", block("sh")], folder, settings)

    assert (folder / "larger.png").read_bytes().startswith(b"\x89PNG")


def test_our_page_tells_the_limits_that_hold() -> None:
    urls, inline = REFERENCES.urls, REFERENCES.inline
    assert urls is not None
    for told in (
        f"| a file | {POLICY.min_bytes} to {POLICY.max_bytes} bytes ",
        f"| the form | {POLICY.url_ttl.total_seconds():.0f} seconds ",
        f"| `runwayUri` | {wire.REFERENCE_LIFETIME.total_seconds():.0f} seconds ",
        f"| URLs in `output` | {wire.OUTPUT_URL_LIFETIME.total_seconds():.0f} seconds;",
        f"under {inline.max_characters['image'] + 1} characters for images, ",
        f", {inline.max_characters['video'] + 1} for films and sounds",
        f"| {urls.min_length} to {urls.max_length} characters, https",
        f"{urls.limit(('image',))} bytes for images, {urls.limit(('video',))} for films",
    ):
        assert told in PAGE, told


def test_the_page_lists_exactly_the_statuses_of_the_error_table() -> None:
    told = {(int(row["status"]), row["standing"]) for row in ROW.finditer(PAGE)}

    assert told == {(row.status, "inferred" if row.inferred else "documented") for row in ERRORS.values()}
    assert set(leaf_errors()) == set(ERRORS)


def test_what_stands_in_for_the_products_models_takes_every_ratio_of_theirs() -> None:
    catalog = parse_catalog(tomllib.loads((ROOT / "src" / "penstock" / "demo_catalog.toml").read_text("utf-8")))
    names = {name for model in catalog.models for name in (model.slug, *model.aliases)}
    checked = set()

    for body in ENDPOINTS.values():
        for model, rules in body.RULES.items():
            if model in names:
                fields = [f for f in catalog.find(model).inputs if "ratio" in (f.name, *f.synonyms)]
                assert all(set(rules.ratios) <= set(field.choices) for field in fields), model
                checked.add(model)
    assert checked >= {"gen4.5", "gen4_turbo", "gen4_image"}


def test_the_page_lists_every_endpoint() -> None:
    told = set(re.findall(r"^\| `POST /v1/(\w+)` \|", PAGE, re.MULTILINE))

    assert {*ENDPOINTS, *sounds.ENDPOINTS} == told - {"uploads"}
