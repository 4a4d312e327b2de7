"""Model uploads: what is accepted, what stands for the same, and who has the last word."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING

import pytest

from penstock.domain.egress import parse_rules
from penstock.domain.errors import (
    AssetNotFound,
    InsufficientCredits,
    InvalidField,
    InvalidFields,
    ModelNotFound,
    ModelUploadConflict,
    ModelUploadNotFound,
    QuotaExceeded,
    RateLimited,
    SourceNotOwned,
)
from penstock.domain.ids import AssetId, ModelFileId
from penstock.domain.model_uploads import Phase, PhaseEvent, advanced
from penstock.domain.models import ModelSource
from penstock.domain.weights import Declaration
from penstock.services import model_uploads
from penstock.services.model_uploads import MODEL_JOB, ModelUploads, NewModelUpload
from tests.support.core import HOUR, at_once
from tests.support.records import make_model_file, uuid_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.domain.ids import AccountId
    from penstock.domain.model_uploads import ModelUpload
    from penstock.domain.models import RegisteredModel
    from penstock.ports.database import Transaction
    from tests.support.core import Core

URL = "https://files.example.com/model.safetensors?token=a"
GIVEN = {
    "category": "lora",
    "architecture": "sdxl",
    "name": "Rivers",
    "version_label": "v1",
    "unique_identifier": "hash-1",
}


def open_source(core: Core, name: str = "acme") -> AccountId:
    """An account with a source of its own name."""
    account_id = core.open_account(name)
    with core.database.write() as tx:
        tx.models.add_source(ModelSource(name=name, account_id=account_id, created_at=core.clock.now()))
    return account_id


def begin(
    core: Core,
    account_id: AccountId,
    *,
    air: str = "acme:1@1",
    ref: str | None = None,
    url: str | None = URL,
    asset_id: AssetId | None = None,
    **given: object,
) -> ModelUpload:
    wanted = NewModelUpload(air=air, given={**GIVEN, **given}, source_url=url, asset_id=asset_id)
    core.clock.advance(timedelta(milliseconds=1))
    return core.model_uploads.begin(account_id, wanted, dialect="native", client_ref=ref)


def deploy(core: Core, upload: ModelUpload, *, file: int = 1) -> RegisteredModel:
    """What the flow does, as far as it concerns rows."""
    with core.database.write() as tx:
        upload = tx.model_uploads.get(upload.account_id, upload.id)
        kept = core.model_uploads.kept(tx, upload)
        if kept is None:
            kept = make_model_file(file, upload.account_id)
            tx.model_files.add(kept)
        for event in (PhaseEvent.DOWNLOAD, PhaseEvent.OPTIMIZE, PhaseEvent.STORE):
            before, upload = upload, advanced(upload, event)
            assert tx.model_uploads.replace(upload, was=before.phase)
        core.model_uploads.finish(tx, upload, kept)
        return tx.models.get(upload.account_id, upload.air)


def fail(core: Core, upload: ModelUpload) -> ModelUpload:
    with core.database.write() as tx:
        return core.model_uploads.fail(tx, upload, code="download_failed", error="gone", field="source_url")


def model(core: Core, account_id: AccountId, air: str = "acme:1@1") -> RegisteredModel:
    with core.database.read() as tx:
        return tx.models.get(account_id, air)


# --- beginning


def test_so_many_uploads_wait_for_one_air_and_those_that_go_on_are_found_still(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_uploads, "MOST_FOR_ONE_AIR", 2)
    acme = open_source(core)
    first, second = begin(core, acme, ref="first"), begin(core, acme, ref="second")

    with pytest.raises(RateLimited):
        begin(core, acme, ref="third")

    assert begin(core, acme, ref="second") == second
    assert begin(core, acme, air="acme:2@1").air == "acme:2@1"
    fail(core, first)
    assert begin(core, acme, ref="third").phase is Phase.VALIDATED


def test_so_many_uploads_of_an_account_are_on_their_way_whoever_races_and_those_that_are_found_still(
    core_on_each_database: Core,
) -> None:
    core = core_on_each_database
    acme, rival = open_source(core), open_source(core, "rival")
    uploads = ModelUploads(core.database, parse_rules(""), clock=core.clock, entropy=core.entropy, most_open=3)
    numbers = count(1)

    def bring(account_id: AccountId, source: str) -> ModelUpload:
        name = f"{source}-{next(numbers)}"  # those of one source wait for each other anyway
        with core.database.write() as tx:
            tx.models.add_source(ModelSource(name=name, account_id=account_id, created_at=core.clock.now()))
        air = f"{name}:1@1"
        wanted = NewModelUpload(air=air, given=GIVEN, source_url=URL)
        return uploads.begin(account_id, wanted, dialect="native", client_ref=air)

    begun = at_once(8, lambda: bring(acme, "acme"))
    there = [one for one in begun if not isinstance(one, Exception)]
    refused = [one for one in begun if isinstance(one, Exception)]

    assert len(there) == 3
    assert {str(error) for error in refused} == {"this needs 1 more model uploads on their way; 3 of 3 are taken"}
    assert all(isinstance(error, QuotaExceeded) for error in refused)
    again = NewModelUpload(air=there[0].air, given=GIVEN, source_url=URL)
    assert uploads.begin(acme, again, dialect="native", client_ref=there[0].air) == there[0]
    with pytest.raises(QuotaExceeded):
        uploads.check(acme, again, dialect="native")
    assert bring(rival, "rival").phase is Phase.VALIDATED
    fail(core, there[0])
    uploads.check(acme, again, dialect="native")
    assert bring(acme, "acme").phase is Phase.VALIDATED
    with pytest.raises(QuotaExceeded):
        bring(acme, "acme")


def test_an_accepted_upload_is_validated_told_and_has_its_job(core: Core) -> None:
    acme = open_source(core)

    upload = begin(core, acme, air="ACME:1@08629", ref="task")

    assert (upload.phase, upload.air, upload.source_url) == (Phase.VALIDATED, "acme:1@08629", URL)
    assert core.model_uploads.get(acme, upload.id) == upload
    assert core.model_uploads.by_ref(acme, dialect="native", client_ref="task") == upload
    assert core.model_uploads.page(acme, cursor=None, limit=9).items == [upload]
    assert core.events(acme, upload.id) == ["model.validated"]
    job = core.claim(MODEL_JOB)
    assert (job.payload, job.account_id) == ({"model_upload_id": upload.id}, acme)
    with pytest.raises(ModelNotFound):
        model(core, acme, upload.air)


@pytest.mark.statement("RU-96")
@pytest.mark.parametrize("air", ["acme", "acme:1", "1@1", "acme:x@1", "acme:1@x", "acme:1@", ":1@1", "acme:1@1@1"])
def test_an_air_that_is_none_is_refused_and_nothing_begins(core: Core, air: str) -> None:
    acme = open_source(core)

    with pytest.raises(InvalidField) as refusal:
        begin(core, acme, air=air)

    assert refusal.value.path == ("air",)
    assert not core.has_jobs(MODEL_JOB)


@pytest.mark.statement("RU-96")
@pytest.mark.statement("RU-64")
def test_a_source_of_nobody_and_one_of_another_are_refused_alike(core: Core) -> None:  # P11
    open_source(core)
    zenith = open_source(core, "zenith")

    with pytest.raises(SourceNotOwned) as foreign:
        begin(core, zenith, air="acme:1@1")
    with pytest.raises(SourceNotOwned) as unknown:
        begin(core, zenith, air="nobody:1@1")

    assert foreign.value.message.replace("acme", "nobody") == unknown.value.message
    assert not core.has_jobs(MODEL_JOB)


@pytest.mark.parametrize("name", ["category", "architecture", "name", "version_label", "unique_identifier"])
def test_a_new_model_needs_what_stands_for_it(core: Core, name: str) -> None:
    acme = open_source(core)
    given = {key: value for key, value in GIVEN.items() if key != name}

    with pytest.raises(InvalidField) as refusal:
        core.model_uploads.begin(acme, NewModelUpload(air="acme:1@1", given=given, source_url=URL), dialect="native")

    assert (refusal.value.path, refusal.value.rule) == ((name,), "missing")


def test_a_new_model_needs_a_file(core: Core) -> None:
    acme = open_source(core)

    with pytest.raises(InvalidField) as refusal:
        begin(core, acme, url=None)

    assert (refusal.value.path, refusal.value.rule) == (("source_url",), "missing")


@pytest.mark.parametrize(
    ("url", "rule"),
    [("ftp://example.com/a", "url"), ("nonsense", "url"), ("http://10.0.0.1/a", "url_refused")],
)
def test_a_url_that_is_never_fetched_is_refused(core: Core, url: str, rule: str) -> None:
    acme = open_source(core)

    with pytest.raises(InvalidField) as refusal:
        begin(core, acme, url=url)

    assert (refusal.value.path, refusal.value.rule) == (("source_url",), rule)


def test_an_asset_is_kept_for_the_upload_until_it_ends(core: Core) -> None:
    acme, zenith = open_source(core), open_source(core, "zenith")
    asset = core.upload(acme, lifetime=HOUR)

    with pytest.raises(AssetNotFound):
        begin(core, zenith, air="zenith:1@1", url=None, asset_id=asset.id)
    with pytest.raises(InvalidField):
        begin(core, acme, asset_id=asset.id)
    upload = begin(core, acme, url=None, asset_id=asset.id)
    core.clock.advance(3 * HOUR)
    core.purging.purge(limit=9)

    assert asset.object_key in core.keys("assets/")
    fail(core, upload)
    core.purging.purge(limit=9)
    assert asset.object_key not in core.keys("assets/")


def test_an_expired_asset_is_not_there(core: Core) -> None:
    acme = open_source(core)
    asset = core.upload(acme, lifetime=HOUR)
    core.clock.advance(HOUR)

    with pytest.raises(AssetNotFound):
        begin(core, acme, url=None, asset_id=asset.id)


def test_several_wrong_fields_are_told_at_once(core: Core) -> None:
    acme = open_source(core)

    with pytest.raises(InvalidFields) as refusal:
        begin(core, acme, category="checkpoint", type="base", default_steps=0, default_cfg=31)

    assert [error.path for error in refusal.value.fields] == [("default_steps",), ("default_cfg",)]


# --- credit


def test_only_who_brings_a_new_file_needs_credit(core: Core) -> None:
    acme = open_source(core)
    poor: list[AccountId] = []

    def check(tx: Transaction, account_id: AccountId, *, also_free: bool) -> None:
        if account_id in poor:
            raise InsufficientCredits(needed=Decimal(1), balance=Decimal(0))

    core.model_uploads = ModelUploads(
        core.database, parse_rules(""), clock=core.clock, entropy=core.entropy, check_credit=check
    )
    deploy(core, begin(core, acme))
    poor.append(acme)

    begin(core, acme, name="Streams")
    with pytest.raises(InsufficientCredits):
        begin(core, acme, unique_identifier="hash-2")
    with pytest.raises(InsufficientCredits):
        begin(core, acme, air="acme:2@1")


# --- one name, one upload


@pytest.mark.statement("RU-57")
def test_the_same_again_while_it_goes_on_is_the_same_upload(core: Core) -> None:
    acme = open_source(core)
    first = begin(core, acme, ref="task")

    again = begin(core, acme, ref="task")

    assert again == first
    assert core.events(acme, first.id) == ["model.validated"]
    core.claim(MODEL_JOB)
    assert core.queue.claim("b", kinds=(MODEL_JOB,), limit=1, lease=HOUR, now=core.clock.now()) == ()


def test_another_content_under_the_name_is_refused_while_it_goes_on(core: Core) -> None:
    acme = open_source(core)
    begin(core, acme, ref="task")

    for changed in ({"name": "Streams"}, {"air": "acme:2@1"}, {"url": "https://example.com/b"}):
        with pytest.raises(ModelUploadConflict):
            begin(core, acme, ref="task", **changed)  # type: ignore[arg-type]  # one of them each time


@pytest.mark.statement("RU-17")
def test_a_name_that_succeeded_is_refused(core: Core) -> None:
    acme = open_source(core)
    deploy(core, begin(core, acme, ref="task"))

    with pytest.raises(ModelUploadConflict):
        begin(core, acme, ref="task")


def test_a_failed_upload_frees_its_name(core: Core) -> None:
    acme = open_source(core)
    first = fail(core, begin(core, acme, ref="task"))

    second = begin(core, acme, ref="task")

    assert second.id != first.id
    assert core.model_uploads.by_ref(acme, dialect="native", client_ref="task") == second


def test_of_many_who_begin_the_same_at_once_all_get_one_upload(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = open_source(core)
    wanted = NewModelUpload(air="acme:1@1", given=GIVEN, source_url=URL)

    begun = at_once(6, lambda: core.model_uploads.begin(acme, wanted, dialect="native", client_ref="task"))

    assert {one.id for one in begun if not isinstance(one, Exception)} == {begun[0].id}  # type: ignore[union-attr]  # as the next line shows
    assert not [one for one in begun if isinstance(one, Exception)]


# --- updates


@pytest.mark.statement("RU-30")
@pytest.mark.statement("RU-34")
def test_the_same_identifier_uses_the_file_again_and_replaces_what_is_said(core: Core) -> None:
    acme = open_source(core)
    first = deploy(core, begin(core, acme, tags=["a"], comment="hush"))

    second = deploy(core, begin(core, acme, url=None, name="Streams", private=False))

    assert (second.id, second.file_id, second.created_at) == (first.id, first.file_id, first.created_at)
    assert (second.card.name, second.card.private) == ("Streams", False)
    assert (second.card.tags, second.card.comment) == (("a",), "hush")


@pytest.mark.statement("RU-31")
def test_another_identifier_brings_a_new_file_and_the_old_one_serves_until_then(core: Core) -> None:
    acme = open_source(core)
    first = deploy(core, begin(core, acme), file=1)
    upload = begin(core, acme, unique_identifier="hash-2")

    assert model(core, acme).file_id == first.file_id
    second = deploy(core, upload, file=2)

    assert second.file_id == ModelFileId(uuid_text(2))
    with core.database.read() as tx:
        assert [file.id for file in tx.model_files.unused(limit=9)] == [first.file_id]


def test_another_identifier_without_a_file_is_refused(core: Core) -> None:
    acme = open_source(core)
    deploy(core, begin(core, acme))

    with pytest.raises(InvalidField) as refusal:
        begin(core, acme, url=None, unique_identifier="hash-2")

    assert refusal.value.path == ("source_url",)


@pytest.mark.statement("RU-32")
def test_another_version_is_another_model(core: Core) -> None:
    acme = open_source(core)
    first = deploy(core, begin(core, acme))

    deploy(core, begin(core, acme, air="acme:1@2", name="Streams"), file=2)

    assert model(core, acme) == first
    assert model(core, acme, "acme:1@2").card.name == "Streams"


@pytest.mark.statement("RU-33")
@pytest.mark.parametrize("changed", [{"type": "refiner"}, {"category": "vae"}])
def test_category_and_type_cannot_change(core: Core, changed: Mapping[str, object]) -> None:
    acme = open_source(core)
    deploy(core, begin(core, acme, category="checkpoint", type="base"))

    with pytest.raises(InvalidField) as refusal:
        begin(core, acme, **{"category": "checkpoint", "type": "base", **changed})  # type: ignore[arg-type]  # fields of a card

    assert (refusal.value.path, refusal.value.rule) == ((next(iter(changed)),), "immutable")


@pytest.mark.statement("RU-42")
def test_a_failed_update_leaves_the_model_as_it_was(core: Core) -> None:
    acme = open_source(core)
    before = deploy(core, begin(core, acme))

    failed = fail(core, begin(core, acme, name="Streams", unique_identifier="hash-2"))

    assert model(core, acme) == before
    assert (failed.error_code, failed.error_field) == ("download_failed", "source_url")
    assert core.events(acme, failed.id) == ["model.validated", "model.failed"]


def test_updates_that_go_on_at_once_share_one_download_and_the_newest_has_the_last_word(core: Core) -> None:
    acme = open_source(core)
    uploads = [begin(core, acme, unique_identifier="hash-1", name=name) for name in ("one", "two", "three")]
    first = deploy(core, uploads[0], file=1)

    models = [deploy(core, upload, file=number) for number, upload in enumerate(uploads[1:], start=2)]

    assert {one.file_id for one in models} == {first.file_id}
    assert model(core, acme).card.name == "three"


def test_the_next_in_turn_is_woken_when_one_ends(core: Core) -> None:
    acme = open_source(core)
    first, second = begin(core, acme), begin(core, acme, name="two")
    jobs = core.queue.claim("a", kinds=(MODEL_JOB,), limit=9, lease=HOUR, now=core.clock.now())
    waiting = next(job for job in jobs if job.payload == {"model_upload_id": second.id})
    with core.database.write() as tx:
        tx.fenced.postpone(waiting, run_at=core.clock.now() + HOUR, error="not yet")

    fail(core, first)

    assert core.claim(MODEL_JOB).id == waiting.id


def test_an_update_that_relies_on_a_file_that_did_not_come_fails(core: Core) -> None:
    acme = open_source(core)
    first = begin(core, acme)
    second = begin(core, acme, url=None)
    fail(core, first)

    with core.database.write() as tx, pytest.raises(InvalidField):
        core.model_uploads.kept(tx, second)


def test_what_is_declared_of_the_file_is_what_the_model_will_say(core: Core) -> None:
    acme = open_source(core)
    upload = begin(core, acme, type="base", conditioning="canny")

    with core.database.read() as tx:
        declared = core.model_uploads.declaration(tx, upload)

    assert declared == Declaration(category=declared.category, architecture="sdxl", type=None, conditioning=None)
    assert declared.category.value == "lora"


@pytest.mark.statement("RU-65")
def test_an_upload_is_its_account_s_alone(core: Core) -> None:
    acme, zenith = open_source(core), open_source(core, "zenith")
    upload = begin(core, acme, ref="task")

    with pytest.raises(ModelUploadNotFound):
        core.model_uploads.get(zenith, upload.id)
    assert core.model_uploads.by_ref(zenith, dialect="native", client_ref="task") is None
    assert core.model_uploads.page(zenith, cursor=None, limit=9).items == []


def test_an_upload_can_be_tried_without_being_begun(core: Core) -> None:
    acme = open_source(core)
    wanted = NewModelUpload(air="acme:1@1", given=GIVEN, source_url=URL)

    core.model_uploads.check(acme, wanted, dialect="native")

    with pytest.raises(SourceNotOwned):
        core.model_uploads.check(acme, replace(wanted, air="other:1@1"), dialect="native")
    with pytest.raises(InvalidField):
        core.model_uploads.check(acme, replace(wanted, given={}), dialect="native")
    assert core.model_uploads.page(acme, cursor=None, limit=10).items == []
    assert not core.has_jobs(MODEL_JOB)


def test_an_operator_may_allow_further_architectures(core: Core) -> None:
    acme = open_source(core)
    rules = parse_rules("127.0.0.0/8")
    uploads = ModelUploads(core.database, rules, clock=core.clock, entropy=core.entropy, architectures=("sd2x",))
    wanted = NewModelUpload(air="acme:1@1", given={**GIVEN, "architecture": "sd2x"}, source_url=URL)

    assert uploads.begin(acme, wanted, dialect="native").given["architecture"] == "sd2x"
    with pytest.raises(InvalidField):
        core.model_uploads.begin(acme, wanted, dialect="native")
