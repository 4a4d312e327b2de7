from __future__ import annotations

import io
import threading
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from penstock.client import Asset, OutputFile, RunFailedError, RunTimeoutError
from tests.client.scripted_server import Answer, asset, event, problem, reply, run, stream, upload

if TYPE_CHECKING:
    from penstock.client import Penstock
    from tests.client.scripted_server import ScriptedServer

DONE = run("succeeded", output={"image": {"asset_id": "asset_2", "url": "http://127.0.0.1/x"}}, cost_usd="0.004")


@pytest.fixture(autouse=True)
def runs(server: ScriptedServer) -> None:
    """A server on which uploads and runs go well."""
    server.answer("POST", "/v1/uploads", reply(upload(f"{server.url}/bucket/key"), 201))
    server.answer("PUT", "/bucket/key", Answer())
    server.answer(
        "POST", "/v1/uploads/upload_1/complete", reply(asset()), reply(asset("asset_9")), reply(asset("asset_10"))
    )
    server.answer("POST", "/v1/runs", reply(run(), 201))
    server.answer("GET", "/v1/runs/run_1", reply(DONE))


def asked(server: ScriptedServer) -> Any:  # noqa: ANN401 - JSON
    return server.requests("POST", "/v1/runs")[0].json


def test_a_run_is_created_and_waited_for(client: Penstock, server: ScriptedServer) -> None:
    server.answer("GET", "/v1/runs/run_1", reply(run("running")), reply(DONE))

    finished = client.run("builtin/stylize", {"prompt": "oil"}, metadata={"who": "me"})

    assert finished.succeeded
    assert finished.cost_usd == Decimal("0.004")
    assert [file.asset_id for file in finished.files] == ["asset_2"]
    assert asked(server) == {"model": "builtin/stylize", "input": {"prompt": "oil"}, "metadata": {"who": "me"}}
    assert server.requests("GET", "/v1/runs/run_1")[0].query == "wait=30.000"


def test_a_run_can_name_who_is_told_of_its_end(client: Penstock, server: ScriptedServer) -> None:
    client.create_run("builtin/stylize", {"prompt": "oil"}, callback_url="https://app.example/told?job=7")

    assert asked(server) == {
        "model": "builtin/stylize",
        "input": {"prompt": "oil"},
        "callback_url": "https://app.example/told?job=7",
    }


def test_inputs_can_be_named_arguments(client: Penstock, server: ScriptedServer) -> None:
    client.run("builtin/stylize", {"prompt": "oil"}, strength=0.5)

    assert asked(server)["input"] == {"prompt": "oil", "strength": 0.5}


def test_files_anywhere_in_the_inputs_are_uploaded_first(
    client: Penstock, server: ScriptedServer, tmp_path: Path
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"from a path")

    client.run("m", image=path, more=[b"from memory", {"deep": io.BytesIO(b"from a file")}], text="a.bin")

    assert asked(server)["input"] == {
        "image": "asset_1",
        "more": ["asset_9", {"deep": "asset_10"}],
        "text": "a.bin",
    }
    bodies = [put.body for put in server.requests("PUT", "/bucket/key")]
    assert bodies == [b"from a path", b"from memory", b"from a file"]


def test_a_file_named_twice_is_uploaded_once(client: Penstock, server: ScriptedServer, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"once")

    client.run("m", first=path, second=Path(str(path)))

    assert asked(server)["input"] == {"first": "asset_1", "second": "asset_1"}
    assert len(server.requests("POST", "/v1/uploads")) == 1


def test_assets_and_files_of_other_runs_stand_for_themselves(client: Penstock, server: ScriptedServer) -> None:
    uploaded: Asset = client.upload_file(b"x")
    made = OutputFile(asset_id="asset_2", url=None)

    client.run("m", images=[uploaded, made])

    assert asked(server)["input"] == {"images": ["asset_1", "asset_2"]}


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (float("nan"), ValueError, r"inputs\.deep\.0"),
        (float("inf"), ValueError, "no JSON number"),
        (object(), TypeError, "a object cannot be sent"),
        (Decimal(1), TypeError, "Decimal"),
        ({1: 2}, TypeError, "not a string"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_is_uploaded(
    client: Penstock, server: ScriptedServer, value: object, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        client.run("m", image=b"bytes", deep=[value])

    assert server.seen == []


def test_a_file_that_does_not_exist_is_noticed_before_anything_is_uploaded(
    client: Penstock, server: ScriptedServer, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        client.run("m", first=b"bytes", second=tmp_path / "missing")

    assert server.seen == []


def test_a_run_whose_answer_was_lost_is_not_started_twice(client: Penstock, server: ScriptedServer) -> None:
    server.answer("POST", "/v1/runs", Answer(hangs_up="at once"), reply(run(), 201))

    client.run("m")

    first, second = server.requests("POST", "/v1/runs")
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (run("failed", error={"message": "the picture is too small"}), "failed: the picture is too small"),
        (run("cancelled"), "was cancelled"),
    ],
)
def test_a_run_without_a_result_is_an_error(
    client: Penstock, server: ScriptedServer, ended: dict[str, object], words: str
) -> None:
    server.answer("GET", "/v1/runs/run_1", reply(ended))

    with pytest.raises(RunFailedError, match=words) as caught:
        client.run("m")

    assert caught.value.run.id == "run_1"


def test_waiting_ends_in_time_and_leaves_the_run_alone(client: Penstock, server: ScriptedServer) -> None:
    server.answer("GET", "/v1/runs/run_1", reply(run("running")))

    with pytest.raises(RunTimeoutError, match="still running") as caught:
        client.run("m", timeout=0.3)

    assert isinstance(caught.value, TimeoutError)
    assert not server.requests("POST", "/v1/runs/run_1/cancel")


def test_no_time_to_wait_still_asks_once(client: Penstock, server: ScriptedServer) -> None:
    assert client.wait_run("run_1", timeout=0).succeeded
    assert server.requests("GET", "/v1/runs/run_1")[0].query == ""


def test_events_are_shown_as_they_happen(client: Penstock, server: ScriptedServer) -> None:
    server.answer("GET", "/v1/runs/run_1/events", stream(event(1, "run.queued"), event(2, "run.succeeded")))
    kinds: list[str] = []

    finished = client.run("m", on_event=lambda told: kinds.append(told.kind))

    assert kinds == ["run.queued", "run.succeeded"]
    assert finished.succeeded


def test_waiting_with_events_ends_in_time_too(client: Penstock, server: ScriptedServer) -> None:
    silent = threading.Event()
    server.answer("GET", "/v1/runs/run_1/events", Answer(body=b"", holds=silent))
    server.answer("GET", "/v1/runs/run_1", reply(run("running")))

    try:
        with pytest.raises(RunTimeoutError):
            client.run("m", on_event=print, timeout=0.3)
    finally:
        silent.set()


def test_a_run_can_be_cancelled(client: Penstock, server: ScriptedServer) -> None:
    server.answer("POST", "/v1/runs/run_1/cancel", reply(run("cancelled")))

    assert client.cancel_run("run_1").state == "cancelled"


def test_a_run_that_is_refused_is_not_waited_for(client: Penstock, server: ScriptedServer) -> None:
    server.answer("POST", "/v1/runs", problem(402, "insufficient_credits"))

    with pytest.raises(Exception, match="insufficient_credits"):
        client.run("m")

    assert len(server.seen) == 1
