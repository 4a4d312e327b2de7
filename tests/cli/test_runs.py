from __future__ import annotations

from pathlib import Path

import pytest
import typer

from penstock.cli.runs import parse_inputs


def test_a_plain_value_is_text() -> None:
    assert parse_inputs(["prompt=a cat = a tiger", "seed=7", "empty="]) == {
        "prompt": "a cat = a tiger",
        "seed": "7",
        "empty": "",
    }


def test_a_colon_announces_json() -> None:
    assert parse_inputs(["strength:=0.5", 'images:=["asset_1"]', "flag:=true"]) == {
        "strength": 0.5,
        "images": ["asset_1"],
        "flag": True,
    }


def test_an_at_sign_names_a_file(tmp_path: Path) -> None:
    picture = tmp_path / "cat.png"
    picture.touch()

    assert parse_inputs([f"image=@{picture}"]) == {"image": picture}


def test_a_value_that_happens_to_be_a_file_name_stays_text() -> None:
    assert parse_inputs([f"prompt={Path(__file__)}"]) == {"prompt": str(Path(__file__))}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["prompt"], "expected NAME=VALUE"),
        (["=x"], "expected NAME=VALUE"),
        ([":=1"], "expected NAME=VALUE"),
        (["a=1", "a:=2"], "given twice"),
        (["a:={"], "not JSON"),
        (["a:=NaN"], "NaN is no JSON number"),
        (["a=@/no/such/file"], "no such file"),
    ],
)
def test_an_input_that_makes_no_sense_is_refused(given: list[str], words: str) -> None:
    with pytest.raises(typer.BadParameter, match=words):
        parse_inputs(given)
