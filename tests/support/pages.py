"""Runs the commands of a documentation page, in their order, in one shell, against a real server."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(?P<language>\w+)(?: (?P<file>\S+))?\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block: its language, and the file to save it in when a second word of its fence names one."""

    language: str
    file: str
    code: str


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page below `docs/`."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return [
        Block(language=found["language"], file=found["file"] or "", code=textwrap.dedent(found["code"]))
        for found in _BLOCK.finditer(text)
    ]


def commands(page: str) -> list[str]:
    """What a reader would type: the `sh` blocks that are not files."""
    return [block.code for block in blocks(page) if block.language == "sh" and not block.file]


def save_files(page: str, folder: Path) -> None:
    """Save the blocks that name a file, and the example photographs, where the page's commands look for them."""
    for block in blocks(page):
        if block.file:
            (folder / block.file).write_text(block.code, encoding="utf-8")
    shutil.copytree(ROOT / "examples", folder / "examples", dirs_exist_ok=True)


def run(script: str, folder: Path, environment: Mapping[str, str], *, seconds: float = 120.0) -> str:
    """Run a script as a careful reader would, who stops at the first failure; what it printed."""
    programs = Path(sys.executable).parent
    done = subprocess.run(
        ["sh", "-eu"],
        input=script,
        cwd=folder,
        env={**environment, "PATH": f"{programs}:{environment['PATH']}"},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout
