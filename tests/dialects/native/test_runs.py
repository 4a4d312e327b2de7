"""Runs over the wire: start, wait, result, money, cancel, list."""

from __future__ import annotations

import base64
import io
import re
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.support.exchange import fetch
from tests.support.native import put
from tests.support.server import wait_until

if TYPE_CHECKING:
    from tests.support.native import Native
    from tests.support.server import Server

CUT_OUT = "builtin/remove-background"
PAINT = "builtin/stylize"
SLOW = {"prompt": "oil", "aspect_ratio": "custom", "width": 2048, "height": 2048}
FIELDS = {
    "id",
    "object",
    "model",
    "state",
    "input",
    "output",
    "error",
    "metadata",
    "held_usd",
    "cost_usd",
    "created_at",
    "started_at",
    "finished_at",
    "deadline_at",
    "throttled",
    "progress",
}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def test_a_run_is_queued_with_its_price_held(alice: Native, photo: bytes) -> None:
    asset = alice.upload(photo)

    run = alice.start(CUT_OUT, {"image": asset["id"]}, metadata={"ticket": "7"})

    assert set(run) == FIELDS
    assert re.fullmatch(r"run_[0-9a-f]{32}", run["id"])
    assert TIME.fullmatch(run["created_at"])
    assert {name: run[name] for name in FIELDS - {"id", "created_at", "deadline_at"}} == {
        "throttled": False,
        "progress": None,
        "object": "run",
        "model": CUT_OUT,
        "state": "queued",
        "input": {"image": asset["id"]},
        "output": None,
        "error": None,
        "metadata": {"ticket": "7"},
        "held_usd": "0.002",
        "cost_usd": None,
        "started_at": None,
        "finished_at": None,
    }
    alice.finished(run["id"])


def test_a_run_ends_with_a_picture_and_its_cost(alice: Native, server: Server, photo: bytes) -> None:
    run = alice.finished(alice.start(CUT_OUT, {"image": alice.upload(photo)["id"]})["id"])

    assert (run["state"], run["error"], run["cost_usd"]) == ("succeeded", None, "0.002")
    assert run["created_at"] <= run["started_at"] <= run["finished_at"]
    made = run["output"]["image"]
    assert set(made) == {"asset_id", "url", "filename", "content_type", "size_bytes"}
    asset = alice.get(f"/assets/{made['asset_id']}").must(200)
    assert (asset["run_id"], asset["upload_id"], asset["url"]) == (run["id"], None, made["url"])
    with Image.open(io.BytesIO(fetch(made["url"]).body)) as picture:
        assert (picture.size, picture.mode) == ((120, 80), "RGBA")


def test_a_run_answers_to_an_alias_and_to_a_synonym(alice: Native, photo: bytes) -> None:
    run = alice.start("swook/inspyrenet", {"image_url": alice.upload(photo)["url"]})

    assert run["model"] == "swook/inspyrenet"
    assert alice.finished(run["id"])["state"] == "succeeded"


@pytest.mark.parametrize("form", ["upload id", "asset id", "media URL", "data URI"])
def test_a_file_can_be_named_in_every_form(alice: Native, photo: bytes, form: str) -> None:
    if form == "data URI":
        reference = f"data:image/png;base64,{base64.b64encode(photo).decode()}"
    else:
        asset = alice.upload(photo)
        reference = {"upload id": asset["upload_id"], "asset id": asset["id"], "media URL": asset["url"]}[form]

    run = alice.finished(alice.start(CUT_OUT, {"image": reference})["id"])

    assert run["state"] == "succeeded"


@pytest.mark.parametrize("form", ["upload id", "asset id"])
def test_an_upload_is_admitted_on_first_use(alice: Native, photo: bytes, form: str) -> None:
    upload = alice.begin(photo)
    put(upload, photo).must(200)
    reference = upload["id"] if form == "upload id" else upload["id"].replace("upload_", "asset_")

    run = alice.finished(alice.start(CUT_OUT, {"image": reference})["id"])

    assert run["state"] == "succeeded"
    assert alice.get(f"/uploads/{upload['id']}").must(200)["state"] == "ready"


def test_inline_data_is_shown_by_its_beginning_alone(alice: Native, photo: bytes) -> None:
    inline = f"data:image/png;base64,{base64.b64encode(photo).decode()}"

    run = alice.start(CUT_OUT, {"image": inline})

    assert len(run["input"]["image"]) < 200
    assert inline.startswith(run["input"]["image"].rstrip("…"))
    (asset,) = alice.all("/assets")
    assert asset["size_bytes"] == len(photo)
    assert asset["expires_at"] is not None
    alice.finished(run["id"])


def test_whoever_has_the_public_url_of_a_file_can_use_it(alice: Native, bob: Native, photo: bytes) -> None:
    asset = alice.upload(photo)

    run = bob.finished(bob.start(CUT_OUT, {"image": asset["url"]})["id"])

    assert run["state"] == "succeeded"
    assert (alice.balance(), bob.balance()) == ("100", "99.998")
    assert [one["run_id"] for one in bob.all("/assets")] == [run["id"]]


def test_an_input_deleted_after_the_start_is_kept_to_the_end_of_the_run(alice: Native, photo: bytes) -> None:
    asset = alice.upload(photo)
    run = alice.start(CUT_OUT, {"image": asset["id"]})

    alice.delete(f"/assets/{asset['id']}").must(204)

    assert alice.finished(run["id"])["state"] == "succeeded"


def test_an_output_that_was_deleted_keeps_its_id_in_the_run(alice: Native) -> None:
    run = alice.finished(alice.start(PAINT, {"prompt": "ink"})["id"])
    made = run["output"]["image"]["asset_id"]

    alice.delete(f"/assets/{made}").must(204)

    assert alice.get(f"/runs/{run['id']}").must(200)["output"] == {"image": {"asset_id": made, "url": None}}


def test_a_wait_ends_with_the_run(alice: Native) -> None:
    run = alice.start(PAINT, {"prompt": "pencil"})

    assert alice.get(f"/runs/{run['id']}?wait=60").must(200)["state"] == "succeeded"


def test_a_wait_that_is_over_shows_the_run_as_it_is(alice: Native) -> None:
    run = alice.start(PAINT, SLOW)

    for wait in ("0", "0.01", "1e-9"):
        assert alice.get(f"/runs/{run['id']}?wait={wait}").must(200)["state"] in {"queued", "running"}

    alice.post(f"/runs/{run['id']}/cancel").must(200)
    alice.finished(run["id"])


def test_a_running_run_can_be_cancelled_and_the_money_comes_back(alice: Native) -> None:
    run = alice.start(PAINT, SLOW)
    wait_until(lambda: alice.get(f"/runs/{run['id']}").must(200)["state"] == "running", "the run to start")

    asked = alice.post(f"/runs/{run['id']}/cancel").must(200)
    ended = alice.finished(run["id"])

    assert asked["state"] in {"running", "cancelled"}
    assert (ended["state"], ended["output"], ended["cost_usd"]) == ("cancelled", None, None)
    assert alice.balance() == "100"


def test_a_queued_run_is_cancelled_at_once(alice: Native) -> None:
    before = [alice.start(PAINT, SLOW) for _ in range(3)]  # the server runs two at a time
    run = alice.start(PAINT, {"prompt": "ink"})

    cancelled = alice.post(f"/runs/{run['id']}/cancel").must(200)

    assert (cancelled["state"], cancelled["started_at"], cancelled["cost_usd"]) == ("cancelled", None, None)
    for other in before:
        alice.post(f"/runs/{other['id']}/cancel").must(200)
    assert {alice.finished(other["id"])["state"] for other in before} == {"cancelled"}
    assert alice.balance() == "100"


def test_a_finished_run_stays_as_it_is(alice: Native) -> None:
    run = alice.finished(alice.start(PAINT, {"prompt": "ink"})["id"])

    for _ in range(2):
        assert alice.post(f"/runs/{run['id']}/cancel").must(200) == run

    assert alice.balance() == "99.996"


def test_the_ledger_adds_up_to_the_balance(alice: Native) -> None:
    runs = [alice.start(PAINT, {"prompt": word}) for word in ("ink", "oil", "sepia")]
    runs.append(alice.start(PAINT, SLOW))
    alice.post(f"/runs/{runs[-1]['id']}/cancel").must(200)
    costs = [Decimal(alice.finished(run["id"])["cost_usd"] or 0) for run in runs]

    entries = alice.ledger()

    assert [entry["number"] for entry in entries] == list(range(1, 10))
    balance = Decimal(0)
    for entry in entries:
        assert set(entry) == {"number", "kind", "amount_usd", "balance_usd", "run_id", "created_at"}
        balance += Decimal(entry["amount_usd"])
        assert Decimal(entry["balance_usd"]) == balance
    assert Decimal(alice.balance()) == balance == 100 - sum(costs) == Decimal("99.988")


def test_runs_are_listed_newest_first_page_by_page(alice: Native) -> None:
    made = [alice.start(PAINT, {"prompt": word})["id"] for word in ("ink", "oil", "sepia")]

    assert [one["id"] for one in alice.all("/runs", limit=2)] == made[::-1]
    for run_id in made:
        alice.finished(run_id)


@pytest.mark.parametrize("text", ["😀 a\0b", "</script>\r\nX-Evil: 1"])
def test_any_text_comes_back_as_it_was(alice: Native, text: str) -> None:
    run = alice.start(PAINT, {"prompt": text, "extra": {"nested": [text]}}, metadata={"note": text})

    ended = alice.finished(run["id"])

    assert ended["state"] == "succeeded"
    assert ended["input"] == {"prompt": text, "extra": {"nested": [text]}}
    assert ended["metadata"] == {"note": text}
