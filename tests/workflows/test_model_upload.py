"""Model uploads: from a URL or an asset to a model that can be used; what an update does to the model that is there."""

from __future__ import annotations

import hashlib
import io
import json
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from penstock.adapters.objects.s3 import Capabilities, S3ObjectStore
from penstock.domain.errors import AssetNotFound
from penstock.domain.model_uploads import Phase
from penstock.domain.quotas import Limits
from penstock.domain.weights import ModelCheck
from penstock.services.quotas import Quotas
from penstock.telemetry import Log
from tests.support.model_house import Interrupting, made_weights, open_model_house, seed_of
from tests.support.records import make_asset, make_model_upload
from tests.support.remote import Remote, Visit, remote_server, serving
from tests.support.stores import WallClock, embedded_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from penstock.adapters.weights.examiner import ChildExaminer
    from penstock.domain.ids import AccountId
    from penstock.domain.model_uploads import ModelUpload
    from penstock.ports.objects import ObjectStore
    from tests.support.model_files import ModelFiles
    from tests.support.model_house import ModelHouse

LORA: dict[str, Any] = {"category": "lora", "type": None}
PHASES = ["model.validated", "model.downloaded", "model.optimized", "model.stored", "model.ready"]


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    with remote_server() as running:
        yield running


@pytest.fixture
def acme(model_house: ModelHouse) -> AccountId:
    return model_house.open_account()


@pytest.fixture
def lora(remote: Remote, model_files: ModelFiles) -> bytes:
    """One that the other server offers."""
    data = model_files.path("lora/sdxl_kohya").read_bytes()
    remote.on("/file", serving(data))
    return data


def assert_ready(house: ModelHouse, upload: ModelUpload, data: bytes) -> None:
    """All phases were told once and in order, both files are as the rows say, and nothing else is left."""
    assert house.now(upload).phase is Phase.READY, house.now(upload).error
    assert house.kinds(upload) == PHASES
    file = house.file(upload)
    assert house.content(file.original_key) == data
    assert (file.size, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    served = house.content(file.optimized_key)
    assert (file.optimized_size, file.optimized_sha256) == (len(served), hashlib.sha256(served).hexdigest())
    manifest = json.loads(house.content(file.manifest_key))
    assert (manifest["source_sha256"], manifest["stored_sha256"]) == (file.sha256, file.optimized_sha256)
    whose = [key.rpartition("/")[2] for key in (file.original_key, file.optimized_key, file.manifest_key)]
    assert house.keys(upload) == (sorted(set(whose)) if str(file.id) == upload.id else [])
    assert not house.has_parts(upload)


@pytest.mark.statement("RU-29")
def test_a_checkpoint_goes_from_its_url_through_the_five_phases(
    model_house: ModelHouse, acme: AccountId, remote: Remote, model_files: ModelFiles
) -> None:
    data = model_files.path("checkpoint/sd15_ema_fp32").read_bytes()
    remote.on("/file", serving(data))
    before = len(remote.visits)
    upload = model_house.begin(acme, remote.url("/file?token=secret"), architecture="sd1x")

    model_house.work()

    assert_ready(model_house, upload, data)
    assert len(remote.visits) == before + 1
    assert not model_house.has_jobs()
    assert model_house.now(upload).source_url == remote.url("/file")  # the secret is needed no more
    assert model_house.file(upload).summary["narrowed_count"] != 0
    (size,) = {told["size"] for kind, told in model_house.told(upload) if kind == "model.downloaded"}
    assert size == len(data)


@pytest.mark.statement("RU-30", "RU-31")
def test_the_same_identifier_brings_no_file_and_another_brings_it_once(
    model_house: ModelHouse, acme: AccountId, remote: Remote, model_files: ModelFiles
) -> None:
    house = model_house
    old = model_files.path("checkpoint/sdxl_full").read_bytes()
    new = model_files.path("checkpoint/sdxl_vpred_full").read_bytes()
    live: list[str] = []

    def serve_new(visit: Visit) -> None:
        live.append(house.file(first).sha256)  # while the new file comes, the old one is what the AIR stands for
        serving(new)(visit)

    remote.on("/old", serving(old))
    remote.on("/new", serve_new)
    first = house.begin(acme, remote.url("/old"))
    house.work()
    before = len(remote.visits)

    same = house.begin(acme, remote.url("/old"), name="Another name")
    house.work()
    assert_ready(house, same, old)
    assert len(remote.visits) == before
    other = house.begin(acme, remote.url("/new"), unique_identifier="two")
    house.work()

    assert_ready(house, other, new)
    assert [visit.target for visit in remote.visits[before:]] == ["/new"]
    assert live == [hashlib.sha256(old).hexdigest()]
    model = house.model(other)
    assert model is not None
    assert (model.card.name, model.card.unique_identifier) == ("A model", "two")


@pytest.mark.statement("RU-42")
def test_an_update_that_fails_leaves_the_old_model_and_nothing_else(
    model_house: ModelHouse, acme: AccountId, remote: Remote, model_files: ModelFiles
) -> None:
    house = model_house
    data = model_files.path("checkpoint/sdxl_full").read_bytes()
    remote.on("/good", serving(data))
    remote.on("/bad", serving(model_files.path("checkpoint/sd15_full").read_bytes()))
    good = house.begin(acme, remote.url("/good"))
    house.work()
    model = house.model(good)

    bad = house.begin(acme, remote.url("/bad"), unique_identifier="two", name="Never seen")
    house.work()

    assert (house.now(bad).phase, house.now(bad).error_code) == (Phase.FAILED, "model_file_mismatch")
    assert house.now(bad).error_field == "architecture"
    assert house.kinds(bad) == ["model.validated", "model.failed"]
    assert house.model(good) == model
    assert_ready(house, good, data)
    assert (house.keys(bad), house.has_parts(bad), house.has_jobs()) == ([], False, False)


@pytest.mark.statement("RU-32")
def test_versions_live_side_by_side_and_share_a_file_that_is_the_same(
    model_house: ModelHouse, acme: AccountId, remote: Remote, lora: bytes
) -> None:
    house = model_house

    first = house.begin(acme, remote.url(), air="acme:1@1", **LORA)
    second = house.begin(acme, remote.url(), air="acme:1@2", **LORA)
    house.work()

    assert_ready(house, first, lora)
    assert_ready(house, second, lora)
    assert house.file(second).id == house.file(first).id
    with house.database.read() as tx:
        assert tx.model_files.users(house.file(first).id) == ["acme:1@1", "acme:1@2"]


def test_of_two_uploads_that_bring_the_same_bytes_at_once_the_first_to_end_keeps_them(
    model_house: ModelHouse, acme: AccountId, remote: Remote, model_files: ModelFiles
) -> None:
    data = model_files.path("lora/sdxl_kohya").read_bytes()
    remote.on("/file", serving(data))
    lora: dict[str, Any] = {"category": "lora", "type": None}
    last = model_house.begin(acme, remote.url(), air="acme:1@1", **lora)
    first: list[ModelUpload] = []

    def step(call: str) -> None:
        if call == "before head" and not first and model_house.now(last).phase is Phase.OPTIMIZED:
            first.append(model_house.begin(acme, remote.url(), air="acme:1@2", **lora))
            model_house.work(rounds=1)

    store = cast("ObjectStore", Interrupting(model_house.objects, step))
    replace(model_house, tools=replace(model_house.tools, objects=store)).work()

    assert_ready(model_house, first[0], data)
    assert_ready(model_house, last, data)
    assert str(model_house.file(last).id) == str(model_house.file(first[0]).id) == first[0].id


def test_bytes_that_the_store_has_lost_are_kept_anew_when_they_come_again(
    model_house: ModelHouse, acme: AccountId, remote: Remote, lora: bytes
) -> None:
    house = model_house
    first = house.begin(acme, remote.url(), air="acme:1@1", **LORA)
    house.work()
    house.objects.delete([house.file(first).optimized_key])

    second = house.begin(acme, remote.url(), air="acme:1@2", **LORA)
    house.work()

    assert_ready(house, second, lora)
    assert house.file(second).id != house.file(first).id


def test_another_account_shares_nothing(model_house: ModelHouse, acme: AccountId, remote: Remote, lora: bytes) -> None:
    house = model_house
    mine = house.begin(acme, remote.url(), **LORA)
    house.work()
    before = len(remote.visits)

    theirs = house.begin(house.open_account("other"), remote.url(), air="other:1@1", **LORA)
    house.work()

    assert_ready(house, theirs, lora)
    assert len(remote.visits) == before + 1
    assert house.file(theirs).id != house.file(mine).id


@pytest.mark.parametrize("largest_copy", [5 * 2**30, 0])
def test_an_asset_becomes_a_model_and_may_go_then(
    model_house: ModelHouse,
    acme: AccountId,
    model_files: ModelFiles,
    monkeypatch: pytest.MonkeyPatch,
    largest_copy: int,
) -> None:
    monkeypatch.setattr("penstock.workflows.model_phases._LARGEST_COPY", largest_copy)
    house = model_house
    data = model_files.path("checkpoint/sdxl_full").read_bytes()
    asset = make_asset(1, acme, object_key=f"assets/{house.entropy.random_bytes(8).hex()}", size=len(data))
    house.objects.put(asset.object_key, io.BytesIO(data), size=len(data), content_type="a/b")
    with house.database.write() as tx:
        tx.assets.add(asset)
    upload = house.begin(acme, None, asset_id=asset.id)

    house.work()
    house.objects.delete([asset.object_key])

    assert_ready(house, upload, data)
    with house.database.read() as tx:
        assert not tx.assets.is_leased(asset.id)
    with pytest.raises(AssetNotFound):
        house.begin(house.open_account("other"), None, air="other:1@1", asset_id=asset.id)


def test_what_does_not_fit_into_the_quota_is_refused_before_it_comes(
    model_house: ModelHouse, acme: AccountId, remote: Remote, model_files: ModelFiles
) -> None:
    house = model_house
    data = model_files.path("checkpoint/sdxl_full").read_bytes()
    remote.on("/file", serving(data))
    Quotas(house.database).set_limits("acme", Limits(bytes=len(data) - 1))
    upload = house.begin(acme, remote.url())

    house.work()

    assert (house.now(upload).phase, house.now(upload).error_code) == (Phase.FAILED, "quota_exceeded")
    assert (house.keys(upload), house.has_parts(upload)) == ([], False)


def test_what_is_coming_takes_its_room_in_the_quota_before_it_is_all_there(
    model_house: ModelHouse, acme: AccountId, remote: Remote, model_files: ModelFiles
) -> None:
    house = model_house
    data = model_files.path("checkpoint/sdxl_full").read_bytes()
    remote.on("/file", serving(data))
    Quotas(house.database).set_limits("acme", Limits(bytes=4 * len(data)))
    number = int.from_bytes(house.entropy.random_bytes(3), "big")
    with house.database.write() as tx:
        tx.model_uploads.add(make_model_upload(number, acme, air="acme:7@7", size=3 * len(data) + 1))
    upload = house.begin(acme, remote.url())

    house.work()

    assert (house.now(upload).phase, house.now(upload).error_code) == (Phase.FAILED, "quota_exceeded")


def test_a_file_that_is_something_else_passes_with_a_warning_when_the_operator_says_so(
    sqlite_url: str,
    own_store: S3ObjectStore,
    examiner: ChildExaminer,
    remote: Remote,
    model_files: ModelFiles,
    request: pytest.FixtureRequest,
) -> None:
    data = model_files.path("checkpoint/sd15_full").read_bytes()
    remote.on("/file", serving(data))
    remote.on("/page", serving(b"<!doctype html><title>Log in</title>" * 100))
    for number, check in enumerate((ModelCheck.WARN, ModelCheck.OFF)):
        with open_model_house(sqlite_url, own_store, examiner, check=check, seed=seed_of(request) + number) as house:
            name = check.value
            acme = house.open_account(name)
            upload = house.begin(acme, remote.url(), air=f"{name}:1@1")
            page = house.begin(acme, remote.url("/page"), air=f"{name}:1@2")
            house.work()

            assert_ready(house, upload, data)
            assert bool(house.now(upload).warnings) == (check is ModelCheck.WARN)
            assert house.now(page).error_code == "not_safetensors"


def test_uploads_for_one_air_go_one_after_another_and_the_newest_has_the_last_word(
    lenient_house: ModelHouse, remote: Remote
) -> None:
    house = lenient_house
    acme = house.open_account()
    files = [made_weights(1, seed=seed) for seed in range(3)]
    for number, data in enumerate(files):
        remote.on(f"/{number}", serving(data))
    remote.on("/0", lambda visit: visit.answer("503 Service Unavailable"), serving(files[0]))
    first = [house.begin(acme, remote.url(f"/{number}"), unique_identifier=str(number)) for number in range(3)]

    house.work()

    for upload in first[:2]:
        assert house.now(upload).phase is Phase.READY
    assert_ready(house, first[2], files[2])


def test_no_log_or_event_shows_what_may_be_secret_in_a_url(
    model_house: ModelHouse, acme: AccountId, remote: Remote, model_files: ModelFiles
) -> None:
    house, written = model_house, io.StringIO()
    house.log = Log("test", written)
    remote.on("/file", serving(model_files.path("checkpoint/sdxl_full").read_bytes()))
    remote.on("/broken", lambda visit: visit.answer("503 Service Unavailable"))
    good = house.begin(acme, remote.url("/file?token=verysecret"))
    bad = house.begin(acme, remote.url("/broken?token=verysecret"), air="acme:2@1")

    house.work()

    assert "model.phase" in written.getvalue()
    told = json.dumps([house.told(good), house.told(bad), house.now(bad).error, written.getvalue()])
    assert "verysecret" not in told
    assert house.now(bad).error_code == "source_failed"


def test_a_job_without_its_upload_ends(model_house: ModelHouse, acme: AccountId, remote: Remote) -> None:
    upload = model_house.begin(acme, remote.url("/nothing"))
    model_house.work()
    with model_house.database.write() as tx:
        assert tx.model_uploads.purge(before=model_house.clock.now().replace(year=2040), limit=10) == 1
        tx.jobs.enqueue(
            "model_upload",
            {"model_upload_id": upload.id},
            job_id=upload.id,  # type: ignore[arg-type]  # any id will do
            now=model_house.clock.now(),
            account_id=acme,
        )

    model_house.work()

    assert not model_house.has_jobs()


def test_numbers_that_refute_the_first_plan_are_kept_in_a_second_pass(
    model_house: ModelHouse, acme: AccountId, remote: Remote, model_files: ModelFiles
) -> None:
    house, data = model_house, bytearray(model_files.path("checkpoint/sd15_ema_fp32").read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    entries = json.loads(data[8:start])
    large = next(
        name
        for name, entry in entries.items()
        if name.startswith("model.diffusion_model.") and entry["dtype"] == "F32" and len(entry["shape"]) > 1
    )
    struct.pack_into("<f", data, start + entries[large]["data_offsets"][0], 1e6)  # F16 ends at 65504
    remote.on("/file", serving(bytes(data)))
    before = len(remote.visits)
    upload = house.begin(acme, remote.url(), architecture="sd1x")

    house.work()

    assert_ready(house, upload, bytes(data))
    assert len(remote.visits) == before + 1
    assert any(large in told for told in house.file(upload).summary["refused"])  # type: ignore[attr-defined]  # a list of words


def test_a_model_comes_on_each_database(
    database_url: str,
    own_store: S3ObjectStore,
    examiner: ChildExaminer,
    remote: Remote,
    request: pytest.FixtureRequest,
) -> None:
    data = made_weights(1)
    remote.on("/file", serving(data))
    seed = seed_of(request)
    with open_model_house(database_url, own_store, examiner, check=ModelCheck.OFF, seed=seed) as house:
        upload = house.begin(house.open_account(), remote.url())

        house.work()

        assert_ready(house, upload, data)
        progress = [told for kind, told in house.told(upload) if kind == "model.progress"]
        assert progress[0] == {"phase": "downloaded", "done": 0, "size": len(data)}


@pytest.mark.statement("RU-35")
def test_with_encryption_at_rest_no_number_of_a_model_stands_on_the_disk(
    sqlite_url: str, tmp_path: Path, examiner: ChildExaminer, remote: Remote
) -> None:
    key, folder, data = tmp_path / "key", tmp_path / "store", made_weights(2)
    key.write_text("ab" * 32)
    key.chmod(0o600)
    remote.on("/file", serving(data))
    with embedded_store(folder, "--encryption-key-file", str(key)) as bucket:
        store = S3ObjectStore(bucket, clock=WallClock(), capabilities=Capabilities(checks_crc64=True))
        with open_model_house(sqlite_url, store, examiner, check=ModelCheck.OFF) as house:
            upload = house.begin(house.open_account(), remote.url())
            house.work()
            assert_ready(house, upload, data)
        store.close()

    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert sum(map(len, files)) > 2 * len(data)
    for at in range(len(data) - 2**21, len(data), 2**16):
        assert not any(data[at : at + 64] in file for file in files)


@pytest.mark.slow
def test_every_good_file_becomes_a_model_as_each_of_what_it_may_be_declared(
    model_house: ModelHouse, acme: AccountId, remote: Remote, model_files: ModelFiles
) -> None:
    house = model_house
    uploads = {}
    for number, (name, case) in enumerate(model_files.cases.items()):
        data = model_files.path(name).read_bytes()
        remote.on(f"/{name}", serving(data))
        architecture = case["accepts"][0] if case["accepts"] else "sdxl"
        card = {"category": case["category"], "type": case.get("type"), "architecture": architecture}
        if case["category"] == "controlnet":
            card["conditioning"] = "canny"
        uploads[name] = house.begin(acme, remote.url(f"/{name}"), air=f"acme:7@{number}", **card), data

    house.work()

    for name, (upload, data) in uploads.items():
        if model_files.cases[name]["accepts"]:
            assert house.now(upload).phase is Phase.READY, (name, house.now(upload).error)
            assert_ready(house, upload, data)
        else:
            assert house.now(upload).error_code == "model_file_mismatch", name
