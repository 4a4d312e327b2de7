"""The commands about the keys of the embedded store, on the directory of a store that has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.store.support import new_key_file, store_in_thread
from tests.support.server import clean_environment, must, run_penstock

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory whose store has one encrypted object; `old.key` opens it, `new.key` does not yet."""
    data = tmp_path / "data"
    data.mkdir()
    new_key_file(tmp_path / "new.key")
    with store_in_thread(data / "objects", encryption_key_file=new_key_file(tmp_path / "old.key")) as store:
        assert store.put("key", b"content").status == 200
    return data


def test_a_new_key_is_a_file_of_its_owner_and_overwrites_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.key"

    must(run_penstock("encryption", "create-key", str(path)))
    again = run_penstock("encryption", "create-key", str(path))

    assert path.stat().st_mode & 0o777 == 0o600
    assert len(bytes.fromhex(path.read_text())) == 32
    assert (again.returncode, "File exists" in again.stderr) == (1, True)


def test_a_key_that_was_created_encrypts_a_store(tmp_path: Path) -> None:
    path = tmp_path / "store.key"
    must(run_penstock("encryption", "create-key", str(path)))

    with store_in_thread(tmp_path / "objects", encryption_key_file=path) as store:
        assert store.put("key", b"content").status == 200
        assert store.get("key").body == b"content"


def test_a_rotation_puts_the_new_key_in_charge_and_can_be_repeated(data: Path, tmp_path: Path) -> None:
    old, new = str(tmp_path / "old.key"), str(tmp_path / "new.key")

    first = must(run_penstock("encryption", "rotate", old, new, "--data", str(data)))
    second = must(run_penstock("encryption", "rotate", old, new, "--data", str(data)))

    assert first.stdout == f"{new} now opens the store; its newest keys are generation 2\n"
    assert (
        second.stdout
        == f"{new} had been put in charge already, and opens the store; its newest keys are generation 2\n"
    )
    with store_in_thread(data / "objects", encryption_key_file=tmp_path / "new.key") as store:
        assert store.get("key").body == b"content"


def test_a_rotation_with_a_wrong_key_says_so(data: Path, tmp_path: Path) -> None:
    wrong, new = new_key_file(tmp_path / "wrong.key"), tmp_path / "new.key"

    refused = run_penstock("encryption", "rotate", str(wrong), str(new), "--data", str(data))

    assert refused.returncode == 1
    assert "is sealed under the key" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_keys_are_not_rotated_while_a_store_uses_them(tmp_path: Path) -> None:
    old, new = new_key_file(tmp_path / "old.key"), new_key_file(tmp_path / "new.key")
    with store_in_thread(tmp_path / "objects", encryption_key_file=old):
        refused = run_penstock("encryption", "rotate", str(old), str(new), "--data", str(tmp_path))

    assert refused.returncode == 1
    assert "stop it first" in refused.stderr


def test_fsck_takes_the_key_as_an_option_or_says_what_it_could_not_check(data: Path, tmp_path: Path) -> None:
    arguments = ("fsck", "--data", str(data))

    keyless = run_penstock(*arguments)
    whole = run_penstock(*arguments, "--encryption-key-file", str(tmp_path / "old.key"))

    assert keyless.returncode == 1
    assert keyless.stdout.startswith("unchecked  keys.json  no key file was named: 1 encrypted files were not compared")
    assert (whole.returncode, whole.stdout) == (0, "1 objects (1 encrypted), 0.000 GB read, 0 findings\n")


def test_a_server_without_the_key_of_its_store_does_not_start(data: Path) -> None:
    started = run_penstock("serve", "--only", "store", "--data", str(data), "--store-port", "0")

    assert started.returncode == 1
    assert "is encrypted: name its encryption key file" in started.stderr
    assert started.stderr.count("\n") == 1


def test_a_server_with_the_wrong_key_of_its_store_does_not_start(data: Path, tmp_path: Path) -> None:
    environment = clean_environment(PENSTOCK_STORE_ENCRYPTION_KEY_FILE=str(tmp_path / "new.key"))

    started = run_penstock(
        "serve", "--only", "store", "--data", str(data), "--store-port", "0", environment=environment
    )

    assert started.returncode == 1
    assert "is sealed under the key" in started.stderr
