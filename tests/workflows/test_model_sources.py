"""What servers of models do wrong (F29): each has its reason, and nothing of two versions is ever put together."""

from __future__ import annotations

import hashlib
import ipaddress
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import pytest

from penstock.adapters.fetch import Pace
from penstock.domain.errors import InvalidField, ObjectStoreUnavailable
from penstock.domain.jobs import LEASE
from penstock.domain.model_uploads import Phase
from penstock.domain.weights import ModelCheck
from penstock.ports.jobs import AttemptInterruptedError
from penstock.workflows.model_phases import ModelOptions
from tests.support.model_house import PART_BYTES, Interrupting, made_weights, open_model_house, seed_of
from tests.support.remote import Remote, Visit, redirecting, remote_server, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from penstock.adapters.objects.s3 import S3ObjectStore
    from penstock.adapters.weights.examiner import ChildExaminer
    from penstock.domain.egress import Address
    from penstock.domain.model_uploads import ModelUpload
    from penstock.ports.objects import ObjectStore
    from tests.support.model_files import ModelFiles
    from tests.support.model_house import ModelHouse

DATA, OTHER = made_weights(12), made_weights(12, seed=2)
SMALL = made_weights(1)


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    with remote_server() as running:
        yield running


def chunked(data: bytes) -> Callable[[Visit], None]:
    """Bytes whose number nobody announces."""

    def handle(visit: Visit) -> None:
        visit.head("200 OK", Transfer_Encoding="chunked")
        with suppress(OSError):
            visit.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))

    return handle


def announcing(size: int, data: bytes) -> Callable[[Visit], None]:
    """Bytes under a wrong announcement."""

    def handle(visit: Visit) -> None:
        visit.head("200 OK", Content_Length=str(size))
        with suppress(OSError):
            visit.send(data)

    return handle


def packed(visit: Visit) -> None:
    visit.answer("200 OK", SMALL, Content_Encoding="gzip")


def assert_failed(house: ModelHouse, upload: ModelUpload, code: str, words: str) -> None:
    """It ended with that reason, after no phase but the first, and left nothing."""
    now = house.now(upload)
    assert (now.phase, now.error_code) == (Phase.FAILED, code), now
    assert words in (now.error or "")
    kinds = [kind for kind in house.kinds(upload) if kind != "model.delayed"]
    assert kinds == ["model.validated", "model.failed"]
    assert house.model(upload) is None
    assert (house.keys(upload), house.has_parts(upload), house.has_jobs()) == ([], False, False)


def assert_whole(house: ModelHouse, upload: ModelUpload, data: bytes) -> None:
    """It ended in a model of these bytes, looked at as a whole."""
    assert house.now(upload).phase is Phase.READY, house.now(upload).error
    file = house.file(upload)
    assert house.content(file.original_key) == data
    assert file.sha256 == file.summary["source_sha256"] == hashlib.sha256(data).hexdigest()
    assert house.keys(upload) == ["manifest", "optimized", "original"]
    assert not house.has_parts(upload)
    kinds = [kind for kind in house.kinds(upload) if kind != "model.delayed"]
    assert kinds == [f"model.{phase}" for phase in ("validated", "downloaded", "optimized", "stored", "ready")]


@pytest.mark.statement("RU-40")
def test_what_a_server_sends_instead_of_a_model_has_its_reason(
    lenient_house: ModelHouse, remote: Remote, model_files: ModelFiles
) -> None:
    house = lenient_house
    acme = house.open_account()
    wrong: dict[str, tuple[Callable[[Visit], None], str, str]] = {
        "nothing": (lambda visit: visit.answer("404 Not Found"), "source_refused", "answered 404"),
        "page": (serving(b"<!doctype html><title>Log in</title>" * 999), "not_safetensors", "HTML"),
        "gzip": (packed, "source_refused", "compressed"),
        "loop": (redirecting("/loop"), "source_refused", "redirects more than 5 times"),
        "empty": (serving(b""), "not_safetensors", "empty"),
        "cut": (serving(SMALL[:-1]), "not_safetensors", "cut off"),
        "cut-header": (serving(SMALL[:50]), "not_safetensors", "cut off"),
        "more": (serving(SMALL + b"x"), "not_safetensors", "after"),
        "cut-unannounced": (chunked(SMALL[:-1]), "not_safetensors", "ends after"),
        "cut-header-unannounced": (chunked(SMALL[:50]), "not_safetensors", ""),
        "more-unannounced": (chunked(SMALL + b"x"), "not_safetensors", "more bytes come"),
        "pickle": (serving(model_files.malformed("pickle").read_bytes()), "not_safetensors", "ickle"),
        "broken": (announcing(len(SMALL), SMALL[:-9]), "source_failed", "broke off"),
        "too-large": (announcing(2**38, SMALL), "file_too_large", str(2**37)),
        "reset": (Visit.reset, "source_failed", ""),
        "busy": (lambda visit: visit.answer("503 Service Unavailable"), "source_failed", "answered 503"),
    }
    uploads: dict[str, ModelUpload] = {}
    for number, (name, (handler, _, _)) in enumerate(wrong.items()):
        remote.on(f"/{name}", handler)
        uploads[name] = house.begin(acme, remote.url(f"/{name}"), f"acme:1@{number}")

    house.work(rounds=200)

    for name, (_, code, words) in wrong.items():
        assert_failed(house, uploads[name], code, words)


def test_a_wrong_model_is_refused_by_its_header_and_its_body_never_comes(
    model_house: ModelHouse, remote: Remote, model_files: ModelFiles
) -> None:
    head = model_files.path("checkpoint/flux_dev_bfl", "head").read_bytes()
    size = model_files.path("checkpoint/flux_dev_bfl", "true").stat().st_size
    assert size > 20 * 2**30
    told: list[str] = []
    left = threading.Event()

    def huge(visit: Visit) -> None:
        visit.head("200 OK", Content_Length=str(size), ETag='"v1"')
        visit.send(head)
        with suppress(OSError):
            while True:
                visit.send(bytes(2**16))
                told.append("more")
        left.set()

    remote.on("/huge", huge)
    house = model_house
    upload = house.begin(house.open_account(), remote.url("/huge"), architecture="sdxl")

    house.work()

    assert left.wait(30)
    assert house.now(upload).error_code == "model_file_mismatch"
    assert "flux1d" in (house.now(upload).error or "")
    assert len(told) * 2**16 < 16 * 2**20  # what two sockets hold
    assert [visit.target for visit in remote.visits].count("/huge") == 1
    assert_failed(house, upload, "model_file_mismatch", "")


def test_a_drip_without_end_is_left_alone(
    sqlite_url: str, own_store: S3ObjectStore, examiner: ChildExaminer, remote: Remote, request: pytest.FixtureRequest
) -> None:
    def drip(visit: Visit) -> None:
        visit.head("200 OK", Content_Length=str(len(SMALL)))
        with suppress(OSError):
            for byte in SMALL:
                visit.send(bytes([byte]))
                visit.line.settimeout(0.05)
                with suppress(TimeoutError):
                    if not visit.line.recv(1):
                        return

    remote.on("/drip", drip)
    hasty = Pace(window=0.3, least_rate=1000)
    with open_model_house(
        sqlite_url, own_store, examiner, check=ModelCheck.OFF, seed=seed_of(request), pace=hasty
    ) as house:
        upload = house.begin(house.open_account(), remote.url("/drip"))

        house.work()

        assert_failed(house, upload, "source_failed", "less than 1000 bytes a second")


@pytest.mark.parametrize("etag", ['"v1"', 'W/"v1"', None])
def test_a_broken_download_goes_on_where_it_may_and_else_begins_anew(
    lenient_house: ModelHouse, remote: Remote, etag: str | None
) -> None:
    house = lenient_house
    remote.on("/file", serving(DATA, etag=etag, cut=PART_BYTES + 2**21), serving(DATA, etag=etag))
    before = len(remote.visits)
    upload = house.begin(house.open_account(), remote.url())

    house.work()

    assert_whole(house, upload, DATA)
    asked = [visit.headers.get("range") for visit in remote.visits[before:]]
    assert asked[0] is None
    assert (asked[1] is not None) == (etag == '"v1"')
    assert len(asked) == 2


def test_a_later_attempt_goes_on_behind_the_last_part(lenient_house: ModelHouse, remote: Remote) -> None:
    house = lenient_house
    remote.on("/file", serving(DATA, cut=PART_BYTES + 2**18), Visit.reset, serving(DATA))
    before = len(remote.visits)
    upload = house.begin(house.open_account(), remote.url())
    house.worker.drain(limit=1)
    assert house.kinds(upload) == ["model.validated", "model.delayed"]

    house.work()

    assert_whole(house, upload, DATA)
    asked = [visit.headers.get("range") for visit in remote.visits[before:]]
    assert asked[0] is None
    assert asked[-1] == f"bytes={PART_BYTES}-"


def changed(data: bytes) -> Callable[[Visit], None]:
    """Another version, in answer to whatever was asked."""
    return serving(data, etag='"v2"')


def without_ranges(data: bytes) -> Callable[[Visit], None]:
    return serving(data, ranges=False)


def lying(data: bytes) -> Callable[[Visit], None]:
    """A range that is another than the one asked for; the whole when it is asked for that."""

    def handle(visit: Visit) -> None:
        if "range" not in visit.headers:
            serving(data)(visit)
            return
        span = f"bytes 7-{len(data) - 1}/{len(data)}"
        visit.answer("206 Partial Content", data[7:], ETag='"v1"', Content_Range=span)

    return handle


def other_total(data: bytes) -> Callable[[Visit], None]:
    """The same ETag on a file of another size."""

    def handle(visit: Visit) -> None:
        if "range" not in visit.headers:
            serving(data)(visit)
            return
        start = int(visit.headers["range"].removeprefix("bytes=").removesuffix("-"))
        span = f"bytes {start}-{len(data)}/{len(data) + 1}"
        visit.answer("206 Partial Content", data[start:] + b"x", ETag='"v1"', Content_Range=span)

    return handle


@pytest.mark.parametrize("second", [changed, without_ranges, lying])
def test_what_is_not_surely_the_same_version_comes_from_its_beginning(
    lenient_house: ModelHouse, remote: Remote, second: Callable[[bytes], Callable[[Visit], None]]
) -> None:
    house = lenient_house
    remote.on("/file", serving(DATA, cut=PART_BYTES + 2**20), second(OTHER))
    upload = house.begin(house.open_account(), remote.url())

    house.work()

    assert_whole(house, upload, OTHER)


def test_a_file_that_grew_under_the_same_version_is_no_model(lenient_house: ModelHouse, remote: Remote) -> None:
    house = lenient_house
    remote.on("/file", serving(DATA, cut=PART_BYTES + 2**20), other_total(DATA))
    upload = house.begin(house.open_account(), remote.url())

    house.work()

    assert_failed(house, upload, "not_safetensors", "more bytes come")


@pytest.mark.statement("RU-41")
def test_private_places_are_not_reached_directly_by_redirect_or_by_a_name_that_changes(
    sqlite_url: str, own_store: S3ObjectStore, examiner: ChildExaminer, remote: Remote, request: pytest.FixtureRequest
) -> None:
    answers: list[Sequence[Address]] = [[ipaddress.ip_address("127.0.0.1")], [ipaddress.ip_address("10.0.0.1")]]

    def resolve(_: str) -> Sequence[Address]:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    with open_model_house(
        sqlite_url,
        own_store,
        examiner,
        check=ModelCheck.OFF,
        seed=seed_of(request),
        egress="127.0.0.0/8",
        resolve=resolve,
    ) as house:
        acme = house.open_account()
        for url in ("ftp://a.example/x", "http://169.254.169.254/x", "http://10.0.0.1/x", "http://[::1]/x"):
            with pytest.raises(InvalidField) as raised:
                house.begin(acme, url)
            assert raised.value.path == ("source_url",)
        remote.on("/inside", redirecting("http://10.0.0.1/model"))
        remote.on("/meta", redirecting("http://169.254.169.254/latest"))
        remote.on("/gopher", redirecting("gopher://127.0.0.1/x"))
        remote.on("/renamed", redirecting(f"http://rebound.example:{remote.port}/model"))
        refused = [
            house.begin(acme, remote.url(path), f"acme:2@{at}")
            for at, path in enumerate(("/inside", "/meta", "/gopher"))
        ]
        rebound = house.begin(acme, f"http://rebound.example:{remote.port}/renamed", "acme:3@1")

        house.work()

        for upload in refused:
            assert_failed(house, upload, "source_refused", "")
        assert_failed(house, rebound, "source_unreachable", "cannot be reached")


def test_a_planned_stop_hands_the_job_back_and_the_next_start_goes_on(
    lenient_house: ModelHouse, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = lenient_house
    monkeypatch.setattr("penstock.workflows.model_attempt._LOOK_SECONDS", 0.0)

    def slow(visit: Visit) -> None:
        visit.head("200 OK", Content_Length=str(len(DATA)), ETag='"v1"')
        visit.send(DATA[: PART_BYTES + 2**20])
        house.interrupt.set()
        with suppress(OSError):
            visit.send(DATA[PART_BYTES + 2**20 :])

    remote.on("/file", slow, serving(DATA))
    upload = house.begin(house.open_account(), remote.url())
    (job,) = house.queue.claim("test", kinds=["model_upload"], limit=1, lease=LEASE, now=house.clock.now())
    with pytest.raises(AttemptInterruptedError):
        house.flow.run(job)
    house.interrupt.clear()
    assert house.queue.release("test", now=house.clock.now()) == 1

    house.work()

    assert_whole(house, upload, DATA)


def test_what_is_out_of_time_before_it_is_asked_for_blames_nobody_s_server(
    lenient_house: ModelHouse, remote: Remote
) -> None:
    """As after attempts that came to nothing: nothing is connected to any more."""
    remote.on("/late", serving(made_weights(1)))
    upload = lenient_house.begin(lenient_house.open_account(), remote.url("/late"))
    now = lenient_house.clock.now()
    (job,) = lenient_house.queue.claim("test", kinds=["model_upload"], limit=1, lease=LEASE, now=now)
    with lenient_house.database.write() as tx:
        tx.fenced.checkpoint(job, job.step, {"spent": timedelta(hours=23).total_seconds()})
    lenient_house.queue.release("test", now=now)
    lenient_house.work()

    assert_failed(lenient_house, upload, "source_failed", "did not come in time")
    assert [visit for visit in remote.visits if visit.target == "/late"] == []


def test_neither_waiting_for_a_turn_nor_a_clock_that_jumps_takes_of_an_upload_s_time(
    lenient_house: ModelHouse, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = lenient_house
    monkeypatch.setattr("penstock.workflows.model_attempt._LOOK_SECONDS", 0.0)

    def jumping(visit: Visit) -> None:
        visit.head("200 OK", Content_Length=str(len(DATA)), ETag='"v1"')
        visit.send(DATA[:PART_BYTES])
        house.clock.advance(timedelta(days=2))
        visit.send(DATA[PART_BYTES:])

    remote.on("/file", jumping)
    upload = house.begin(house.open_account(), remote.url())
    house.clock.advance(timedelta(days=2))

    house.work()

    assert_whole(house, upload, DATA)


def test_the_rests_that_a_server_wishes_for_count(lenient_house: ModelHouse, remote: Remote) -> None:
    house = replace(lenient_house, tools=replace(lenient_house.tools, options=ModelOptions(within=timedelta(hours=2))))

    def busy(visit: Visit) -> None:
        visit.answer("503 Service Unavailable", b"", Retry_After="3000")

    remote.on("/busy", *[busy] * 5)
    before = len(remote.visits)
    upload = house.begin(house.open_account(), remote.url("/busy"))

    house.work()

    assert_failed(house, upload, "source_failed", "503")
    assert len(remote.visits) - before == 3  # two rests of 50 minutes, and no third


def test_no_server_is_asked_while_the_store_is_away(lenient_house: ModelHouse, remote: Remote) -> None:
    away = [True]

    def step(call: str) -> None:
        if away[0] and call.startswith("before"):
            raise ObjectStoreUnavailable("away")

    store = cast("ObjectStore", Interrupting(lenient_house.objects, step))
    house = replace(lenient_house, tools=replace(lenient_house.tools, objects=store))
    remote.on("/file", serving(DATA))
    before = len(remote.visits)
    upload = house.begin(house.open_account(), remote.url())

    house.worker.drain(limit=1)
    asked_while_away = len(remote.visits) - before
    away[0] = False
    house.work()

    assert asked_while_away == 0
    assert_whole(house, upload, DATA)
