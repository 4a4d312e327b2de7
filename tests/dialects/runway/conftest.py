"""One house for each module, and two keys of new accounts for each test; what a test queues is over after it."""

from __future__ import annotations

import shutil
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from penstock.ports.runners import OutputFile
from tests.dialects.runway.client import PICTURE, Runway
from tests.support.house import open_house

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from penstock.ports.runners import JsonLike, RunContext
    from tests.support.house import House


def _file(name: str, *kinds: str, required: bool = False) -> dict[str, Any]:
    return {"name": name, "type": "file", "required": required, "accepts": list(kinds)}


CATALOG: list[dict[str, Any]] = [
    {"slug": slug, "price": price, "input": inputs, "extra_inputs": "ignore"}
    for slug, price, inputs in (
        ("gen4.5", "0.60", [_file("promptImage", "image", required=True)]),
        ("gen4_turbo", "0.2525", [_file("promptImage", "image", required=True)]),
        ("veo3.1", "1.60", [_file("promptImage", "image"), _file("promptImageLast", "image")]),
        ("gen4_image", "0.05", [_file("referenceImages", "image"), {"name": "promptText", "required": True}]),
        ("gen4_aleph", "0.75", [_file("videoUri", "video", required=True)]),
        ("magnific_precision_upscaler_v2", "0.1", [_file("imageUri", "image", required=True)]),
        ("magnific_video_upscaler_creative", "0.1", [_file("videoUri", "video", required=True)]),
        ("gen3a_turbo", "0.25", [_file("promptImage", "image", required=True)]),
        ("eleven_voice", "0.05", [_file("audioUri", "audio"), _file("voice", "audio"), _file("media", "audio")]),
        ("act_two", "0.25", [_file("character", "image", "video"), _file("reference", "video", required=True)]),
    )
]
for _table in CATALOG:
    if _table["slug"] == "gen3a_turbo":
        _table |= {"max_running_per_account": 1, "max_daily_per_account": 3}
_NUMBERS = count()


@pytest.fixture(scope="module")
def _home(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("home")
    shutil.copyfile(_sqlite_template, directory / "penstock.db")
    with open_house(directory / "house", f"sqlite:///{directory / 'penstock.db'}", CATALOG) as opened:
        yield opened


@pytest.fixture
def house(_home: House) -> Iterator[House]:
    """The module's house. Its clock has moved; every model makes one picture unless the test says otherwise."""
    usual = {str(table["slug"]): film for table in CATALOG}
    _home.models |= usual
    yield _home
    _home.models |= usual
    _home.work()


@pytest.fixture
def acme(house: House) -> Runway:
    return Runway(base=f"{house.url}/runway", key=house.create_key(f"acme-{next(_NUMBERS)}"))


@pytest.fixture
def rival(house: House) -> Runway:
    return Runway(base=f"{house.url}/runway", key=house.create_key(f"rival-{next(_NUMBERS)}"))


def film(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
    """One picture."""
    path = context.workdir / "made.png"
    path.write_bytes(PICTURE)
    return {"video": OutputFile(path=path, name="made.png", content_type="image/png")}
