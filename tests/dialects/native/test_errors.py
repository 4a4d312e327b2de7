from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.dialects.base.errors import leaf_errors
from penstock.dialects.native.errors import ERRORS, render_error
from penstock.domain import errors as e
from penstock.domain.uploads import UploadEvent, UploadState

UUID = "6c1b2f7e-0d54-4f4e-9a5e-3f1f6a1f8b21"
HEX = UUID.replace("-", "")


def _said(error: e.PenstockError) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(bytes(render_error(error, "r" * 32).body))
    return told


def test_every_error_of_the_vocabulary_has_a_row() -> None:
    assert set(ERRORS) >= set(leaf_errors())


def test_every_row_keeps_the_errors_own_word_and_says_an_error() -> None:
    assert {row.code for row in ERRORS.values()} == {kind.code for kind in ERRORS}
    assert all(400 <= row.status < 600 for row in ERRORS.values())


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (e.UploadNotFound(UUID), f"no such upload: upload_{HEX}"),
        (e.AssetNotFound(UUID), f"no such asset: asset_{HEX}"),
        (e.RunNotFound(UUID), f"no such run: run_{HEX}"),
        (e.RunNotFound("x"), "no such run: x"),
        (e.FileNotStored(UUID), "the bytes of this upload have not arrived"),
        (e.UploadNotCompletable(upload_id=UUID, state="aborted", reason=None), f"upload_{HEX} is aborted"),
        (
            e.IllegalTransition(subject=f"upload {UUID}", state=UploadState.READY, event=UploadEvent.ABORT),
            f"upload_{HEX} is ready; abort is not possible now",
        ),
    ],
)
def test_ids_are_spelled_as_everywhere_in_this_api(error: e.PenstockError, detail: str) -> None:
    assert _said(error)["detail"] == detail


@pytest.mark.parametrize(
    ("error", "name", "value"),
    [
        (e.Unauthenticated(), "www-authenticate", "Bearer"),
        (e.MethodRefused(allowed=("GET", "POST")), "allow", "GET, POST"),
        (e.RateLimited(retry_after=2.6), "retry-after", "3"),
        (e.RateLimited(retry_after=0.1), "retry-after", "1"),
        (e.DatabaseUnavailable("no"), "retry-after", "1"),
        (e.StorageFull("no"), "retry-after", "1"),
    ],
)
def test_an_error_carries_the_header_that_its_status_asks_for(error: e.PenstockError, name: str, value: str) -> None:
    assert render_error(error, "r").headers[name] == value


def test_a_fault_of_ours_says_nothing_of_the_inside() -> None:
    told = _said(e.PenstockError("SELECT * FROM api_keys"))  # in no table, as only its leaves are raised

    assert (told["status"], told["code"]) == (500, "internal_error")
    assert "SELECT" not in json.dumps(told)
