"""The operator's commands on a data directory without a server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.server import clean_environment, must, run_penstock

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def penstock(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `penstock` on one data directory, in which the account `acme` has 5 USD."""
    data: Path = tmp_path_factory.mktemp("data")
    environment = clean_environment(PENSTOCK_DATA=str(data))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_penstock(*arguments, environment=environment)

    must(run("accounts", "create", "acme", "--credits", "5"))
    return run


def test_migrating_twice_is_as_good_as_once(tmp_path: Path) -> None:
    first = must(run_penstock("migrate", "--data", str(tmp_path)))
    second = must(run_penstock("migrate", "--data", str(tmp_path)))

    assert first.stdout == second.stdout
    assert re.fullmatch(r"database at revision \w+\n", first.stdout)


def test_credits_are_added_exactly(penstock: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    must(penstock("accounts", "create", "exact", "--credits", "0"))

    assert must(penstock("accounts", "credit", "exact", "0.10")).stdout == "exact: 0.1 USD\n"
    assert must(penstock("accounts", "credit", "exact", "100")).stdout == "exact: 100.1 USD\n"


def test_accounts_are_listed_with_their_balance(penstock: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    listed = must(penstock("accounts", "list")).stdout

    assert listed.startswith("ACCOUNT")
    assert re.search(r"^acme +5 +0 +0 +\d{4}-\d\d-\d\d$", listed, re.MULTILINE)


def test_a_key_is_printed_alone_and_never_again(penstock: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    created = must(penstock("keys", "create", "--account", "acme", "--scope", "files:read"))

    assert re.fullmatch(r"sk_[0-9a-f]{64}_[0-9a-f]{8}\n", created.stdout)
    listed = must(penstock("keys", "list", "--account", "acme")).stdout
    assert created.stdout.strip() not in listed
    assert re.search(r"^key_[0-9a-f]{32} +acme +sk_\w{4}… +files:read ", listed, re.MULTILINE)


def test_a_revoked_key_is_listed_as_such(penstock: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    must(penstock("accounts", "create", "revoking"))
    must(penstock("keys", "create", "--account", "revoking"))
    key_id = must(penstock("keys", "list", "--account", "revoking")).stdout.splitlines()[1].split()[0]

    assert must(penstock("keys", "revoke", key_id)).stdout == f"{key_id}: revoked\n"

    row = must(penstock("keys", "list", "--account", "revoking")).stdout.splitlines()[1]
    assert re.search(r" \d{4}-\d\d-\d\d$", row)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("accounts", "create", "acme"), "taken"),
        (("accounts", "create", "no spaces"), "letters"),
        (("accounts", "credit", "nobody", "1"), "no such account"),
        (("keys", "create", "--account", "nobody"), "no such account"),
        (("keys", "create", "--account", "acme", "--scope", "everything"), "unknown: everything"),
        (("keys", "list", "--account", "nobody"), "no such account"),
        (("keys", "revoke", "key_00000000000000000000000000000000"), "no such key"),
        (("keys", "revoke", "nonsense"), "no such key"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_1(
    penstock: Callable[..., subprocess.CompletedProcess[str]], arguments: tuple[str, ...], words: str
) -> None:
    refused = penstock(*arguments)

    assert refused.returncode == 1
    assert refused.stdout == ""
    assert re.fullmatch(rf"penstock: [^\n]*{re.escape(words)}[^\n]*\n", refused.stderr)


def test_limits_are_set_shown_and_reset(penstock: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    must(penstock("accounts", "create", "limited"))

    own = must(penstock("accounts", "quota", "limited", "--bytes", "1.5 GiB", "--open-uploads", "none")).stdout
    reset = must(penstock("accounts", "quota", "limited", "--default", "--files", "0")).stdout

    assert re.search(r"^bytes +0 +0 +1610612736 +account$", own, re.MULTILINE)
    assert re.search(r"^files +0 +0 +none +default$", own, re.MULTILINE)
    assert re.search(r"^open uploads +0 +- +none +account$", own, re.MULTILINE)
    assert re.search(r"^bytes +0 +0 +none +default$", reset, re.MULTILINE)
    assert re.search(r"^files +0 +0 +0 +account$", reset, re.MULTILINE)
    assert re.search(r"^open uploads +0 +- +1000 +default$", reset, re.MULTILINE)


@pytest.mark.parametrize("size", ["much", "5 apples", "-1", "99999999999PiB", ""])
def test_what_is_no_size_is_refused(penstock: Callable[..., subprocess.CompletedProcess[str]], size: str) -> None:
    refused = penstock("accounts", "quota", "acme", f"--bytes={size}")

    assert refused.returncode == 2
    assert "is no size" in refused.stderr or "more than can be counted" in refused.stderr


def test_counting_anew_shows_every_account(penstock: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    counted = must(penstock("accounts", "recount")).stdout

    assert re.search(r"^acme +0 +0 +0 +0$", counted, re.MULTILINE)
    assert "corrected" not in counted


def test_what_an_account_paid_for_models_is_listed(penstock: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    must(penstock("accounts", "create", "keeper"))

    listed = must(penstock("accounts", "storage", "keeper")).stdout
    unknown = penstock("accounts", "storage", "nobody")

    assert listed.split() == ["DAY", "STORAGE", "BYTES", "USD"]
    assert unknown.returncode != 0
