"""Reading films: of the two containers that are let in, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from penstock.adapters.runners.builtin.faults import UnusableInputError
from penstock.adapters.runners.builtin.films import av_writer
from penstock.adapters.runners.builtin.footage import open_footage, pictures

if TYPE_CHECKING:
    from pathlib import Path


def film(path: Path, extension: str) -> Path:
    """Two seconds of 128 × 96 that grow lighter, 24 pictures a second."""
    with av_writer(path, extension, size=(128, 96)) as writer:
        for index in range(48):
            writer.write(np.full((96, 128, 3), 20 + 4 * index, dtype=np.uint8))
    return path


@pytest.mark.parametrize("extension", ["mp4", "webm"])
def test_a_film_is_read_at_the_pace_asked_for(tmp_path: Path, extension: str) -> None:
    footage = open_footage(film(tmp_path / "film", extension))

    seen = [float(picture.mean()) for picture in pictures(footage, every=0.25, seconds=10)]

    assert (footage.size, footage.rate, round(footage.seconds)) == ((128, 96), 24.0, 2)
    assert seen == pytest.approx([20 + 4 * 6 * index for index in range(8)], abs=6)


def test_no_more_of_a_film_is_read_than_wanted(tmp_path: Path) -> None:
    footage = open_footage(film(tmp_path / "film", "mp4"))

    assert len(list(pictures(footage, every=1 / 24, seconds=0.5))) == 12


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no film",
        b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
        b"RIFF\x00\x00\x00\x00AVI LIST",
        b"\x00\x00\x00\x18ftypisom",
        b"\x1a\x45\xdf\xa3",
    ],
    ids=["empty", "text", "playlist", "concat", "session", "avi", "a beginning", "a magic number"],
)
def test_what_is_no_film_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "film"
    path.write_bytes(content)

    with pytest.raises(UnusableInputError, match="not a film that can be read"):
        open_footage(path)


def test_a_film_that_ends_early_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = film(tmp_path / "film", "webm").read_bytes()
    (tmp_path / "cut").write_bytes(whole[: int(len(whole) * 0.6)])

    seen = list(pictures(open_footage(tmp_path / "cut"), every=0.25, seconds=10))

    assert 0 < len(seen) < 8
