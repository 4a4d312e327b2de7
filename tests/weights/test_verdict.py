from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.weights.identify import Found, identify
from penstock.weights.verdict import Declaration, judge
from tests.support.headers import read_header

if TYPE_CHECKING:
    from tests.support.model_files import ModelFiles, Profile

LET_THROUGH = {
    ("checkpoint/sd15_lcm_unet_diffusers", "sd1x"),
    *((f"checkpoint/flux_{kind}", "flux1s") for kind in ("dev_bfl", "dev_allinone", "dev_fp8_scaled", "dev_diffusers")),
    ("checkpoint/flux_fill_bfl", "flux1s"),
}
"""Declarations that the structure contradicts, and that people make for good reasons: they pass, with a warning."""


@pytest.mark.parametrize("profile", ["tiny", "head", "true"])
def test_every_model_file_is_what_its_manifest_says(model_files: ModelFiles, profile: Profile) -> None:
    wrong = {}
    for name, case in model_files.cases.items():
        found = identify(read_header(model_files.path(name, profile)))
        expected = (case["category"], case["family"], case["type"] or found.type)
        if (found.category, found.family, found.type) != expected or found.missing or found.contradiction:
            wrong[name] = found

    assert len(model_files.cases) == 72
    assert wrong == {}


@pytest.mark.parametrize("profile", ["tiny", "true"])
def test_every_architecture_is_accepted_or_refused_as_the_manifest_says(
    model_files: ModelFiles, profile: Profile
) -> None:
    wrong = []
    for name, case in model_files.cases.items():
        found = identify(read_header(model_files.path(name, profile)))
        for architecture in (*case["accepts"], *case["rejects"]):
            verdict = judge(found, declared_as(found, architecture))
            through = (name, architecture) in LET_THROUGH and verdict.kind == "match_unverified"
            if verdict.fits != (architecture in case["accepts"]) and not through:
                wrong.append((name, architecture, verdict))

    assert wrong == []


def declared_as(found: Found, architecture: str) -> Declaration:
    return Declaration(category=found.category or "checkpoint", architecture=architecture, type=found.type)
