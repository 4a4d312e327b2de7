"""A house for every test that asks: the whole server in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.house import House

_IMAGE = {"name": "image", "type": "file", "synonyms": ["image_url", "image_path", "init_image"]}
_TEXT = {"name": "text", "type": "string", "max_length": 20}
CATALOG: list[dict[str, Any]] = [
    {"slug": "acme/model", "price": "0.01", "input": [_IMAGE, _TEXT], "extra_inputs": "ignore"},
    {"slug": "acme/strict", "input": [{**_IMAGE, "required": True}]},
    {"slug": "acme/model/deeper", "input": [_IMAGE, _TEXT]},
    {"slug": "workflows/acme/flow", "input": [_IMAGE, _TEXT]},
    {"slug": "comfy/acme/graph", "input": [_IMAGE, _TEXT]},
]


@pytest.fixture
def house(tmp_path: Path, sqlite_url: str) -> Iterator[House]:
    """A server with the models above; what they do is the test's."""
    from tests.support.house import open_house  # noqa: PLC0415 - not for tests without a server

    with open_house(tmp_path / "house", sqlite_url, CATALOG) as opened:
        yield opened
