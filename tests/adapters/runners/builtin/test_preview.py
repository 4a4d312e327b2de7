"""The preview: a picture of what was asked, and of weights that were read, that says that it is no inference."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from penstock.domain.errors import ObjectStoreUnavailable, RunnerFailed
from penstock.ports.runners import OutputFile, RunImpossibleError, WeightsInput
from tests.support.remote import remote_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from penstock.adapters.runners.builtin import BuiltinRunner
    from tests.adapters.runners.workbench import Workbench
    from tests.support.remote import Remote, Visit

HEADER = json.dumps({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode().ljust(72)
FILE = len(HEADER).to_bytes(8, "little") + HEADER + bytes(100_000)


def ranged(data: bytes, seen: list[str]) -> Callable[[Visit], None]:
    def handle(visit: Visit) -> None:
        asked = visit.headers.get("range", "")
        seen.append(asked)
        end = int(asked.rpartition("-")[2]) + 1
        visit.answer("206 Partial Content", data[:end], Content_Range=f"bytes 0-{end - 1}/{len(data)}")

    return handle


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    with remote_server() as running:
        yield running


@pytest.fixture
def seen(remote: Remote, bench: Workbench) -> list[str]:
    """The ranges that were asked for."""
    ranges: list[str] = []
    remote.on("/weights", ranged(FILE, ranges))
    bench.weights = {"acme:1@1": remote.url("/weights?signature=x"), "acme:2@1": remote.url("/weights?signature=x")}
    return ranges


def weights(air: str = "acme:1@1") -> WeightsInput:
    return WeightsInput(
        air=air,
        name="Größe XL",
        category="checkpoint",
        architecture="sdxl",
        file_id="f",
        size=len(FILE),
        sha256="ab" * 32,
    )


def draw(runner: BuiltinRunner, bench: Workbench, **inputs: object) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    given = {"weights": weights(), "prompt": "a river at dawn", "seed": 1, "width": 96, "height": 64, **inputs}
    output = runner.run("preview", given, bench)
    assert isinstance(output, dict)
    made = output["image"]
    assert isinstance(made, OutputFile)
    assert made.name.startswith("preview.")
    with Image.open(made.path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.statement("RU-70", part="the builtin preview")
def test_the_same_request_gives_the_same_picture_and_any_other_another(
    runner: BuiltinRunner, bench: Workbench, seen: list[str], remote: Remote, cat: Path
) -> None:
    lora = {"model": weights("acme:2@1"), "weight": 1}
    first = draw(runner, bench)

    assert first.shape == (64, 96, 3)
    assert np.array_equal(first, draw(runner, bench))
    for change in (
        {"seed": 2},
        {"prompt": "a river at dusk"},
        {"steps": 30},
        {"cfg": 3.5},
        {"loras": [lora]},
        {"loras": [{**lora, "weight": 0.5}]},
        {"weights": weights("acme:2@1")},
        {"controlnets": [{**lora, "guideImage": bench.file(cat)}]},
    ):
        assert not np.array_equal(first, draw(runner, bench, **change)), change
    other = FILE[:20] + b"!" + FILE[21:]
    remote.on("/weights", ranged(other, seen))
    assert not np.array_equal(first, draw(runner, bench))


def test_the_beginning_of_the_weights_is_read_by_a_range_and_the_log_says_that_no_model_was_run(
    runner: BuiltinRunner, bench: Workbench, seen: list[str]
) -> None:
    draw(runner, bench, loras=[{"model": weights("acme:2@1"), "weight": 1}])

    assert seen == ["bytes=0-65535"] * 2
    assert any("no model was run" in message for _, message in bench.logs)


def test_words_stand_in_the_picture(runner: BuiltinRunner, bench: Workbench, seen: list[str]) -> None:
    large = draw(runner, bench, width=512, height=512)

    bright = (large.min(axis=2) > 230).sum(axis=1)
    assert seen
    assert (bright[: 512 // 4] > 20).any()


def test_what_is_too_long_for_one_line_takes_more_of_them(
    runner: BuiltinRunner, bench: Workbench, seen: list[str], tmp_path: Path
) -> None:
    Image.new("RGB", (512, 512), "white").save(tmp_path / "white.png")
    white = {"seed_image": bench.file(tmp_path / "white.png"), "strength": 0.0, "width": 512, "height": 512}

    def bands(**inputs: object) -> int:
        """Every line has a dark band, which reaches to the right edge of a picture that shows only what was given."""
        dark = draw(runner, bench, **white, **inputs)[:, -1].max(axis=1) < 128
        return int(dark[0]) + int((dark[1:] & ~dark[:-1]).sum())

    short = bands(seed=1)
    assert seen
    assert short == 5  # notice, model, numbers, prompt, header
    assert bands(seed=2**63, steps=25, cfg=7.0) == short + 1
    assert bands(prompt="a lighthouse in a storm, " * 3) == short + 1
    assert bands(prompt="a lighthouse in a storm, " * 999) == short + 3


def test_a_picture_that_was_given_shines_through(
    runner: BuiltinRunner, bench: Workbench, seen: list[str], cat: Path
) -> None:
    weak = draw(runner, bench, seed_image=bench.file(cat), strength=0.1, output_format="WEBP")
    strong = draw(runner, bench, seed_image=bench.file(cat), strength=0.9, output_format="jpg")

    assert seen
    assert weak.shape == strong.shape == (64, 96, 3)
    assert not np.array_equal(weak, strong)


@pytest.mark.parametrize("wrong", [{"width": 32}, {"height": 4096}, {"output_format": "TIFF"}])
def test_what_cannot_be_drawn_is_refused(
    runner: BuiltinRunner, bench: Workbench, seen: list[str], wrong: dict[str, object]
) -> None:
    with pytest.raises(RunnerFailed, match=next(iter(wrong))):
        draw(runner, bench, **wrong)
    assert seen


def test_weights_that_cannot_be_read_now_are_tried_again_and_those_without_ranges_never(
    runner: BuiltinRunner, bench: Workbench, remote: Remote
) -> None:
    bench.weights = {"acme:1@1": "http://127.0.0.1:9/weights"}
    with pytest.raises(ObjectStoreUnavailable):
        draw(runner, bench)

    remote.on("/whole", lambda visit: visit.answer("200 OK", FILE))
    bench.weights = {"acme:1@1": remote.url("/whole")}
    with pytest.raises(RunImpossibleError, match="200"):
        draw(runner, bench)
