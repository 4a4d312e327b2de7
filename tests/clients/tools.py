"""Finds the clients that are programs. One that is missing skips its tests, or fails them where they are required.

`PENSTOCK_REQUIRE_CLIENTS=1` requires them all (CI sets it).
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support.server import clean_environment

NODE_FOLDER = Path(__file__).parent / "node"
_FOREIGN = ("AWS_", "RCLONE_", "S3CMD_", "MINIO_", "NODE_")
_HOW = {
    "chromium": "apt-get install chromium",
    "curl": "apt-get install curl",
    "openssl": "apt-get install openssl",
    "rclone": "apt-get install rclone",
}


def program(*names: str) -> str:
    """The path of the first of these programs that there is: beside this Python, else on PATH."""
    places = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = [path for name in names if (path := shutil.which(name, path=places))]
    if not found:
        missing(f"{names[0]} is not installed ({_HOW.get(names[0], './dev setup integration')})")
    return found[0]


def library(name: str) -> None:
    """Require a Python library."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        missing(f"{name} is not installed (./dev setup integration)")


def node_modules() -> None:
    """Require the JavaScript packages."""
    if not (NODE_FOLDER / "node_modules" / "@aws-sdk").is_dir():
        missing("the JavaScript clients are not installed (./dev setup integration)")


def missing(what: str) -> NoReturn:
    """Skip, or fail where every client is required."""
    if os.environ.get("PENSTOCK_REQUIRE_CLIENTS") == "1":
        pytest.fail(what)
    pytest.skip(what)


def environment(home: Path, **extra: str) -> dict[str, str]:
    """Our environment without anybody's settings for S3 clients, proxies or certificates, and with an empty home."""
    own = {name: value for name, value in clean_environment().items() if not _is_foreign(name)}
    return {**own, "HOME": str(home), "NO_PROXY": "*", **extra}


def _is_foreign(name: str) -> bool:
    return name.startswith(_FOREIGN) or name.upper().endswith(("_PROXY", "_CA_BUNDLE"))
