from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

from penstock import app
from penstock.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NEEDED_LATER = {
    *("PIL", "alembic", "av", "awscrt", "blake3", "cryptography", "cv2", "ml_dtypes", "numpy", "prometheus_client"),
    *("psycopg", "rich", "typer"),
}
ALLOWED = {
    "api": {"fastapi", "pydantic", "pydantic_settings", "sqlalchemy", "starlette", "uvicorn"},
    "worker": {"httpcore2", "pydantic", "pydantic_settings", "sqlalchemy"},
    "store": {"awscrt"},
}
HEAVY = NEEDED_LATER.union(*ALLOWED.values())
AT_REST = """
import os, sys, threading
from penstock.cli import {module}

read, write = os.pipe()

def tell():
    os.read(read, 4096)
    print(*sorted({heavy!r} & sys.modules.keys()), flush=True)
    os._exit(0)

threading.Thread(target=tell, daemon=True).start()
{module}.main([text.replace("WRITE", str(write)) for text in sys.argv[1:]])
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("rest") / "data"
    app.migrate(settings_of(place))
    return place


def settings_of(data: Path) -> Settings:
    return Settings(data=data, port=0, store_port=0)


def loaded_at_rest(module: str, arguments: Sequence[str]) -> set[str]:
    """Which heavy modules a part has loaded when it says that it is ready."""
    code = AT_REST.format(module=module, heavy=HEAVY)
    process = [sys.executable, "-P", "-c", code, *arguments]
    with subprocess.Popen(process, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        return set(started.stdout.read().split())


@pytest.mark.parametrize("part", ["api", "worker"])
def test_a_part_at_rest_has_loaded_only_what_it_needs_at_rest(part: str, data: Path) -> None:
    flags = {"data": str(data), "port": 0, "store_port": 0}

    assert loaded_at_rest("serving", [part, json.dumps(flags), "WRITE"]) == ALLOWED[part]


def test_the_store_at_rest_has_loaded_neither_the_settings_library_nor_a_database_s(data: Path) -> None:
    told = {
        "part": {"name": "store", "data": str(data), "addresses": {}, "ready_fd": "WRITE"},
        "plan": asdict(app.plan_store(settings_of(data))),
    }

    assert loaded_at_rest("store", [json.dumps(told).replace('"WRITE"', "WRITE")]) == ALLOWED["store"]
