"""Places that users name are reached through one client: lint refuses every other way out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WAYS_OUT = (
    "from http.client import HTTPConnection\n",
    "import urllib.request\n",
    "import socket\n\nsocket.create_connection(('a.example', 80))\n",
    "import socket\n\nsocket.getaddrinfo('a.example', 80)\n",
    "import asyncio\n\nasyncio.open_connection('a.example', 80)\n",
)


@pytest.mark.parametrize("code", WAYS_OUT)
def test_lint_refuses_a_second_way_out(code: str) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "ruff", "check", "--no-cache", "--select", "TID251", "--output-format", "concise"),
            *("--stdin-filename", "src/penstock/services/webhooks.py", "-"),
        ],
        cwd=ROOT,
        input=code,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "TID251" in done.stdout, done.stderr
    assert done.returncode == 1
