"""What a dialect costs over the native API: CPU of the API process per request, in paired rounds on one connection.

The same run is looked at, and the same file is announced, in every dialect in turn; the ratio is taken round by round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from bench.processes import cpu_seconds
from bench.server import running
from bench.wire import Wire
from penstock.domain.ids import format_short

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.server import Running

NO_LIMITS = {
    "PENSTOCK_RATE_LIMIT_PER_KEY": "0",
    "PENSTOCK_RATE_LIMIT_PER_ADDRESS": "0",
    "PENSTOCK_QUOTA_OPEN_UPLOADS": "1000000",
}
"""A load generator is one key at one address."""
_LOOK, _UPLOAD = "look at a run", "begin an upload"
_MODEL = "builtin/stylize"
_SUCCESS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Tongue:
    """How a dialect asks for the two things. `run` is the path of a run, of its UUID.

    `begin`, path and body, begins a run where a dialect shows none but its own. `upload_peer` begins an upload of the
    same kind in the native API.
    """

    headers: Mapping[str, str]
    run: Callable[[str], str]
    begin: tuple[str, Mapping[str, object]] | None = None
    upload_peer: str = "native"
    uploads: str
    upload: Mapping[str, object]


_BEARER = {"Authorization": "Bearer {key}"}
_PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAIAAAAlC+aJAAAAT0lEQVR42u3PQQkAAAgEsAtmEtMY3Q"
    "i+hcEKLNXzWgQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQELguBAGEA8PzF9gAAAABJRU5Erk"
    "Jggg=="
)
_NAME, _TYPE, _SIZE = "picture.png", "image/png", 20_000
TONGUES: Mapping[str, Tongue] = {
    "native": Tongue(
        headers=_BEARER,
        run=lambda run: f"/v1/runs/run_{UUID(run).hex}",
        uploads="/v1/uploads",
        upload={"filename": _NAME, "content_type": _TYPE, "size_bytes": _SIZE},
    ),
    "native form": Tongue(
        headers=_BEARER,
        run=lambda run: f"/v1/runs/run_{UUID(run).hex}",
        uploads="/v1/uploads",
        upload={"filename": _NAME, "content_type": _TYPE, "size_bytes": _SIZE, "method": "form"},
    ),
    "modelrunner": Tongue(
        headers={"Authorization": "Key {key}"},
        run=lambda run: f"/modelrunner/{_MODEL}/requests/{format_short(run)}/status",
        uploads="/modelrunner/storage/upload/initiate",
        upload={"file_name": _NAME, "content_type": _TYPE, "size": _SIZE},
    ),
    "modelroute": Tongue(
        headers=_BEARER,
        run=lambda run: f"/modelroute/v1/executions/exec_{run}",
        uploads="/modelroute/v1/files/upload",
        upload={"filename": _NAME, "content_type": _TYPE, "size_bytes": _SIZE},
    ),
    "runway": Tongue(
        headers={**_BEARER, "X-Runway-Version": "2024-11-06"},
        run=lambda run: f"/runway/v1/tasks/{run}",
        begin=(
            "/runway/v1/image_to_video",
            {"model": "gen4.5", "promptImage": _PICTURE, "promptText": "zoom in", "ratio": "960:960", "duration": 2},
        ),
        upload_peer="native form",
        uploads="/runway/v1/uploads",
        upload={"filename": _NAME, "type": "ephemeral"},
    ),
    "runflow": Tongue(
        headers=_BEARER,
        run=lambda run: f"/runflow/v1/runs/{run}",
        uploads="/runflow/v1/asset-uploads",
        upload={"filename": _NAME, "mime_type": _TYPE, "size_bytes": _SIZE},
    ),
}


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench dialects")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=600, help="in each round, of each dialect and kind")
    options = parser.parse_args(arguments)
    with running(environment=NO_LIMITS) as server:
        own = {name: _ended_run(server, tongue) for name, tongue in TONGUES.items() if tongue.begin is not None}
        run = _ended_run(server, TONGUES["native"])
        for kind in (_LOOK, _UPLOAD):
            acts = {name: _act(server, tongue, kind, own.get(name, run)) for name, tongue in TONGUES.items()}
            for act in acts.values():
                _cpu_ms(server, act, options.requests // 3)
            rounds = [
                {name: _cpu_ms(server, act, options.requests) for name, act in acts.items()}
                for _ in range(options.rounds)
            ]
            _tell(kind, rounds)


def _ended_run(server: Running, tongue: Tongue) -> str:
    wire = Wire(server.url)
    path, body = tongue.begin or ("/v1/runs", {"model": _MODEL, "input": {"prompt": "a dam in the mountains"}})
    answer = wire.send("POST", path, headers=_headers(server, tongue), body=json.dumps(body).encode())
    if answer.status // 100 != _SUCCESS:
        raise RuntimeError(f"POST {path}: {answer.status} {answer.body[:200]!r}")
    made = UUID(str(json.loads(answer.body)["id"]).removeprefix("run_"))
    while wire.json("GET", f"/v1/runs/run_{made.hex}", key=server.key)["state"] in {"queued", "running"}:
        time.sleep(0.2)
    return str(made)


def _headers(server: Running, tongue: Tongue) -> dict[str, str]:
    return {name: value.format(key=server.key) for name, value in tongue.headers.items()}


def _act(server: Running, tongue: Tongue, kind: str, run: str) -> Callable[[], None]:
    wire = Wire(server.url)
    headers = _headers(server, tongue)
    looks = kind == _LOOK
    method, target = ("GET", tongue.run(run)) if looks else ("POST", tongue.uploads)
    sent = b"" if looks else json.dumps(tongue.upload).encode()

    def act() -> None:
        answer = wire.send(method, target, headers=headers, body=sent)
        if answer.status // 100 != _SUCCESS:
            raise RuntimeError(f"{method} {target}: {answer.status} {answer.body[:200]!r}")

    return act


def _cpu_ms(server: Running, act: Callable[[], None], count: int) -> float:
    before = cpu_seconds(server.parts["api"])
    for _ in range(count):
        act()
    return (cpu_seconds(server.parts["api"]) - before) / count * 1000


def _tell(kind: str, rounds: list[dict[str, float]]) -> None:
    print(f"{kind}, CPU of the API per request")
    for name, tongue in TONGUES.items():
        middle = statistics.median(outcome[name] for outcome in rounds)
        peer = tongue.upload_peer if kind == _UPLOAD else "native"
        ratios = sorted(outcome[name] / outcome[peer] for outcome in rounds)
        span = f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"  {name:<12}{middle:6.2f} ms   x{statistics.median(ratios):.2f} of {peer} {span}")
