"""A server that is told to stop finishes what is under way and keeps nobody waiting."""

from __future__ import annotations

import http.client
import json
import signal
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.native import Native
from tests.support.server import running_server

if TYPE_CHECKING:
    from pathlib import Path

BIG = {"prompt": "oil", "aspect_ratio": "custom", "width": 1024, "height": 1024}


@pytest.mark.statement("RU-19")
def test_open_streams_and_long_polls_end_in_good_order(tmp_path: Path) -> None:
    with ExitStack() as open_ones, running_server(tmp_path / "data") as server:
        native = Native(url=server.url, key=server.create_key())
        upload = native.begin(b"bytes that never come")
        runs = [native.start("builtin/stylize", BIG) for _ in range(3)]  # two at a time, so the third one waits
        stream = _open(native, f"/v1/uploads/{upload['id']}/events")
        poll = _open(native, f"/v1/runs/{runs[2]['id']}?wait=60")
        answers: list[bytes] = []
        begun = stream.getresponse()
        readers = [
            threading.Thread(target=lambda: answers.append(begun.read())),
            threading.Thread(target=lambda: answers.append(poll.getresponse().read())),
        ]
        for reader in readers:
            reader.start()
        socket = open_ones.enter_context(connect(f"ws{server.url.removeprefix('http')}/runware/v1"))
        socket.send(json.dumps([{"taskType": "authentication", "apiKey": native.key}]))
        assert "connectionSessionUUID" in str(socket.recv(30))

        server.process.send_signal(signal.SIGTERM)

        for reader in readers:
            reader.join(30)
        assert server.process.wait(30) == 0
        assert len(answers) == 2  # both were whole: a connection that was cut off raises instead
        assert sorted(b'"state"' in answer for answer in answers) == [False, True]
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(30)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012  # come back, to a server that does not end
        stream.close()
        poll.close()


def test_a_run_that_was_waiting_is_done_after_the_next_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data) as server:
        key = server.create_key()
        native = Native(url=server.url, key=key)
        runs = [native.start("builtin/stylize", BIG)["id"] for _ in range(3)]

    with running_server(data) as server:
        native = Native(url=server.url, key=key)
        assert {native.finished(run_id)["state"] for run_id in runs} == {"succeeded"}
        assert native.balance() == "99.988"


def _open(native: Native, path: str) -> http.client.HTTPConnection:
    parts = urlsplit(native.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    connection.request("GET", path, headers={"Authorization": f"Bearer {native.key}"})
    return connection
