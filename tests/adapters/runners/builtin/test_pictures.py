"""Reading picture files of every kind that is accepted, and only those."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from penstock.adapters.runners.builtin.faults import UnusableInputError
from penstock.adapters.runners.builtin.pictures import Photo, read_photo, write_jpeg, write_png, write_webp

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path) -> Photo:
    return read_photo(path, max_pixels=10**6)


def half_red_half_blue(mode: str = "RGB") -> Image.Image:
    image = Image.new("RGB", (40, 20), (255, 0, 0))
    image.paste((0, 0, 255), (20, 0, 40, 20))
    return image.convert(mode)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.gif"])
def test_every_accepted_format_is_read_whatever_its_name_says(tmp_path: Path, name: str) -> None:
    half_red_half_blue().save(tmp_path / name)
    disguised = (tmp_path / name).rename(tmp_path / "picture.eps")

    photo = read(disguised)

    assert photo.bgr.shape == (20, 40, 3)
    assert photo.bgr[10, 5, 2] > 200
    assert photo.bgr[10, 5, 0] < 60
    assert photo.alpha is None


@pytest.mark.parametrize("name", ["a.bmp", "a.tiff", "a.ppm", "a.pcx", "a.ico", "a.eps", "a.pdf"])
def test_formats_that_are_not_accepted_are_refused_unopened(tmp_path: Path, name: str) -> None:
    half_red_half_blue().save(tmp_path / name)

    with pytest.raises(UnusableInputError, match="not a picture that can be read"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("orientation", "red"),
    [(1, "left"), (2, "right"), (3, "right"), (4, "left"), (5, "top"), (6, "top"), (7, "bottom"), (8, "bottom")],
)
def test_the_exif_orientation_is_applied(tmp_path: Path, orientation: int, red: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    half_red_half_blue().save(tmp_path / "a.jpg", exif=exif, quality=95)

    bgr = read(tmp_path / "a.jpg").bgr

    height, width = bgr.shape[:2]
    assert (width, height) == ((40, 20) if orientation < 5 else (20, 40))
    places = {
        "left": bgr[height // 2, 3],
        "right": bgr[height // 2, -4],
        "top": bgr[3, width // 2],
        "bottom": bgr[-4, width // 2],
    }
    assert [name for name, pixel in places.items() if pixel[2] > 200 and pixel[0] < 60] == [red]


def test_a_broken_exif_block_is_no_reason_to_refuse_good_pixels(tmp_path: Path) -> None:
    half_red_half_blue().save(tmp_path / "a.jpg", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")

    assert read(tmp_path / "a.jpg").bgr.shape == (20, 40, 3)


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1", "YCbCr"])
def test_other_colour_modes_become_colour(tmp_path: Path, mode: str) -> None:
    name = "a.jpg" if mode in {"CMYK", "YCbCr"} else "a.png"
    half_red_half_blue(mode).save(tmp_path / name)

    photo = read(tmp_path / name)

    assert photo.bgr.shape == (20, 40, 3)
    assert photo.bgr.dtype == np.uint8


def test_sixteen_bit_grey_keeps_its_range(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (4, 1))
    Image.fromarray(ramp).save(tmp_path / "a.png")

    assert read(tmp_path / "a.png").bgr[0, :, 0].tolist() == pytest.approx(list(range(256)), abs=1)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_kept(tmp_path: Path, mode: str) -> None:
    image = half_red_half_blue("RGBA")
    image.putalpha(Image.linear_gradient("L").resize((40, 20)))
    image.convert(mode).save(tmp_path / "a.png")

    alpha = read(tmp_path / "a.png").alpha

    assert alpha is not None
    assert alpha[0, 0] < 20
    assert alpha[-1, 0] > 230


def test_an_alpha_channel_that_is_opaque_everywhere_is_none(tmp_path: Path) -> None:
    half_red_half_blue("RGBA").save(tmp_path / "a.png")

    assert read(tmp_path / "a.png").alpha is None


def test_of_an_animation_the_first_frame_is_taken_and_the_others_are_counted(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])

    photo = read(tmp_path / "a.gif")

    assert photo.frames == 3
    assert photo.bgr[5, 5].tolist() == [0, 0, 255]


def test_more_pixels_than_allowed_are_refused_by_the_header_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("1", (2000, 501)).save(path)
    header_only = path.read_bytes()[:60]
    path.write_bytes(header_only)

    with pytest.raises(UnusableInputError, match="more than 1 million pixels"):
        read(path)


@pytest.mark.parametrize("seed", range(25))
def test_damage_anywhere_is_refused_or_read_but_never_anything_else(tmp_path: Path, cat: Path, seed: int) -> None:
    chance = np.random.default_rng(seed)
    broken = bytearray(cat.read_bytes())
    for place in chance.integers(8, len(broken), 20):
        broken[place] = chance.integers(256)
    (tmp_path / "a.png").write_bytes(broken)

    try:
        shape = read(tmp_path / "a.png").bgr.shape
    except UnusableInputError as error:
        assert str(error)  # noqa: PT017 - either outcome is right, and nothing else is
    else:
        assert shape[2] == 3


def test_the_colour_profile_survives(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    for write, name in ((write_png, "a.png"), (write_jpeg, "a.jpg"), (write_webp, "a.webp")):
        quality = {} if write is write_png else {"quality": 90}
        write(pixels, tmp_path / name, profile=b"a profile", **quality)
        with Image.open(tmp_path / name) as image:
            assert image.info["icc_profile"] == b"a profile"


def test_metadata_of_the_photograph_is_dropped(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    half_red_half_blue().save(tmp_path / "in.jpg", exif=exif)

    photo = read(tmp_path / "in.jpg")
    write_jpeg(photo.bgr, tmp_path / "out.jpg", quality=90, profile=photo.profile)

    assert b"where I live" not in (tmp_path / "out.jpg").read_bytes()
