"""Pictures: what is told of them, and thumbnails that show them upright and tell nothing else."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from penstock.ports.media import Inspection
    from tests.adapters.media.conftest import Look

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "AVIF", "TIFF", "BMP")
ORIENTATION = 0x0112
RED, BLUE = (200, 20, 20), (20, 20, 200)
TURNED = {  # how a picture lies in a file whose orientation says so; the opposite of what shows it upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def shown(seen: Inspection) -> Image.Image:
    assert seen.problem is None
    assert seen.thumbnail is not None
    image = Image.open(io.BytesIO(seen.thumbnail), formats=["WEBP"])
    image.load()
    return image


def is_near(pixel: object, colour: tuple[int, int, int]) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(one - other) < 40 for one, other in zip(pixel[:3], colour, strict=True))


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, form, **options)
    return target.getvalue()


@pytest.fixture
def image(picture: bytes) -> Image.Image:
    return Image.open(io.BytesIO(picture))


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gets_its_size_and_a_thumbnail(look: Look, image: Image.Image, form: str) -> None:
    seen = look(saved(image, form), f"image/{form.lower()}")

    small = shown(seen)
    assert seen.facts is not None
    assert (seen.facts.width, seen.facts.height) == (640, 480)
    assert small.size == (512, 384)
    assert is_near(small.convert("RGB").getpixel((256, 90)), RED)
    assert is_near(small.convert("RGB").getpixel((256, 290)), BLUE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_thumbnail_stands_upright(look: Look, orientation: int) -> None:
    upright = Image.new("RGB", (40, 80), RED)
    upright.paste(BLUE, (0, 40, 40, 80))
    method = TURNED.get(orientation)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = saved(upright.transpose(method) if method is not None else upright, "JPEG", exif=exif, quality=95)

    seen = look(stored, "image/jpeg")

    assert seen.facts is not None
    assert (seen.facts.width, seen.facts.height, seen.facts.orientation) == (40, 80, orientation)
    small = shown(seen).convert("RGB")
    assert is_near(small.getpixel((20, 10)), RED)
    assert is_near(small.getpixel((20, 70)), BLUE)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "I", "F"])
def test_every_mode_of_pixels_becomes_a_thumbnail(look: Look, image: Image.Image, mode: str) -> None:
    wide = mode in {"I;16", "I", "F"}
    stored = saved(image.convert("L").convert(mode) if wide else image.convert(mode), "TIFF")

    small = shown(look(stored, "image/tiff"))

    assert small.size == (512, 384)


def test_colours_for_print_become_colours_for_screens(look: Look, image: Image.Image) -> None:
    small = shown(look(saved(image.convert("CMYK"), "JPEG"), "image/jpeg"))

    assert is_near(small.convert("RGB").getpixel((256, 90)), RED)


def test_transparency_is_kept(look: Look) -> None:
    glass = Image.new("RGBA", (100, 100), (0, 255, 0, 0))

    assert shown(look(saved(glass, "PNG"), "image/png")).convert("RGBA").getpixel((50, 50))[3] == 0  # type: ignore[index]  # four bands


def test_a_thumbnail_holds_pixels_and_nothing_else(look: Look, image: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x8298] = "the owner's name"
    stored = saved(image, "JPEG", exif=exif, comment=b"a secret", icc_profile=b"a profile" * 20)

    small = shown(look(stored, "image/jpeg"))

    assert not {"exif", "icc_profile", "xmp", "comment"} & set(small.info)


@pytest.mark.parametrize(
    ("form", "fact"), [("GIF", "frames"), ("WEBP", "frames"), ("PNG", "frames"), ("TIFF", "pages")]
)
def test_frames_and_pages_are_counted_and_the_first_is_shown(look: Look, form: str, fact: str) -> None:
    others = [Image.new("RGB", (60, 40), (0, shade, 0)) for shade in (80, 160, 240)]
    data = saved(Image.new("RGB", (60, 40), RED), form, save_all=True, append_images=others)

    seen = look(data, f"image/{form.lower()}")

    assert getattr(seen.facts, fact) == 4
    assert is_near(shown(seen).convert("RGB").getpixel((30, 20)), RED)


def test_a_small_picture_is_not_made_larger(look: Look) -> None:
    assert shown(look(saved(Image.new("RGB", (3, 2)), "PNG"), "image/png")).size == (3, 2)


def test_a_very_narrow_picture_keeps_a_pixel(look: Look) -> None:
    assert shown(look(saved(Image.new("L", (20_000, 1)), "PNG"), "image/png")).size == (512, 1)


def test_without_thumbnails_the_facts_are_the_same(look: Look, picture: bytes) -> None:
    with_one = look(picture, "image/jpeg")
    without = look(picture, "image/jpeg", want_thumbnail=False)

    assert (without.facts, without.thumbnail, without.problem) == (with_one.facts, None, None)


def test_of_a_file_with_holes_the_header_is_read(look: Look, picture: bytes) -> None:
    seen = look(picture[:2000] + bytes(len(picture)), "image/jpeg", complete=False)

    assert seen.facts is not None
    assert (seen.facts.width, seen.thumbnail, seen.problem) == (640, None, "the file is too large to be decoded")


def test_a_heic_picture_has_a_size_and_a_reason(look: Look) -> None:
    def box(kind: bytes, body: bytes) -> bytes:
        return (8 + len(body)).to_bytes(4, "big") + kind + body

    size = box(b"ispe", bytes(4) + (4032).to_bytes(4, "big") + (3024).to_bytes(4, "big"))
    tile = box(b"ispe", bytes(4) + (512).to_bytes(4, "big") * 2)
    properties = box(b"iprp", box(b"ipco", tile + size + box(b"irot", b"\x01")))
    heic = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic") + box(b"meta", bytes(4) + properties)

    seen = look(heic, "image/heic")

    assert seen.facts is not None
    assert (seen.facts.width, seen.facts.height) == (3024, 4032)
    assert (seen.thumbnail, seen.problem) == (None, "there is no decoder here for files of this type")


def test_a_drawing_is_not_turned_into_pixels(look: Look) -> None:
    seen = look(b'<svg xmlns="http://www.w3.org/2000/svg"/>', "image/svg+xml")

    assert (seen.thumbnail, seen.problem) == (None, "drawings of this type are not turned into pixels")
