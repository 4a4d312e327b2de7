"""The Cog runner against a real Cog server, and against one that misbehaves."""

from __future__ import annotations

import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.runners.cog import CogLimits, CogRunner
from penstock.adapters.system import SystemEntropy
from penstock.domain.errors import RunnerFailed, Unavailable
from penstock.ports.runners import OutputFile, RunCancelledError, RunImpossibleError, WeightsInput
from tests.adapters.runners.workbench import Workbench
from tests.support.remote import Remote, Visit, redirecting, remote_server, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from penstock.adapters.fetch import GuardedFetcher
    from penstock.ports.runners import FileInput

PREDICTION = "/predictions/aaaaaaaaaaaaaaaaaaaaaaaaaa"
PATIENCE_SECONDS = 60


class OneId:
    """Chance that always gives the same, so that the id of a prediction is known."""

    def random_bytes(self, count: int) -> bytes:
        return bytes(count)


class ServedBench(Workbench):
    """A workbench whose files another server can get."""

    def __init__(self, workdir: Path, remote: Remote) -> None:
        super().__init__(workdir)
        self._remote = remote
        self.said = threading.Event()

    def url(self, file: FileInput | WeightsInput) -> str:
        if isinstance(file, WeightsInput):
            return super().url(file)
        self._remote.on(f"/{file.name}", serving(self.fetch(file).read_bytes()))
        return self._remote.url(f"/{file.name}")

    def log(self, message: str, *, level: str = "info") -> None:
        super().log(message, level=level)
        self.said.set()


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    with remote_server() as running:
        yield running


@pytest.fixture
def bench(tmp_path: Path, remote: Remote) -> ServedBench:
    workdir = tmp_path / "run"
    workdir.mkdir()
    return ServedBench(workdir, remote)


def answering(status: str, body: object) -> Callable[[Visit], None]:
    """A container's whole answer. It waits for its caller to leave, for the request's body is not read."""

    def handle(visit: Visit) -> None:
        visit.answer(status, body if isinstance(body, bytes) else json.dumps(body).encode())
        visit.stay_silent()

    return handle


def scripted(remote: Remote, fetcher: GuardedFetcher, *handlers: Callable[[Visit], None]) -> CogRunner:
    """A runner whose one prediction is answered by `handlers`, the last of them for ever."""
    remote.on(PREDICTION, *handlers)
    remote.on("/openapi.json", answering("404 Not Found", {}))
    remote.on("/health-check", answering("200 OK", {"status": "BUSY"}))
    return CogRunner(fetcher, OneId(), limits=CogLimits(answer_bytes=10_000, file_bytes=1000))


def output_file(output: object) -> OutputFile:
    assert isinstance(output, OutputFile)
    return output


def test_a_file_goes_in_by_url_and_the_file_made_comes_out(
    runner: CogRunner, cog: str, bench: ServedBench, cat: Path
) -> None:
    made = output_file(runner.run(cog, {"image": bench.file(cat), "text": "a cat"}, bench))

    assert (made.name, made.content_type) == ("output-1.png", "image/png")
    assert made.path.read_bytes() == cat.read_bytes()
    assert bench.workdir in made.path.parents
    assert ("info", "got a cat") in bench.logs


def test_weights_go_in_as_a_url_that_a_loader_reads_by_ranges(
    runner: CogRunner, cog: str, bench: ServedBench, remote: Remote
) -> None:
    def ranged(visit: Visit) -> None:
        assert visit.headers["range"] == "bytes=8-15"
        visit.answer("206 Partial Content", b'{"a": {"', Content_Range="bytes 8-15/100")

    remote.on("/weights", ranged)
    bench.weights = {"acme:1@1": remote.url("/weights?signature=x")}
    weights = WeightsInput(
        air="acme:1@1", name="XL", category="checkpoint", architecture="sdxl", file_id="f", size=100, sha256="ab" * 32
    )

    assert runner.run(cog, {"weights": weights}, bench) == ["206", '{"a": {"']


def test_texts_stay_texts_and_every_file_of_a_list_is_one(runner: CogRunner, cog: str, bench: ServedBench) -> None:
    output = runner.run(cog, {"text": "two", "what": "list"}, bench)

    assert isinstance(output, list)
    assert output[0] == "two"
    assert [output_file(item).path.read_bytes() for item in output[1:]] == [b"made of two"] * 2


def test_the_models_own_failure_is_the_runs(runner: CogRunner, cog: str, bench: ServedBench) -> None:
    with pytest.raises(RunnerFailed, match="no such luck"):
        runner.run(cog, {"what": "failure"}, bench)


def test_words_and_progress_come_while_the_model_works(
    runner: CogRunner, cog: str, bench: ServedBench, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(runner.run, cog, {"text": "slow", "what": "text", "wait_for": str(release)}, bench)

        heard = bench.said.wait(PATIENCE_SECONDS)
        unfinished = not running.done()
        release.touch()

        assert running.result(PATIENCE_SECONDS) == "slow"
    assert heard
    assert unfinished
    assert bench.logs.count(("info", "got slow")) == 1
    assert 0.4 in bench.fractions


def test_a_cancelled_run_ends_in_the_container_too(
    runner: CogRunner, cog: str, bench: ServedBench, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(runner.run, cog, {"wait_for": str(tmp_path / "never")}, bench)
        assert bench.said.wait(PATIENCE_SECONDS)
        bench.is_cancelled = True

        with pytest.raises(RunCancelledError):
            running.result(PATIENCE_SECONDS)

    bench.is_cancelled = False
    assert runner.run(cog, {"text": "next", "what": "text"}, bench) == "next"


def test_a_run_waits_for_a_free_place(runner: CogRunner, cog: str, bench: ServedBench, tmp_path: Path) -> None:
    release = tmp_path / "release"
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(runner.run, cog, {"text": "1", "what": "text", "wait_for": str(release)}, bench)
        assert bench.said.wait(PATIENCE_SECONDS)
        second = pool.submit(runner.run, cog, {"text": "2", "what": "text"}, bench)
        release.touch()

        assert [first.result(PATIENCE_SECONDS), second.result(PATIENCE_SECONDS)] == ["1", "2"]


def test_a_busy_container_is_asked_again(remote: Remote, fetcher: GuardedFetcher, bench: ServedBench) -> None:
    runner = scripted(
        remote,
        fetcher,
        answering("503 Service Unavailable", {"error": "Setup has not finished yet."}),
        answering("409 Conflict", {"error": "At capacity"}),
        answering("200 OK", {"status": "succeeded", "output": "at last"}),
    )

    assert runner.run(remote.url(""), {}, bench) == "at last"


@pytest.mark.parametrize(
    ("health", "error", "message"),
    [("SETUP_FAILED", RunImpossibleError, "could not load"), ("DEFUNCT", Unavailable, "is defunct")],
)
def test_a_container_without_hope_is_not_waited_for(
    remote: Remote, fetcher: GuardedFetcher, bench: ServedBench, health: str, error: type[Exception], message: str
) -> None:
    runner = scripted(remote, fetcher, answering("503 Service Unavailable", {"status": "failed"}))
    remote.on("/health-check", answering("200 OK", {"status": health}))

    with pytest.raises(error, match=message):
        runner.run(remote.url(""), {}, bench)


def test_waiting_for_a_place_ends_with_a_cancel(remote: Remote, fetcher: GuardedFetcher, bench: ServedBench) -> None:
    def busy(visit: Visit) -> None:
        bench.is_cancelled = True
        answering("409 Conflict", {})(visit)

    with pytest.raises(RunCancelledError):
        scripted(remote, fetcher, busy).run(remote.url(""), {}, bench)


def test_a_container_that_is_not_there_is_tried_again_later(fetcher: GuardedFetcher, bench: ServedBench) -> None:
    with remote_server() as gone:
        address = gone.url("")

    with pytest.raises(Unavailable, match="cannot be reached"):
        CogRunner(fetcher, SystemEntropy()).run(address, {}, bench)


def test_a_container_that_breaks_off_is_given_one_more_chance(
    remote: Remote, fetcher: GuardedFetcher, bench: ServedBench
) -> None:
    good = answering("200 OK", {"status": "succeeded", "output": 7})

    assert scripted(remote, fetcher, Visit.reset, good).run(remote.url(""), {}, bench) == 7


def test_a_container_that_breaks_off_twice_fails_the_run(
    remote: Remote, fetcher: GuardedFetcher, bench: ServedBench
) -> None:
    with pytest.raises(RunImpossibleError, match="broke off twice"):
        scripted(remote, fetcher, Visit.reset).run(remote.url(""), {}, bench)


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (
            "422 Unprocessable Entity",
            {"detail": [{"loc": ["body", "input", "text"], "msg": "str type expected", "type": "type_error.str"}]},
            "text: str type expected",
        ),
        ("422 Unprocessable Entity", {"error": "wants a picture"}, "wants a picture"),
        ("422 Unprocessable Entity", [], "does not take this input"),
        ("200 OK", {"status": "failed", "error": "no\x1b[2J luck"}, r"no\[2J luck"),
        ("200 OK", {"status": "failed", "error": {"deep": 1}}, "without saying why"),
        ("200 OK", {"status": "canceled"}, "ended the run"),
        ("200 OK", b"<html>", r"no answer that can be used \(HTTP 200\)"),
        ("200 OK", {"status": "succeeded", "output": "x" * 20_000}, "no answer that can be used"),
        ("500 Internal Server Error", {"detail": "oops"}, r"HTTP 500"),
        ("404 Not Found", {}, r"HTTP 404"),
    ],
)
def test_every_other_answer_fails_the_run_in_words(
    remote: Remote, fetcher: GuardedFetcher, bench: ServedBench, status: str, body: object, message: str
) -> None:
    with pytest.raises(RunnerFailed, match=message):
        scripted(remote, fetcher, answering(status, body)).run(remote.url(""), {}, bench)


@pytest.mark.parametrize("address", ["", "host:5000", "file:///etc/passwd", "http://", "http://host/?a=1"])
def test_a_model_whose_name_is_no_address_cannot_be_run(
    fetcher: GuardedFetcher, bench: ServedBench, address: str
) -> None:
    with pytest.raises(RunImpossibleError, match="no address"):
        CogRunner(fetcher, SystemEntropy()).run(address, {}, bench)


def succeeded(output: object) -> Callable[[Visit], None]:
    return answering("200 OK", {"status": "succeeded", "output": output})


def test_files_that_the_container_put_elsewhere_are_fetched(
    remote: Remote, fetcher: GuardedFetcher, bench: ServedBench
) -> None:
    remote.on("/store/a%20film.mp4", serving(b"film"))
    runner = scripted(remote, fetcher, succeeded({"film": remote.url("/store/a%20film.mp4"), "score": 0.5}))

    output = runner.run(remote.url(""), {}, bench)

    assert isinstance(output, dict)
    film = output_file(output["film"])
    assert (film.name, film.content_type, film.path.read_bytes()) == ("a film.mp4", "video/mp4", b"film")
    assert output["score"] == 0.5


@pytest.mark.parametrize(
    ("handler", "error", "message"),
    [
        (serving(b"x" * 1001), RunnerFailed, "more than the 1000 bytes"),
        (redirecting("http://10.0.0.1/inner"), RunnerFailed, "not allowed"),
        (serving(b"x" * 100, cut=50), RunImpossibleError, "broke"),
    ],
    ids=["too large", "an inner address", "cut off"],
)
def test_a_file_that_cannot_be_fetched_fails_the_run(
    remote: Remote,
    fetcher: GuardedFetcher,
    bench: ServedBench,
    handler: Callable[[Visit], None],
    error: type[Exception],
    message: str,
) -> None:
    remote.on("/made", handler)

    with pytest.raises(error, match=message):
        scripted(remote, fetcher, succeeded(remote.url("/made"))).run(remote.url(""), {}, bench)


def test_a_model_that_returns_no_files_may_return_urls(
    remote: Remote, fetcher: GuardedFetcher, bench: ServedBench
) -> None:
    runner = scripted(remote, fetcher, succeeded("https://example.com/a"))
    schema = {"components": {"schemas": {"Output": {"type": "string", "title": "Output"}}}}
    remote.on("/openapi.json", answering("200 OK", schema))

    assert runner.run(remote.url(""), {}, bench) == "https://example.com/a"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("data:image/webp;base64," + base64.b64encode(b"webp").decode(), "output-1.webp"),
        ("data:application/x-unheard-of;base64,AAAA", "output-1"),
    ],
)
def test_a_data_url_becomes_a_file_named_after_its_type(
    remote: Remote, fetcher: GuardedFetcher, bench: ServedBench, text: str, name: str
) -> None:
    made = output_file(scripted(remote, fetcher, succeeded(text)).run(remote.url(""), {}, bench))

    assert made.name == name


def test_a_text_that_only_begins_as_a_data_url_stays_one(
    remote: Remote, fetcher: GuardedFetcher, bench: ServedBench
) -> None:
    runner = scripted(remote, fetcher, succeeded("data: none was found"))

    assert runner.run(remote.url(""), {}, bench) == "data: none was found"
