"""Giving assets another end over the wire."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.ports.runners import OutputFile
from tests.support.exchange import exchange, fetch
from tests.support.native import Native, problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from penstock.ports.runners import JsonLike, RunContext
    from tests.support.house import House

MINUTE = timedelta(minutes=1)


@pytest.fixture
def owner(house: House) -> Native:
    return Native(url=house.url, key=house.create_key())


def test_a_promoted_asset_outlives_its_end_under_the_same_url(house: House, owner: Native, photo: bytes) -> None:
    asset = owner.upload(photo, expires_in=60)
    house.work()

    kept = owner.post(f"/assets/{asset['id']}/promote").must(200)
    again = owner.post(f"/assets/{asset['id']}/promote").must(200)

    assert (kept["expires_at"], kept["url"], kept["id"]) == (None, asset["url"], asset["id"])
    assert again == kept
    house.clock.advance(2 * MINUTE)
    house.sweep()
    assert fetch(asset["url"]).body == photo


@pytest.mark.parametrize("seconds", [60, 3600])
def test_a_life_can_be_made_longer_or_shorter(house: House, owner: Native, photo: bytes, seconds: int) -> None:
    asset = owner.upload(photo, expires_in=600)

    changed = owner.call("PUT", f"/assets/{asset['id']}/lifetime", {"expires_in": seconds}).must(200)

    assert datetime.fromisoformat(changed["expires_at"]) == house.clock.now().replace(
        microsecond=house.clock.now().microsecond // 1000 * 1000
    ) + timedelta(seconds=seconds)
    house.clock.advance(timedelta(seconds=seconds - 1))
    assert fetch(asset["url"]).status == 200
    house.clock.advance(timedelta(seconds=2))
    assert exchange("GET", asset["url"]).status == 410


def test_a_life_without_an_end_is_asked_for_by_null(owner: Native, photo: bytes) -> None:
    asset = owner.upload(photo, expires_in=60)

    assert owner.call("PUT", f"/assets/{asset['id']}/lifetime", {"expires_in": None}).must(200)["expires_at"] is None


@pytest.mark.parametrize("body", [{}, {"expires_in": 59}, {"expires_in": "60"}, {"expires_in": 60, "more": 1}, None])
def test_a_life_that_cannot_be_is_refused(owner: Native, photo: bytes, body: dict[str, object] | None) -> None:
    asset = owner.upload(photo, expires_in=600)

    answer = owner.call("PUT", f"/assets/{asset['id']}/lifetime", body)

    assert answer.status in {400, 422}
    assert owner.get(f"/assets/{asset['id']}").must(200) == asset


def test_what_has_ended_gets_no_other_end(house: House, owner: Native, photo: bytes) -> None:
    expired, deleted = owner.upload(photo, expires_in=60), owner.upload(photo)
    owner.delete(f"/assets/{deleted['id']}").must(204)
    house.clock.advance(MINUTE + timedelta(seconds=1))

    for asset in (expired, deleted):
        problem(owner.post(f"/assets/{asset['id']}/promote"), 404, "asset_not_found")
        problem(owner.call("PUT", f"/assets/{asset['id']}/lifetime", {"expires_in": 60}), 404, "asset_not_found")
        assert owner.get(f"/assets/{asset['id']}").status == 410


@pytest.mark.parametrize(("asked", "lives"), [({"output_expires_in": 60}, True), ({"output_expires_in": None}, False)])
def test_a_run_says_how_long_its_files_live(
    house: House, owner: Native, photo: bytes, asked: dict[str, object], *, lives: bool
) -> None:
    def paint(_: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        target = context.workdir / "made.png"
        target.write_bytes(photo)
        return OutputFile(path=target, name="made.png", content_type="image/png")

    house.models["acme/model"] = paint
    run = owner.start("acme/model", {}, **asked)
    house.work()

    made = owner.get(f"/assets/{owner.finished(run['id'])['output']['asset_id']}").must(200)

    assert (made["expires_at"] is not None) == lives


def test_another_end_needs_the_right_to_write(make_account: Callable[..., Native]) -> None:
    reader = make_account("files:read")

    for method, path in (("POST", "promote"), ("PUT", "lifetime")):
        problem(reader.call(method, f"/assets/asset_{'0' * 32}/{path}", {"expires_in": 60}), 403, "scope_missing")
