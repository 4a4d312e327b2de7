"""The locked requirements hold what pyproject.toml asks for; `./dev lock` mends what fails here."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RUNTIME = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["demo"]
EXTRAS = [requirement for extra in PROJECT["project"]["optional-dependencies"].values() for requirement in extra]
GROUPS = PROJECT["dependency-groups"]
LOCKED = {
    "runtime": RUNTIME,
    "dev": RUNTIME + EXTRAS + GROUPS["dev"],
    "integration": RUNTIME + EXTRAS + GROUPS["dev"] + GROUPS["integration"],
}


@pytest.mark.parametrize("name", LOCKED)
def test_every_dependency_is_locked_at_a_version_that_fits(name: str) -> None:
    pins = _pins(name)

    unlocked = [
        asked
        for asked in LOCKED[name]
        if not any(Requirement(asked).specifier.contains(pin) for pin in pins.get(_name_of(asked), []))
    ]

    assert unlocked == []


@pytest.mark.parametrize("name", LOCKED)
def test_a_dependency_that_was_dropped_is_not_locked(name: str) -> None:
    direct = re.compile(r"# via penstock$|^    #   penstock$", re.MULTILINE)
    locked = {
        canonicalize_name(block.partition("==")[0].partition("[")[0]) for block in _blocks(name) if direct.search(block)
    }

    assert locked - {_name_of(asked) for asked in LOCKED[name]} == set()


@pytest.mark.parametrize("name", LOCKED)
def test_every_pin_has_a_hash(name: str) -> None:
    bare = [block.splitlines()[0] for block in _blocks(name) if "--hash=sha256:" not in block]

    assert bare == []


def _blocks(name: str) -> list[str]:
    """One block of lines per pin."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    return re.split(r"\n(?=\S)", text.strip())


def _pins(name: str) -> dict[str, list[Version]]:
    pins: dict[str, list[Version]] = {}
    for block in _blocks(name):
        project, version = re.match(r"([\w.-]+)(?:\[[^]]*\])?==(\S+)", block).groups()  # type: ignore[union-attr]  # None fails the test as well
        pins.setdefault(canonicalize_name(project), []).append(Version(version))
    return pins


def _name_of(asked: str) -> str:
    return canonicalize_name(Requirement(asked).name)
