"""Programs in place of a child's: they begin as it does, and then do what a test wants."""

from __future__ import annotations

import shlex
import sys
from textwrap import dedent
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_BEGINNING = """
import json, os, signal, socket, sys
from penstock.adapters.children import messages
from penstock.adapters.children.serving import Prepared, Reply, serve
"""
_DEED = """
parents = socket.socket(fileno=int(sys.argv[-2]))
parents.recv(4096)
parents.sendall(messages.encode({}))
parents.recv(1)
"""


def stand_in(folder: Path, program: str) -> str:
    """What to start in place of Python: it runs `program`, whose last two arguments are the socket and the parent."""
    script, starter = folder / "program.py", folder / "python"
    script.write_text(_BEGINNING + dedent(program))
    starter.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(script))} "$@"\n')
    starter.chmod(0o755)
    return str(starter)


def ended_by(folder: Path, deed: str) -> str:
    """Likewise, for a child that is asked something and comes to its end."""
    return stand_in(folder, _DEED + deed)
