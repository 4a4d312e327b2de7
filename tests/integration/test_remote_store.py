"""A whole server over an object store that is not ours: nothing but its settings changes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.exchange import fetch
from tests.support.native import Native, put
from tests.support.server import clean_environment, running_server
from tests.support.stores import swift

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.server import Server

pytestmark = pytest.mark.real_s3
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c626001000000ffff03000006000557bfabd40000000049454e44ae426082"
)
OTHER_PIXEL = PIXEL[:-20] + bytes(4) + PIXEL[-16:]


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose store is OpenStack Swift, set up as docs/howto/remote-object-store.md says."""
    directory = tmp_path_factory.mktemp("swift")
    with swift(directory) as bucket:
        environment = clean_environment(
            PENSTOCK_STORE_URL=bucket.endpoint,
            PENSTOCK_STORE_BUCKET=bucket.name,
            PENSTOCK_STORE_REGION=bucket.region,
            PENSTOCK_STORE_ACCESS_KEY=bucket.credentials.access_key,
            PENSTOCK_STORE_SECRET_KEY=bucket.credentials.secret_key,
        )
        with running_server(directory / "data", environment=environment) as server:
            yield server


@pytest.fixture
def native(remote: Server) -> Native:
    return Native(url=remote.url, key=remote.create_key())


def test_no_store_of_our_own_is_started(remote: Server) -> None:
    assert not (remote.data / "objects").exists()
    assert fetch(f"{remote.url}/readyz").status == 200


def test_an_upload_goes_to_that_store_and_is_measured_afterwards(remote: Server, native: Native) -> None:
    upload = native.begin(PIXEL)
    put(upload, PIXEL).must(200)
    asset = native.post(f"/uploads/{upload['id']}/complete").must(200)

    told = native.get(f"/uploads/{upload['id']}/events").body.decode()
    measured = native.get(f"/assets/{asset['id']}").must(200)

    assert upload["upload_url"].startswith(remote.objects_url + "/")
    assert asset["sha256"] is None
    assert "event: upload.ready" in told
    assert json.loads(told.rsplit("data: ", 1)[1])["data"]["sha256"] == measured["sha256"]
    assert fetch(asset["url"]).body == PIXEL


def test_what_was_completed_stays_when_the_url_is_used_again(native: Native) -> None:
    upload = native.begin(PIXEL)
    put(upload, PIXEL).must(200)
    asset = native.post(f"/uploads/{upload['id']}/complete").must(200)

    put(upload, OTHER_PIXEL).must(200)

    assert fetch(asset["url"]).body == PIXEL


def test_a_run_reads_and_writes_there(native: Native) -> None:
    begun = native.start("builtin/stylize", {"prompt": "an ink drawing", "width": 64, "height": 64})

    run = native.finished(begun["id"])

    assert run["state"] == "succeeded"
    assert fetch(run["output"]["image"]["url"]).body.startswith(PIXEL[:8])
