"""Every room has a row of its own among the import contracts, so that what it may import was decided."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "penstock"
UNRESTRICTED = {"app"}  # composes all the others


def test_every_room_has_a_row() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    rows = {
        source.removeprefix("penstock.")
        for contract in contracts
        if contract["type"] == "forbidden" and contract["forbidden_modules"] == ["penstock.*"]
        for source in contract["source_modules"]
    }

    assert _rooms() - UNRESTRICTED - rows == set()


def _rooms() -> set[str]:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    return packages | modules
