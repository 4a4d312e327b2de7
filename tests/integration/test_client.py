"""The SDK against the real server."""

from __future__ import annotations

import asyncio
import hashlib
import io
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest
from PIL import Image

from penstock.client import (
    AsyncPenstock,
    AuthenticationError,
    ConflictError,
    InParts,
    InsufficientCreditsError,
    InvalidRequestError,
    NotFoundError,
    Penstock,
    PermissionDeniedError,
    RunFailedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.server import Server

PHOTOGRAPH = Path(__file__).parents[2] / "examples" / "chelsea.png"
PART = 5 * 2**20
IN_PARTS = InParts(at_least=0, part_size=PART)
SHA256 = hashlib.sha256(PHOTOGRAPH.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def client(server: Server, api_key: str) -> Iterator[Penstock]:
    with Penstock(server.url, api_key) as opened:
        yield opened


def test_a_photograph_goes_up_and_comes_back_as_it_was(client: Penstock, tmp_path: Path) -> None:
    asset = client.upload_file(PHOTOGRAPH)

    assert (asset.filename, asset.content_type, asset.kind) == ("chelsea.png", "image/png", "image")
    assert (asset.size_bytes, asset.sha256) == (PHOTOGRAPH.stat().st_size, SHA256)
    assert client.asset(asset.id).url == asset.url
    saved = client.download(asset, tmp_path / "back.png")
    assert hashlib.sha256(saved.read_bytes()).hexdigest() == SHA256


def test_a_photograph_becomes_another_picture_of_its_size(client: Penstock) -> None:
    kinds: list[str] = []
    before = client.account().balance_usd

    run = client.run(
        "builtin/stylize", image=PHOTOGRAPH, prompt="a pencil drawing", on_event=lambda told: kinds.append(told.kind)
    )

    assert (kinds[0], kinds[-1]) == ("run.queued", "run.succeeded")
    picture = Image.open(io.BytesIO(client.download(run.files[0])))
    with Image.open(PHOTOGRAPH) as photograph:
        assert picture.size == photograph.size
        assert picture.convert("RGB").tobytes() != photograph.convert("RGB").tobytes()
    assert run.cost_usd == Decimal("0.004")
    assert client.account().balance_usd == before - Decimal("0.004")


def test_the_result_of_one_run_is_the_input_of_the_next(client: Penstock) -> None:
    cut_out = client.run("swook/inspyrenet", image=PHOTOGRAPH)

    painted = client.run("builtin/stylize", image=cut_out.files[0], prompt="oil")

    assert painted.input["image"] == cut_out.files[0].asset_id
    assert painted.files[0].content_type == "image/png"


def test_every_asset_is_listed_once(client: Penstock) -> None:
    mine = {client.upload_file(f"note {n}".encode(), filename=f"{n}.txt").id for n in range(5)}

    listed = [asset.id for asset in client.assets(page_size=2)]

    assert mine <= set(listed)
    assert len(listed) == len(set(listed))


def test_an_upload_of_nothing_known_is_kept_as_it_is(client: Penstock) -> None:
    asset = client.upload_file(bytes(range(256)))

    assert client.download(asset) == bytes(range(256))


def test_an_upload_whose_bytes_never_came_cannot_be_completed(client: Penstock) -> None:
    begun = client.create_upload(filename="a.png", content_type="image/png", size_bytes=3)

    with pytest.raises(NotFoundError) as caught:
        client.complete_upload(begun.id)

    assert caught.value.code == "file_not_stored"


def test_a_missing_input_is_named(client: Penstock) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        client.run("builtin/stylize")

    assert caught.value.code == "invalid_field"
    assert [error.pointer.rpartition("/")[2] for error in caught.value.errors] == ["prompt"]


def test_a_file_that_is_no_picture_is_refused_before_anything_is_charged(client: Penstock) -> None:
    before = client.account().balance_usd

    with pytest.raises(InvalidRequestError, match="not accepted"):
        client.run("builtin/stylize", image=b"words", prompt="oil")

    assert client.account().balance_usd == before


def test_a_picture_that_cannot_be_decoded_fails_the_run_and_costs_nothing(client: Penstock) -> None:
    before = client.account().balance_usd
    broken = PHOTOGRAPH.read_bytes()[:20000]

    with pytest.raises(RunFailedError) as caught:
        client.run("builtin/stylize", image=broken, prompt="oil")

    assert caught.value.run.error is not None
    assert client.account().balance_usd == before


def test_an_unknown_key_is_refused(server: Server) -> None:
    with Penstock(server.url, f"sk_{'0' * 64}_00000000") as stranger, pytest.raises(AuthenticationError):
        stranger.account()


def test_a_key_without_the_scope_is_refused(server: Server) -> None:
    with Penstock(server.url, server.create_key(scopes=["account:read"])) as reader:
        assert reader.account().key.scopes == ("account:read",)
        with pytest.raises(PermissionDeniedError, match="files:write"):
            reader.upload_file(b"x")


def test_an_account_without_credits_cannot_run(server: Server) -> None:
    with Penstock(server.url, server.create_key(credits_usd="0")) as poor, pytest.raises(InsufficientCreditsError):
        poor.run("builtin/stylize", prompt="oil")


def test_what_belongs_to_another_account_is_not_there(client: Penstock, server: Server) -> None:
    asset = client.upload_file(b"mine")

    with Penstock(server.url, server.create_key()) as stranger:
        with pytest.raises(NotFoundError):
            stranger.asset(asset.id)
        with pytest.raises(NotFoundError):
            stranger.asset("asset_00000000000000000000000000000000")


def test_a_run_can_be_cancelled(client: Penstock) -> None:
    begun = client.create_run("builtin/stylize", {"prompt": "hills in oil", "width": 2048, "height": 2048})

    client.cancel_run(begun.id)

    with pytest.raises(RunFailedError) as caught:
        client.wait_run(begun.id, timeout=60)
    assert caught.value.run.state == "cancelled"


def test_the_asynchronous_client_does_the_same(server: Server, api_key: str, tmp_path: Path) -> None:
    async def journey() -> tuple[str, list[str], Path]:
        async with AsyncPenstock(server.url, api_key) as client:
            with PHOTOGRAPH.open("rb") as file:
                asset = await client.upload_file(file)
            begun = await client.create_run("builtin/stylize", {"image": asset, "prompt": "oil"})
            kinds = [event.kind async for event in client.events(begun.id)]
            run = await client.wait_run(begun.id)
            return asset.sha256 or "", kinds, await client.download(run.files[0], tmp_path / "oil.png")

    sha256, kinds, picture = asyncio.run(journey())

    assert sha256 == SHA256
    assert kinds[-1] == "run.succeeded"
    with Image.open(picture) as painted, Image.open(PHOTOGRAPH) as photograph:
        assert painted.size == photograph.size


def test_uploads_run_side_by_side(server: Server, api_key: str) -> None:
    async def journey() -> list[str]:
        async with AsyncPenstock(server.url, api_key) as client:
            bodies = [f"file {n}".encode() * 1000 for n in range(12)]
            assets = await asyncio.gather(*(client.upload_file(body) for body in bodies))
            back = await asyncio.gather(*(client.download(asset) for asset in assets))
            assert back == bodies
            return [asset.id for asset in assets]

    assert len(set(asyncio.run(journey()))) == 12


def test_a_large_file_goes_up_in_parts(client: Penstock, tmp_path: Path) -> None:
    film = _film(tmp_path / "film.bin")

    asset = client.upload_file(film, parts=IN_PARTS)

    assert (asset.size_bytes, asset.filename) == (film.stat().st_size, "film.bin")
    assert client.download(asset) == film.read_bytes()


def test_an_upload_that_broke_off_is_resumed_with_what_is_missing(client: Penstock, tmp_path: Path) -> None:
    film = _film(tmp_path / "film.bin")
    begun = client.create_upload(
        filename="film.bin",
        content_type="application/octet-stream",
        method="multipart",
        size_bytes=film.stat().st_size,
        part_size=PART,
    )
    other, mine = b"x" * PART, film.read_bytes()[PART : 2 * PART]
    for signed, part in zip(client.sign_parts(begun.id, [1, 2]).data, (other, mine), strict=True):
        httpx2.put(signed.url, content=part).raise_for_status()
    sent: list[int] = []

    asset = client.upload_file(film, resume=begun.id, on_progress=lambda done, _: sent.append(done))

    assert sent[:2] == [0, PART]
    assert asset.upload_id == begun.id
    assert client.download(asset) == film.read_bytes()
    assert client.upload_file(film, resume=begun.id).id == asset.id


def test_an_upload_that_was_aborted_keeps_nothing(client: Penstock, tmp_path: Path) -> None:
    begun = client.create_upload(filename="a", content_type="application/octet-stream", method="multipart")
    (signed,) = client.sign_parts(begun.id, [1]).data
    httpx2.put(signed.url, content=b"x").raise_for_status()
    assert [part.size_bytes for part in client.received_parts(begun.id)] == [1]

    assert client.abort_upload(begun.id).state == "aborted"

    assert httpx2.put(signed.url, content=b"x").status_code == 404
    with pytest.raises(ConflictError, match="aborted"):
        client.upload_file(_film(tmp_path / "film.bin"), resume=begun.id)


def _film(path: Path) -> Path:
    """Two parts and a rest."""
    path.write_bytes(b"".join(bytes([n]) * 2**19 for n in range(21)))
    return path
