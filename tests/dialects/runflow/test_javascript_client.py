"""What the JavaScript SDK sends, in its order, after its sources at 0.1.0: no registry has it to run."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tests.dialects.runflow.client import PNG, Runflow, envelope, put
from tests.dialects.runflow.test_runs import digest, read_of

if TYPE_CHECKING:
    from tests.support.house import House

ENDS = {"succeeded", "failed", "canceled"}


def test_an_upload_is_confirmed_as_often_as_the_sdk_tries(acme: Runflow) -> None:
    begun = acme.try_begin(filename="a.png", mime_type="image/png", size_bytes=len(PNG)).must(201)
    sent = put(begun["upload_url"], PNG, "image/png")

    tries = [acme.try_confirm(begun["asset_id"], {"folder_id": None}).must(201) for _ in range(3)]

    assert sent.status == 200
    assert {asset["id"] for asset in tries} == {begun["asset_id"]}
    assert all(asset["url"] for asset in tries)


def test_a_blob_without_a_type_is_refused_and_the_sdk_reads_why(acme: Runflow) -> None:
    said = envelope(
        acme.try_begin(filename="blob", mime_type="application/octet-stream", size_bytes=9), 422, "VALIDATION_ERROR"
    )

    assert (said["message"], said["code"]) == ("Request validation failed.", "VALIDATION_ERROR")


def test_a_run_is_polled_to_its_end(acme: Runflow, house: House) -> None:
    house.models["acme/model"] = digest
    asset_id = acme.upload()["id"]

    run = acme.run({"image": f"runflow://assets/{asset_id}"})
    before = acme.look(run["id"])["status_code"]
    house.work()
    after = acme.look(run["id"])

    assert before not in ENDS
    assert after["status_code"] in ENDS
    assert after["output"] == read_of(PNG) == {"sha256": hashlib.sha256(PNG).hexdigest(), "outputs": []}
