"""A product's name stands in its own folder, in the registry, and nowhere else in the code."""

from __future__ import annotations

import re
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "src" / "penstock"
PRODUCTS = ("ModelRunner", "ModelRoute", "Runway", "Runflow", "Runware")
# As a product writes itself, and as a module or a constant would; our own `RunFlow`, a flow of runs, is none of these.
NAME = re.compile("|".join(spelling for name in PRODUCTS for spelling in (name, name.lower(), name.upper())))


def test_no_product_is_named_outside_its_folder() -> None:
    named = [
        f"{path.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        for name in NAME.findall(line)
        if not _may_name(path.relative_to(PACKAGE), name.lower())
    ]

    assert named == []


def test_no_file_is_named_after_a_product_outside_its_folder() -> None:
    paths = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*") if "__pycache__" not in path.parts]
    named = [path for path in paths for name in NAME.findall(str(path)) if not _may_name(path, name.lower())]

    assert named == []


def _may_name(path: Path, product: str) -> bool:
    return path == Path("dialects/registry.py") or path.parts[:2] == ("dialects", product)
