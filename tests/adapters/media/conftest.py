"""One pool of children for all tests of a module, and a way to have a file looked into."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from penstock.adapters.media import ChildInspector
    from penstock.ports.media import Inspection

    Look = Callable[..., Inspection]


@pytest.fixture(scope="module")
def inspector() -> Iterator[ChildInspector]:
    from penstock.adapters.media import ChildInspector  # noqa: PLC0415 - not for tests without children
    from penstock.adapters.media.inspector import InspectorOptions  # noqa: PLC0415 - likewise
    from penstock.telemetry import Log  # noqa: PLC0415 - likewise

    made = ChildInspector(Log("test", None), options=InspectorOptions(children=1, seconds=60))
    yield made
    made.close()


@pytest.fixture
def look(inspector: ChildInspector, tmp_path_factory: pytest.TempPathFactory) -> Look:
    """Looks into bytes that are said to be of a type."""
    from penstock.ports.media import MediaFile  # noqa: PLC0415 - not for tests without children

    def look(data: bytes, content_type: str, *, complete: bool = True, want_thumbnail: bool = True) -> Inspection:
        path = tmp_path_factory.mktemp("file") / "file"
        path.write_bytes(data)
        with path.open("rb") as file:
            return inspector.inspect(
                MediaFile(bytes=file, content_type=content_type, size=len(data), complete=complete),
                want_thumbnail=want_thumbnail,
                cancelled=lambda: False,
            )

    return look


@pytest.fixture(scope="session")
def picture() -> bytes:
    """A JPEG of 640 × 480, red above, blue below."""
    from PIL import Image  # noqa: PLC0415 - not for tests without pictures

    image = Image.new("RGB", (640, 480), (200, 20, 20))
    image.paste((20, 20, 200), (0, 240, 640, 480))
    target = io.BytesIO()
    image.save(target, "JPEG")
    return target.getvalue()
