"""What the pages say of the code is what the code says: `./dev docs` brings them up to date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from penstock.domain.model_uploads import PHASE_TABLE, Phase
from penstock.domain.runs import RUN_TABLE, RunState
from penstock.domain.uploads import UPLOAD_TABLE, UploadState
from tools.reference import BLOCK, BLOCKS, PAGES, drawn, with_blocks

ROOT = Path(__file__).parents[2]
RULES = ROOT / "docs" / "architecture" / "rules.md"
CITED = re.compile(r"\b(?!S3\b)[PFS]\d{1,2}\b")
WAY = re.compile(r"(?:├|└)─ (?P<event>\w+) ─+▶ (?P<state>\w+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_says_what_the_code_says(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert text == with_blocks(text), "run ./dev docs"


def test_every_block_stands_in_a_page() -> None:
    used = {block["name"] for page in PAGES for block in BLOCK.finditer(page.read_text(encoding="utf-8"))}

    assert used == set(BLOCKS)


def test_the_picture_of_an_uploads_life_has_every_transition_once() -> None:
    picture = drawn(UPLOAD_TABLE, UploadState.PENDING)

    assert picture.splitlines()[0] == "pending"
    assert sorted(_ways(picture)) == sorted((event.value, state.value) for (_, event), state in UPLOAD_TABLE.items())


def test_the_picture_of_a_runs_life_has_every_transition_once() -> None:
    picture = drawn(RUN_TABLE, RunState.QUEUED)

    assert picture.splitlines()[0] == "queued"
    assert sorted(_ways(picture)) == sorted((event.value, state.value) for (_, event), state in RUN_TABLE.items())


def test_the_picture_of_a_model_uploads_phases_has_every_transition_once() -> None:
    picture = drawn(PHASE_TABLE, Phase.VALIDATED)

    assert picture.splitlines()[0] == "validated"
    assert sorted(_ways(picture)) == sorted((event.value, phase.value) for (_, event), phase in PHASE_TABLE.items())


def test_the_rules_that_comments_cite_are_listed_and_no_others() -> None:
    cited = {
        rule
        for path in (ROOT / "src" / "penstock").rglob("*.py")
        if "weights" not in path.parts  # where F16, F32 and F64 are types of numbers
        for rule in CITED.findall(path.read_text(encoding="utf-8"))
    }
    listed = re.findall(r"^\| ([PFS]\d+) \|", RULES.read_text(encoding="utf-8"), re.MULTILINE)

    assert sorted(listed) == sorted(cited)


def _ways(picture: str) -> list[tuple[str, str]]:
    return [(way["event"], way["state"]) for way in WAY.finditer(picture)]
