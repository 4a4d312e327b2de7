"""Imports over the wire: a URL is asked for, an upload is answered, and its events tell the rest."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.dialects.native.test_uploads import FIELDS
from tests.support.native import pointers, problem
from tests.support.remote import Remote, Visit, remote_server, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.native import Native
    from tests.support.server import Server


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    with remote_server() as running:
        yield running


def begin(who: Native, url: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - members of the body
    made: dict[str, Any] = who.post("/imports", {"source_url": url, **more}).must(201)
    return made


def ended(who: Native, upload: dict[str, Any]) -> dict[str, Any]:
    """The upload after its last event, for which its stream is read to the end."""
    who.get(f"/uploads/{upload['id']}/events")
    found: dict[str, Any] = who.get(f"/uploads/{upload['id']}").must(200)
    return found


def test_a_url_becomes_an_asset(alice: Native, remote: Remote, photo: bytes, server: Server) -> None:
    remote.on("/cat.png", serving(photo))
    upload = begin(alice, remote.url("/cat.png?signature=s3cr3t"), expires_in=3600)

    assert set(upload) == FIELDS
    assert (upload["state"], upload["method"], upload["upload_url"]) == ("pending", "fetch", None)
    assert (upload["filename"], upload["source_url"]) == ("cat.png", remote.url("/cat.png"))

    done = ended(alice, upload)
    assert (done["state"], done["failure"]) == ("ready", None)
    asset = alice.get(f"/assets/{done['asset_id']}").must(200)
    assert (asset["sha256"], asset["size_bytes"]) == (hashlib.sha256(photo).hexdigest(), len(photo))
    assert asset["content_type"] == "image/png"
    assert asset["expires_at"] is not None
    listed = alice.get("/uploads").must(200)["data"][0]
    assert listed["source_url"] == remote.url("/cat.png")
    assert remote.visits[-1].target == "/cat.png?signature=s3cr3t"
    assert "s3cr3t" not in server.logged()


def test_its_events_tell_how_far_it_is(alice: Native, remote: Remote, photo: bytes) -> None:
    remote.on("/cat.png", serving(photo))
    upload = begin(alice, remote.url("/cat.png"))

    frames = alice.get(f"/uploads/{upload['id']}/events").body.decode()

    kinds = [line.removeprefix("event: ") for line in frames.splitlines() if line.startswith("event: ")]
    assert kinds == ["upload.progress", "upload.stored", "upload.ready"]
    assert f'"size":{len(photo)}' in frames.replace(" ", "")


def test_a_large_file_arrives_in_the_store_in_parts(alice: Native, remote: Remote) -> None:
    data = b"penstock " * 2_500_000
    remote.on("/large.txt", serving(data))

    done = ended(alice, begin(alice, remote.url("/large.txt"), sha256=hashlib.sha256(data).hexdigest()))

    assert done["state"] == "ready", done
    asset = alice.get(f"/assets/{done['asset_id']}").must(200)
    assert (asset["size_bytes"], asset["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())


def test_what_the_other_server_did_is_told(alice: Native, remote: Remote) -> None:
    done = ended(alice, begin(alice, remote.url("/nothing?signature=s3cr3t")))

    assert (done["state"], done["asset_id"]) == ("failed", None)
    assert done["failure"] == f"127.0.0.1:{remote.port} answered 404 (Not Found)"
    said = problem(alice.post(f"/uploads/{done['id']}/complete"), 409, "upload_not_completable")
    assert "s3cr3t" not in str(said)


def test_an_import_can_be_given_up(alice: Native, remote: Remote) -> None:
    def silent(visit: Visit) -> None:
        visit.head("200 OK", Content_Length="1000")
        visit.stay_silent()

    remote.on("/slow", silent)
    upload = begin(alice, remote.url("/slow"))
    problem(alice.post(f"/uploads/{upload['id']}/complete"), 404, "file_not_stored")

    assert alice.delete(f"/uploads/{upload['id']}").must(200)["state"] == "aborted"

    assert ended(alice, upload)["state"] == "aborted"


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://a.example/x", "http://user:word@a.example/", "http://0x7f.1/", "http://2130706433/", "a.example/x"),
        *("http://169.254.169.254/latest/", "http://10.0.0.1/", "http://[fe80::1%25eth0]/", "http://a.example\\@b/"),
    ],
)
def test_a_url_that_is_never_fetched_is_refused_at_once(alice: Native, url: str) -> None:
    said = problem(alice.post("/imports", {"source_url": url}), 422, "invalid_field")

    assert [pointer for pointer, _ in pointers(said)] == ["#/source_url"]
    assert alice.kept()[0] == []


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("source_url", ""),
        ("source_url", None),
        ("source_url", "http://a.example/" + "x" * 2048),
        ("sha256", "abc"),
        ("sha256", "g" * 64),
        ("tags", "cats"),
        ("content_type", "png"),
        ("expires_in", 5),
        ("size_bytes", 5),
    ],
)
def test_a_member_that_does_not_fit_is_named(alice: Native, member: str, value: object) -> None:
    body = {"source_url": "http://a.example/x", member: value}

    said = problem(alice.post("/imports", body), 422, "invalid_field")

    assert [pointer for pointer, _ in pointers(said)] == [f"#/{member}"]


def test_the_same_key_is_one_import(alice: Native, remote: Remote, photo: bytes) -> None:
    remote.on("/cat.png", serving(photo))
    body = {"source_url": remote.url("/cat.png")}

    first, second = (alice.post("/imports", body, idempotency_key="one").must(201) for _ in range(2))

    assert first["id"] == second["id"]


def test_a_key_that_may_only_read_may_not_import(alice: Native, make_account: Any) -> None:  # noqa: ANN401 - a factory
    reader = make_account("files:read")

    problem(reader.post("/imports", {"source_url": "http://a.example/x"}), 403, "scope_missing")
