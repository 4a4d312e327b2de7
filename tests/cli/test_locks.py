from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from penstock.cli.locks import InUseError, take_lock

if TYPE_CHECKING:
    from pathlib import Path


def test_a_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    held = take_lock(tmp_path, "api")

    with pytest.raises(InUseError, match=f"already in use by pid {os.getpid()}") as caught:
        take_lock(tmp_path, "api")

    assert not caught.value.supervised
    os.close(held)


def test_a_supervised_holder_is_known_as_one(tmp_path: Path) -> None:
    held = take_lock(tmp_path, "api", supervised=True)

    with pytest.raises(InUseError) as caught:
        take_lock(tmp_path, "api")

    assert caught.value.supervised
    os.close(held)


def test_roles_do_not_stand_in_each_others_way(tmp_path: Path) -> None:
    os.close(take_lock(tmp_path, "api"))
    held = [take_lock(tmp_path, role) for role in ("api", "store", "worker")]

    assert sorted(path.name for path in tmp_path.iterdir()) == ["api.lock", "store.lock", "worker.lock"]
    for descriptor in held:
        os.close(descriptor)


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    script = (
        f"from pathlib import Path; from penstock.cli.locks import take_lock; take_lock(Path({str(tmp_path)!r}), 'api')"
    )
    subprocess.run([sys.executable, "-c", script], check=True)

    os.close(take_lock(tmp_path, "api"))


def test_a_new_data_directory_is_its_owners_alone(tmp_path: Path) -> None:
    data = tmp_path / "deep" / "data"

    os.close(take_lock(data, "api"))

    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert stat.S_IMODE((data / "api.lock").stat().st_mode) == 0o600


def test_a_damaged_lock_file_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "api.lock").write_bytes(b"\xff\xfenonsense")

    os.close(take_lock(tmp_path, "api"))

    assert (tmp_path / "api.lock").read_text() == f"{os.getpid()} alone\n"
