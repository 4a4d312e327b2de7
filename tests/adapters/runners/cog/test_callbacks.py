"""What containers tell while they work: taken under secret paths, within bounds, and never believed to be the end."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from penstock.adapters.runners.cog import CogCallbacks
from penstock.adapters.runners.cog.words import Words
from penstock.adapters.system import SystemEntropy
from tests.adapters.runners.workbench import Workbench

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def callbacks() -> Iterator[CogCallbacks]:
    with CogCallbacks("127.0.0.1", 0, SystemEntropy()) as listening:
        yield listening


def post(url: str, body: bytes, **headers: str) -> int:
    place = urlsplit(url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=30)
    try:
        connection.request("POST", place.path, body=body, headers={"Connection": "close", **headers})
        return connection.getresponse().status
    finally:
        connection.close()


def test_logs_reach_who_listens_and_nobody_else(callbacks: CogCallbacks) -> None:
    one: list[str] = []
    other: list[str] = []
    with callbacks.listening(one.append) as url, callbacks.listening(other.append):
        assert post(url, json.dumps({"status": "processing", "logs": "a\nb\n"}).encode()) == 200

    assert (one, other) == (["a\nb\n"], [])


def test_a_path_is_gone_with_its_prediction(callbacks: CogCallbacks) -> None:
    heard: list[str] = []
    with callbacks.listening(heard.append) as url:
        pass

    assert post(url, b'{"logs": "late"}') == 404
    assert heard == []


@pytest.mark.parametrize(("body", "status"), [(b"no json", 400), (b"[]", 400), (b"{}", 200), (b'{"logs": 7}', 200)])
def test_what_is_no_prediction_is_refused(callbacks: CogCallbacks, body: bytes, status: int) -> None:
    heard: list[str] = []
    with callbacks.listening(heard.append) as url:
        assert post(url, body) == status

    assert not any(heard)


@pytest.mark.parametrize(("length", "status"), [("5000000000", 413), ("-1", 400), ("many", 400)])
def test_a_body_without_a_fit_length_is_not_read(callbacks: CogCallbacks, length: str, status: int) -> None:
    with callbacks.listening(lambda _: None) as url:
        assert post(url, b"", Content_Length="0", **{"Content-Length": length}) == status


def test_words_that_cannot_be_passed_on_are_refused_and_harm_nothing(callbacks: CogCallbacks) -> None:
    def fail(_: str) -> None:
        raise ConnectionError

    with callbacks.listening(fail) as url:
        assert post(url, b'{"logs": "a"}') == 503


def test_containers_are_told_the_public_address() -> None:
    with (
        CogCallbacks("127.0.0.1", 0, SystemEntropy(), public_url="http://penstock:8090/cog/") as callbacks,
        callbacks.listening(lambda _: None) as url,
    ):
        assert url.startswith("http://penstock:8090/cog/")


def test_every_line_of_a_growing_log_is_told_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    bench = Workbench(tmp_path_factory.mktemp("run"))
    words = Words(bench)

    for logs in ("one\ntw", "one\ntwo\n", "one\ntwo\nthree"):
        words.hear(logs)
    words.hear("one\ntwo\nthree", ended=True)

    assert [message for _, message in bench.logs] == ["one", "two", "three"]


def test_bars_are_progress_and_no_lines(tmp_path_factory: pytest.TempPathFactory) -> None:
    bench = Workbench(tmp_path_factory.mktemp("run"))

    Words(bench).hear(" 10%|#         | 1/10\r 30%|###       | 3/10\nloaded\n", ended=True)

    assert bench.fractions == [0.3]
    assert bench.logs == [("info", "loaded")]
