"""One asset: its record, its thumbnail, its deletion, and who may see it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.dialects.runflow.client import PNG, UNKNOWN, Runflow, envelope, wrong_fields
from tests.support.exchange import exchange, fetch

if TYPE_CHECKING:
    from tests.support.house import House


@pytest.mark.statement("RF-15")
def test_an_asset_is_there_from_its_confirmation_to_its_deletion(acme: Runflow, rival: Runflow, house: House) -> None:
    upload_id = acme.send()
    path = f"/v1/assets/{upload_id}"
    envelope(acme.call("GET", path), 404, "ASSET_NOT_FOUND")

    confirmed = acme.try_confirm(upload_id, {}).must(201)
    house.clock.advance(timedelta(seconds=5))
    read = acme.asset(upload_id)

    assert {**read, "url": ""} == {**confirmed, "url": ""}
    assert read["url"] != confirmed["url"]
    assert fetch(read["url"]).body == PNG
    for answer in (
        rival.call("GET", path),
        acme.call("GET", f"/v1/assets/{UNKNOWN}"),
        acme.call("GET", "/v1/assets/x"),
    ):
        envelope(answer, 404, "ASSET_NOT_FOUND")
    assert acme.call("DELETE", path).status == 204
    envelope(acme.call("GET", path), 404, "ASSET_NOT_FOUND")


def test_a_deletion_may_be_repeated_and_nobody_else_can_do_it(acme: Runflow, rival: Runflow) -> None:
    path = f"/v1/assets/{acme.upload()['id']}"

    envelope(rival.call("DELETE", path), 404, "ASSET_NOT_FOUND")
    assert acme.call("GET", path).status == 200

    assert [acme.call("DELETE", path).status for _ in range(2)] == [204, 204]


@pytest.mark.statement("RF-17")
def test_a_picture_gets_a_thumbnail_that_anybody_can_see(acme: Runflow, house: House) -> None:
    asset_id = acme.upload()["id"]
    house.work()

    served = fetch(acme.asset(asset_id)["thumbnail_url"])

    assert (served.status, served.headers["content-type"]) == (200, "image/webp")
    assert served.body[:4] == b"RIFF"


def test_who_made_an_asset_is_embedded_when_asked_for_and_fields_are_selected(acme: Runflow) -> None:
    asset_id = acme.upload()["id"]
    path = f"/v1/assets/{asset_id}"

    assert "created_by_user" not in acme.asset(asset_id)
    assert acme.call("GET", f"{path}?embed=created_by_user").must(200)["created_by_user"] is None
    assert acme.call("GET", f"{path}?fields=id,name").must(200) == {"id": asset_id, "name": "photo.png"}
    assert wrong_fields(acme.call("GET", f"{path}?fields=id,nothing")) == [["query", "fields"]]


def test_a_missing_or_wrong_key_is_refused_everywhere(acme: Runflow) -> None:
    calls = [("POST", "/v1/asset-uploads"), ("GET", "/v1/assets/types"), ("GET", f"/v1/runs/{UNKNOWN}")]
    calls.append(("POST", "/v1/models/acme/model/runs"))
    for sent in ("", "Bearer", "Bearer sk_0", f"Key {acme.key}", "Basic YTpi"):
        for method, path in calls:
            answer = exchange(method, acme.base + path, headers={"Authorization": sent})
            envelope(answer, 401, "UNAUTHORIZED")
            assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.statement("RF-29")
def test_a_key_speaks_for_its_own_organization_alone(acme: Runflow, rival: Runflow) -> None:
    asset = acme.upload()
    path = f"/v1/assets/{asset['id']}"

    assert acme.call("GET", path, X_Organization_Id=asset["org_id"]).status == 200
    for other in (rival.upload()["org_id"], UNKNOWN, "acme", ""):
        envelope(acme.call("GET", path, X_Organization_Id=other), 403, "ORGANIZATION_MEMBERSHIP_REQUIRED")
        refused = acme.call("POST", "/v1/models/acme/model/runs", {"input": {}}, X_Organization_Id=other)
        envelope(refused, 403, "ORGANIZATION_MEMBERSHIP_REQUIRED")


@pytest.mark.statement("RF-30")
def test_keys_are_of_the_alphabet_that_the_javascript_client_takes(acme: Runflow) -> None:
    assert acme.key.replace("_", "").isalnum()
    assert acme.key.isascii()


def test_a_key_without_the_right_is_refused(acme: Runflow, house: House) -> None:
    reader = replace(acme, key=house.create_key("reader", scopes=("runs:read",)))

    envelope(reader.try_begin(filename="a.png", mime_type="image/png", size_bytes=7), 403, "PERMISSION_DENIED")
    envelope(reader.try_run({}), 403, "PERMISSION_DENIED")


def test_health_needs_no_key(acme: Runflow) -> None:
    assert exchange("GET", f"{acme.base}/v1/health").must(200) == {"status": "ok", "ok": True}


def test_a_path_that_is_not_there_and_a_method_that_is_not_are_told_apart(acme: Runflow) -> None:
    envelope(acme.call("GET", "/v1/nothing"), 404, "NOT_FOUND")
    refused = acme.call("PUT", "/v1/assets/types")
    envelope(refused, 405, "METHOD_NOT_ALLOWED")
    assert "GET" in refused.headers["allow"]
    assert refused.headers["runflow-request-id"]
