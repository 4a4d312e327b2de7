"""Films are written whole, with both writers, and in the colours they were given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from penstock.adapters.runners.builtin.films import av_writer, film_format, opencv_writer

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from penstock.adapters.runners.builtin.films import FilmWriter

SIZE = (160, 96)


def writer(kind: str, path: Path) -> AbstractContextManager[FilmWriter]:
    return opencv_writer(path, size=SIZE) if kind == "opencv" else av_writer(path, kind, size=SIZE)


@pytest.mark.parametrize(
    ("kind", "codec", "container"),
    [("opencv", "vp9", "matroska,webm"), ("webm", "vp9", "matroska,webm"), ("mp4", "h264", "mov,mp4")],
)
def test_a_film_has_every_picture_in_its_colour(tmp_path: Path, kind: str, codec: str, container: str) -> None:
    path = tmp_path / "result"
    frame = np.full((SIZE[1], SIZE[0], 3), (40, 120, 200), dtype=np.uint8)

    with writer(kind, path) as film:
        for _ in range(30):
            film.write(frame)

    with av.open(str(path)) as file:
        pictures = [picture.to_ndarray(format="bgr24") for picture in file.decode(video=0)]
        stream = file.streams.video[0]
        assert file.format.name.startswith(container)
        assert (stream.codec_context.name, float(stream.average_rate or 0), len(pictures)) == (codec, 24.0, 30)
        assert (stream.width, stream.height) == SIZE
    assert np.abs(pictures[-1].reshape(-1, 3).mean(axis=0) - (40, 120, 200)).max() < 16
    assert [entry.name for entry in tmp_path.iterdir()] == ["result"]


@pytest.mark.parametrize(("wanted", "given"), [(None, "mp4"), ("mp4", "mp4"), ("webm", "webm")])
def test_the_format_is_the_one_wanted_or_mp4(wanted: str | None, given: str) -> None:
    assert film_format(wanted) == given
