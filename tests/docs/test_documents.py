"""The documents hold together: links lead somewhere, and code in a known language at least parses."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import textwrap
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("docs", "changes", "examples", "tools", "bench")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))])

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(
    r"\]\((?P<target>[^()\s]+(?:\([^()\s]*\)[^()\s]*)*)(?:\s+\"[^\"]*\")?\)|^\[[^]]+\]:\s+(?P<reference>\S+)",
    re.MULTILINE,
)
HEADING = re.compile(r"^#+ +(?P<title>.+?) *#*$", re.MULTILINE)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def by_path(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_path)
def test_every_link_inside_the_project_resolves(document: Path) -> None:
    broken = [target for target in _links(document) if not _resolves(document, target)]

    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_path)
def test_every_code_block_parses(document: Path) -> None:
    complaints = []
    for block in FENCE.finditer(document.read_text(encoding="utf-8")):
        complaint = _complaint(block["language"], textwrap.dedent(block["code"]))
        if complaint:
            complaints.append(f"{block['language']} block {block['code'][:60]!r}: {complaint}")

    assert complaints == []


def _links(document: Path) -> list[str]:
    prose = INLINE_CODE.sub("", FENCE.sub("", document.read_text(encoding="utf-8")))
    targets = [match["target"] or match["reference"] for match in LINK.finditer(prose)]
    return [target for target in targets if not ELSEWHERE.match(target)]


def _resolves(document: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    path = document.parent / name if name else document
    if not path.exists() or not path.resolve().is_relative_to(ROOT):
        return False
    return not anchor or path.suffix != ".md" or anchor in _anchors(path)


def _anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives to headings; a repeated heading gets `-1`, `-2` …."""
    anchors: set[str] = set()
    for match in HEADING.finditer(FENCE.sub("", document.read_text(encoding="utf-8"))):
        slug = re.sub(r"[^\w\- ]", "", match["title"].lower()).replace(" ", "-")
        repeat = 0
        while (anchor := f"{slug}-{repeat}" if repeat else slug) in anchors:
            repeat += 1
        anchors.add(anchor)
    return anchors


def _complaint(language: str, code: str) -> str | None:
    try:
        if language in {"python", "py"}:
            compile(code, "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST)
        elif language == "json":
            json.loads(code)
        elif language == "toml":
            tomllib.loads(code)
        elif language in {"sh", "shell", "bash"}:
            subprocess.run(["sh", "-n"], input=code, text=True, check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        return str(error.stderr)
    except (SyntaxError, ValueError) as error:
        return str(error)
    return None
