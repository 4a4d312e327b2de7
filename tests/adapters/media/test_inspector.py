"""The pool: whatever a child does, the caller gets an answer; limits are reasons, a stop of the server is none."""

from __future__ import annotations

import io
import json
import struct
import zlib
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.children import NoMessageError
from penstock.adapters.media import ChildInspector, films
from penstock.adapters.media.faults import UnreadableError
from penstock.adapters.media.found import Found
from penstock.adapters.media.inspector import InspectorOptions
from penstock.adapters.media.looking import Looking
from penstock.adapters.media.wire import parse_answer
from penstock.ports.jobs import AttemptInterruptedError
from penstock.ports.media import InspectorUnavailableError, MediaFile
from penstock.telemetry import Log

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.ports.media import Inspection


def inspect(inspector: ChildInspector, path: Path, data: bytes, *, cancelled: bool = False) -> Inspection:
    path.write_bytes(data)
    with path.open("rb") as file:
        asked = MediaFile(bytes=file, content_type="image/png", size=len(data), complete=True)
        return inspector.inspect(asked, want_thumbnail=True, cancelled=lambda: cancelled)


def large_png(side: int) -> bytes:
    """Colours of sixteen bits: the picture takes eight bytes and more for each pixel."""
    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(bytes(side * 4 + 1)) for _ in range(side)) + packer.flush()

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_file_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    inspector = ChildInspector(Log("test", None), options=InspectorOptions(children=1, seconds=0.0001))

    seen = inspect(inspector, tmp_path / "file", large_png(5000))

    inspector.close()
    assert (seen.thumbnail, seen.problem) == (None, "looking into the file takes longer than is allowed")


def test_a_file_that_needs_too_much_memory_is_given_up_and_its_size_known(tmp_path: Path) -> None:
    options = InspectorOptions(children=1, seconds=60, memory_bytes=260 << 20)
    inspector = ChildInspector(Log("test", None), options=options)

    seen = inspect(inspector, tmp_path / "file", large_png(9000))

    inspector.close()
    assert seen.facts is not None
    assert (seen.facts.width, seen.thumbnail) == (9000, None)
    assert seen.problem == "looking into the file takes more memory than is allowed"


def test_a_stop_of_the_server_is_no_fault_of_the_file(tmp_path: Path) -> None:
    inspector = ChildInspector(Log("test", None), options=InspectorOptions(children=1, seconds=60))

    with pytest.raises(AttemptInterruptedError):
        inspect(inspector, tmp_path / "file", large_png(9000), cancelled=True)
    inspector.close()


def test_without_a_child_nothing_is_said_against_the_file(tmp_path: Path) -> None:
    inspector = ChildInspector(Log("test", None), python="/bin/false")

    with pytest.raises(InspectorUnavailableError):
        inspect(inspector, tmp_path / "file", b"")
    inspector.close()


def test_a_child_serves_so_many_files_and_no_more(tmp_path: Path) -> None:
    inspector = ChildInspector(Log("test", None), options=InspectorOptions(children=1, seconds=60, files_per_child=2))
    children = []
    for _ in range(3):
        inspect(inspector, tmp_path / "file", large_png(4))
        children.append(inspector.processes())

    inspector.close()
    assert [len(kept) for kept in children] == [1, 0, 1]
    assert children[0] != children[2]


def test_a_child_is_not_blamed_for_what_its_parent_took(tmp_path: Path) -> None:
    inspector = ChildInspector(Log("test", None), options=InspectorOptions(children=1, seconds=60))
    taken = b"x" * (500 << 20)  # more than a child may keep

    inspect(inspector, tmp_path / "file", large_png(4))
    kept = inspector.processes()

    inspector.close()
    assert len(taken) > 0
    assert len(kept) == 1


def test_the_walls_are_told_once(tmp_path: Path) -> None:
    stream = io.StringIO()
    inspector = ChildInspector(Log("test", stream), options=InspectorOptions(children=1, seconds=60, files_per_child=1))
    for _ in range(2):
        inspect(inspector, tmp_path / "file", large_png(4))

    inspector.close()
    (told,) = map(json.loads, stream.getvalue().splitlines())
    assert told["event"] == "media.isolation"
    assert set(told) >= {"network", "files", "calls", "limits", "parent", "films"}


def test_without_a_decoder_a_film_still_has_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(films, "_INSTALLED", False)
    frame = b"\xff\xfb\x90\x00" + bytes(413)
    found = Found()

    with pytest.raises(UnreadableError, match="no decoder for films and compressed sounds is installed"):
        Looking(pixels=100)(io.BytesIO(frame * 50), "audio/mpeg", found, complete=True, want_thumbnail=True)

    assert found.facts["sample_rate"] == 44_100


@pytest.mark.parametrize(
    ("message", "data"),
    [({}, b""), ({"facts": []}, b""), ({"facts": {}}, b"GIF89a"), ({"facts": {}}, b"RIFF\x05\0\0\0WEBPxx")],
)
def test_an_answer_that_cannot_be_one_is_none(message: dict[str, object], data: bytes) -> None:
    with pytest.raises(NoMessageError):
        parse_answer(message, data)


def test_facts_that_cannot_be_true_are_left_out() -> None:
    facts = {"width": -1, "height": "<b>", "duration": float("inf"), "fps": True, "channels": 2**70, "pages": 3, "x": 1}
    seen = parse_answer({"facts": facts, "problem": "a\nb" * 500}, b"")

    assert seen.facts is not None
    assert (seen.facts.width, seen.facts.height, seen.facts.duration, seen.facts.fps) == (None, None, None, None)
    assert (seen.facts.channels, seen.facts.pages) == (None, 3)
    assert seen.problem is not None
    assert len(seen.problem) <= 200
    assert seen.problem.isprintable()
