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
def test_every_pin_has_a_hash(name: str) -> None:
    text = _text(name)

    bare = [block.splitlines()[0] for block in re.split(r"\n(?=\S)", text) if "==" in block and "--hash=" not in block]

    assert bare == []


def _text(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")


def _name_of(asked: str) -> str:
    return canonicalize_name(Requirement(asked).name)


def _pins(name: str) -> dict[str, list[Version]]:
    pins: dict[str, list[Version]] = {}
    for project, version in re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==(\S+)", _text(name), re.MULTILINE):
        pins.setdefault(canonicalize_name(project), []).append(Version(version))
    return pins
