"""One real server per module, and keys for it. A test that kills parts starts its own (`running_server`)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.server import running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`penstock serve --dev` on free ports."""
    with running_server(tmp_path_factory.mktemp("server") / "data", "--dev") as running:
        yield running


@pytest.fixture(scope="module")
def api_key(server: Server) -> str:
    """A key with every scope, of an account with 100 USD."""
    return server.create_key()


@pytest.fixture(scope="module")
def photo() -> bytes:
    """A small picture."""
    from PIL import Image  # noqa: PLC0415 - not for tests without pictures

    with Image.open(Path(__file__).parents[2] / "examples" / "coffee.png") as picture:
        small = io.BytesIO()
        picture.convert("RGB").resize((120, 80)).save(small, "PNG")
    return small.getvalue()
