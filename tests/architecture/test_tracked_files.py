"""Nothing in the repository points at the machine it was written on, or at the registry that served it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    "an absolute path of one machine": re.compile(rf"(?<![\w.\-/}}])/(?:work|farm|root)/|{re.escape(str(ROOT))}"),
    "a registry's address": re.compile(
        r"""(?:registry|resolved|index[-_]url|find-links)["'= :]+(?:https?|file):|pypi\.org/simple|pythonhosted\.org"""
    ),
    "a name of a developer's own tree": re.compile(r"\.\./shared\b"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_tracked_file_holds(what: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in _tracked_text_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if FORBIDDEN[what].search(line) and path != Path(__file__)
    ]

    assert found == []


def _tracked_text_files() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a checkout: what is tracked cannot be told otherwise")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    paths = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:8000]]
