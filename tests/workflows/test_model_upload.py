"""Model uploads: from a URL or an asset to a model that can be used, whatever its server, the store or we do."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.objects.s3 import Capabilities, S3ObjectStore
from penstock.adapters.weights.examiner import ChildExaminer, ExaminerOptions
from penstock.domain.model_uploads import Phase
from penstock.telemetry import Log
from tests.support.model_house import open_model_house
from tests.support.remote import Remote, remote_server, serving
from tests.support.repeatable import SteppedClock
from tests.support.stores import WallClock, embedded_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.domain.ids import AccountId
    from tests.support.model_files import ModelFiles
    from tests.support.model_house import ModelHouse

PHASES = ["model.validated", "model.downloaded", "model.optimized", "model.stored", "model.ready"]


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    with remote_server() as running:
        yield running


@pytest.fixture(scope="module")
def examiner() -> Iterator[ChildExaminer]:
    opened = ChildExaminer(Log("test", None), options=ExaminerOptions(children=1))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3ObjectStore]:
    with embedded_store(tmp_path_factory.mktemp("store")) as bucket:
        store = S3ObjectStore(bucket, clock=WallClock(), capabilities=Capabilities(checks_crc64=True))
        yield store
        store.close()


@pytest.fixture
def house(
    sqlite_url: str, objects: S3ObjectStore, examiner: ChildExaminer, request: pytest.FixtureRequest
) -> Iterator[ModelHouse]:
    # The store outlives the house: ids of one house must not be those of another.
    seed = int.from_bytes(hashlib.sha256(request.node.nodeid.encode()).digest()[:4], "big")
    with open_model_house(sqlite_url, objects, examiner, clock=SteppedClock(), seed=seed) as opened:
        yield opened


@pytest.fixture
def acme(house: ModelHouse) -> AccountId:
    return house.open_account()


def test_a_checkpoint_goes_from_its_url_through_the_five_phases(
    house: ModelHouse, acme: AccountId, remote: Remote, model_files: ModelFiles
) -> None:
    data = model_files.path("checkpoint/sdxl_full").read_bytes()
    remote.on("/file", serving(data))
    before = len(remote.visits)
    upload = house.begin(acme, remote.url("/file?token=secret"))

    house.worker.drain()

    assert house.now(upload).phase is Phase.READY, house.now(upload).error
    assert house.kinds(upload) == PHASES
    assert len(remote.visits) == before + 1
    file = house.file(upload)
    assert house.content(file.original_key) == data
    served = house.content(file.optimized_key)
    assert (file.optimized_size, file.optimized_sha256) == (len(served), hashlib.sha256(served).hexdigest())
    assert (file.size, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert json.loads(house.content(file.manifest_key))["stored_sha256"] == file.optimized_sha256
    assert sorted(house.keys(upload)) == ["manifest", "optimized", "original"]
    assert not house.has_parts(upload)
    assert not house.has_jobs()
    assert house.now(upload).source_url == remote.url("/file")
