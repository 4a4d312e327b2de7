from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from penstock.store.encryption import EncryptionError, read_keyring
from penstock.store.fsck import Check, InUseError, Kind, exclusive, rebuild_index
from penstock.store.layout import Layout, entry_name
from tests.store.support import BUCKET, Store, new_key_file, store_in_thread
from tests.support.server import clean_environment, run_penstock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from penstock.store.keyring import Keyring

LARGE = os.urandom(3_000_000)
KEYS = ("copy", "empty", "large", "small")
KEY_FILE = "master.key"


@pytest.fixture(params=["plain", "encrypted"])
def directory(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The data directory of a store that has ended, with four objects; `copy` is linked to the data of `large`."""
    place = tmp_path / "objects"
    key_file = new_key_file(tmp_path / KEY_FILE) if request.param == "encrypted" else None
    with store_in_thread(place, encryption_key_file=key_file) as store:
        for key, content in {"large": LARGE, "small": b"small", "empty": b""}.items():
            assert store.put(key, content).status == 200
        copied = {"x-amz-copy-source": f"/{BUCKET}/large", "content-length": "0"}
        assert store.call("PUT", "copy", headers=copied).status == 200
    return place


def entry(directory: Path, key: str) -> Path:
    return directory.joinpath(Layout(directory).entry(entry_name(BUCKET, key)))


def linked(directory: Path, key: str) -> Path:
    (found,) = entry(directory, key).parent.glob(f"{entry_name(BUCKET, key)}.*")
    return found


def check(directory: Path) -> list[tuple[Kind, str]]:
    """What a check finds: kinds, and paths in the data directory."""
    with exclusive(directory):
        found = Check(directory, progress=lambda _share: None, keyring=keyring(directory)).findings()
        return [(finding.kind, finding.path) for finding in found]


def keyring(directory: Path) -> Keyring | None:
    """The keys of the directory, if it is encrypted."""
    key_file = directory.parent / KEY_FILE
    return read_keyring(directory, key_file if key_file.exists() else None)


def environment_of(directory: Path) -> dict[str, str]:
    """For commands: with the key file, if there is one."""
    key_file = directory.parent / KEY_FILE
    named = {"PENSTOCK_STORE_ENCRYPTION_KEY_FILE": str(key_file)} if key_file.exists() else {}
    return dict(clean_environment(**named))


def within(directory: Path, path: Path) -> str:
    return str(path.relative_to(directory))


def contents(directory: Path) -> dict[str, bytes]:
    return {within(directory, path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def flip(path: Path, position: int) -> None:
    """Change one bit, and leave the times of the file as they were: what a disk does."""
    times = path.stat()
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def truncate(path: Path, size: int) -> None:
    times = path.stat()
    os.truncate(path, size)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_sound_store_has_no_findings_and_every_byte_is_read(directory: Path) -> None:
    shares: list[float] = []
    whole = Check(directory, progress=shares.append, keyring=keyring(directory))

    assert list(whole.findings()) == []
    assert (whole.objects, whole.bytes) == (len(KEYS), 2 * len(LARGE) + len(b"small"))
    assert shares[-1] == 1.0
    assert shares == sorted(shares)


def test_a_check_changes_nothing(directory: Path) -> None:
    flip(entry(directory, "small"), 0)
    (directory / "tmp" / "left").write_bytes(b"half")
    before = contents(directory)

    assert len(check(directory)) == 2
    assert contents(directory) == before


@pytest.mark.parametrize("position", [0, 1_500_000, len(LARGE) - 1])
def test_a_flipped_bit_of_the_data_is_found(directory: Path, position: int) -> None:
    copied = linked(directory, "copy")
    detached = copied.read_bytes()
    copied.unlink()
    copied.write_bytes(detached)
    flip(entry(directory, "large"), position)

    assert check(directory) == [(Kind.FLIPPED, within(directory, entry(directory, "large")))]


def test_a_flipped_bit_of_shared_data_is_found_at_every_key_that_has_it(directory: Path) -> None:
    flip(linked(directory, "copy"), 17)

    assert {kind for kind, _ in check(directory)} == {Kind.FLIPPED}
    assert {path for _, path in check(directory)} == {
        within(directory, entry(directory, key)) for key in ("copy", "large")
    }


def test_a_flipped_bit_of_a_record_is_found(directory: Path) -> None:
    flip(entry(directory, "small"), len(b"small") + 3)

    assert check(directory) == [(Kind.FLIPPED, within(directory, entry(directory, "small")))]


@pytest.mark.parametrize("size", [0, 3, 100])
def test_a_truncated_object_is_found(directory: Path, size: int) -> None:
    truncate(entry(directory, "small"), size)

    assert check(directory) == [(Kind.TRUNCATED, within(directory, entry(directory, "small")))]


def test_truncated_data_of_a_copy_is_found(directory: Path) -> None:
    copied = linked(directory, "copy")
    content = copied.read_bytes()
    copied.unlink()
    copied.write_bytes(content[: len(LARGE) - 1])

    assert check(directory) == [(Kind.TRUNCATED, within(directory, entry(directory, "copy")))]


def test_an_object_whose_file_is_gone_is_found(directory: Path) -> None:
    entry(directory, "small").unlink()

    assert check(directory) == [(Kind.MISSING, within(directory, entry(directory, "small")))]


def test_missing_data_of_a_copy_is_found(directory: Path) -> None:
    linked(directory, "copy").unlink()

    assert check(directory) == [(Kind.MISSING, within(directory, entry(directory, "copy")))]


def _unknown_name(directory: Path) -> Path:
    return directory / "objects" / "ab" / "notes.txt"


def _unknown_shard(directory: Path) -> Path:
    return directory / "objects" / "zz"


def _unnamed_data(directory: Path) -> Path:
    return entry(directory, "small").with_name(f"{entry_name(BUCKET, 'small')}.0123456789abcdef")


def _orphaned_data(directory: Path) -> Path:
    return entry(directory, "nobody").with_name(f"{entry_name(BUCKET, 'nobody')}.0123456789abcdef")


@pytest.mark.parametrize("place", [_unknown_name, _unknown_shard, _unnamed_data, _orphaned_data])
def test_a_file_that_belongs_to_nothing_is_found(directory: Path, place: Callable[[Path], Path]) -> None:
    place(directory).write_bytes(b"whose?")

    assert check(directory) == [(Kind.STRAY, within(directory, place(directory)))]


def test_an_object_under_another_keys_name_is_found(directory: Path) -> None:
    other = entry(directory, "other")
    other.write_bytes(entry(directory, "small").read_bytes())

    # Of an encrypted record nobody can say more than that it was not written for this place.
    wrong = Kind.FLIPPED if keyring(directory) else Kind.STRAY
    assert (wrong, within(directory, other)) in check(directory)


def test_objects_of_a_bucket_that_is_gone_are_found(directory: Path) -> None:
    (directory / "buckets" / BUCKET).unlink()

    assert [kind for kind, _ in check(directory)] == [Kind.STRAY] * len(KEYS)


def test_a_temporary_file_is_found(directory: Path) -> None:
    (directory / "tmp" / "left").write_bytes(b"half")

    assert check(directory) == [(Kind.TEMPORARY, "tmp/left")]


def _forget(directory: Path) -> None:
    with closing(sqlite3.connect(directory / "index.sqlite3")) as db, db:
        db.execute("DELETE FROM entry WHERE key = 'small'")


def _outdate(directory: Path) -> None:
    with closing(sqlite3.connect(directory / "index.sqlite3")) as db, db:
        db.execute("UPDATE entry SET mtime_ns = mtime_ns - 1 WHERE key = 'small'")


@pytest.mark.parametrize("damage", [_forget, _outdate])
def test_an_index_that_differs_is_found_and_rebuilt_when_asked(directory: Path, damage: Callable[[Path], None]) -> None:
    damage(directory)

    assert check(directory) == [(Kind.INDEX, within(directory, entry(directory, "small")))]
    assert rebuild_index(directory, keyring(directory)) == len(KEYS)
    assert check(directory) == []


@pytest.mark.parametrize("content", [b"", b"no database" * 1000])
def test_an_index_that_cannot_be_read_is_one_finding(directory: Path, content: bytes) -> None:
    (directory / "index.sqlite3").write_bytes(content)

    assert check(directory) == [(Kind.INDEX, "index.sqlite3")]
    assert (directory / "index.sqlite3").read_bytes() == content
    assert rebuild_index(directory, keyring(directory)) == len(KEYS)
    assert check(directory) == []


def test_a_store_that_serves_is_not_checked(store: Store) -> None:
    with pytest.raises(InUseError), exclusive(store.directory):
        pass


def test_a_directory_that_is_no_stores_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), exclusive(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_command_names_what_is_wrong_and_exits_with_status_1(directory: Path) -> None:
    arguments, environment = ("fsck", "--data", str(directory.parent)), environment_of(directory)
    sound = run_penstock(*arguments, environment=environment)
    flip(entry(directory, "small"), 0)
    damaged = run_penstock(*arguments, environment=environment)

    encrypted = " (4 encrypted)" if keyring(directory) else ""
    assert (sound.returncode, sound.stdout) == (0, f"4 objects{encrypted}, 0.006 GB read, 0 findings\n")
    assert damaged.returncode == 1
    assert damaged.stdout.startswith(f"flipped  {within(directory, entry(directory, 'small'))}  ")
    assert f"{BUCKET}/small\n" in damaged.stdout


def test_the_command_rebuilds_the_index_when_told(directory: Path) -> None:
    _forget(directory)
    arguments, environment = ("fsck", "--data", str(directory.parent)), environment_of(directory)

    assert run_penstock(*arguments, environment=environment).returncode == 1
    assert run_penstock(*arguments, "--repair-index", environment=environment).returncode == 0
    assert run_penstock(*arguments, environment=environment).returncode == 0


def test_the_command_does_not_check_a_server_that_runs(tmp_path: Path) -> None:
    with store_in_thread(tmp_path / "objects"):
        answer = run_penstock("fsck", "--data", str(tmp_path), environment=clean_environment())

    assert answer.returncode == 1
    assert "stop it first" in answer.stderr


@pytest.fixture
def encrypted(tmp_path: Path) -> Path:
    """The data directory of an encrypted store with an object, a copy of it, and an open upload of one part."""
    place = tmp_path / "objects"
    with store_in_thread(place, encryption_key_file=new_key_file(tmp_path / KEY_FILE)) as store:
        store.put("large", LARGE)
        store.call("PUT", "copy", headers={"x-amz-copy-source": f"/{BUCKET}/large", "content-length": "0"})
        begun = store.call("POST", "parts", query={"uploads": ""}).body
        upload = begun.partition(b"<UploadId>")[2].partition(b"</UploadId>")[0].decode()
        assert store.call("PUT", "parts", query={"partNumber": "1", "uploadId": upload}, body=LARGE).status == 200
    return place


def test_without_the_key_of_an_encrypted_store_one_finding_says_what_was_not_checked(encrypted: Path) -> None:
    without = Check(encrypted, progress=lambda _share: None)

    (finding,) = without.findings()

    assert (finding.kind, finding.path) == (Kind.UNCHECKED, "keys.json")
    assert "3 encrypted files" in finding.detail
    assert (without.objects, without.encrypted, without.bytes) == (2, 2, 0)


def test_what_needs_no_key_is_found_without_it(encrypted: Path) -> None:
    truncate(entry(encrypted, "large"), 1_000_000)

    without = [finding.kind for finding in Check(encrypted, progress=lambda _share: None).findings()]

    assert sorted(without) == [Kind.TRUNCATED, Kind.UNCHECKED]


def test_lost_keys_are_missing(encrypted: Path) -> None:
    (encrypted / "keys.json").unlink()

    assert check(encrypted) == [(Kind.MISSING, "keys.json")]


def test_a_flipped_part_of_an_encrypted_store_is_found(encrypted: Path) -> None:
    assert check(encrypted) == []
    (part,) = encrypted.rglob("00001")
    flip(part, 70_000)

    assert check(encrypted) == [(Kind.FLIPPED, within(encrypted, part))]


def test_the_index_of_an_encrypted_store_is_not_rebuilt_without_its_keys(encrypted: Path) -> None:
    before = (encrypted / "index.sqlite3").read_bytes()

    with pytest.raises(EncryptionError):
        rebuild_index(encrypted)

    assert (encrypted / "index.sqlite3").read_bytes() == before


def test_plain_and_encrypted_objects_are_counted_apart(encrypted: Path) -> None:
    plain = encrypted.parent / "plain"
    with store_in_thread(plain) as store:
        store.put("old", b"plain")
    name = entry(plain, "old").relative_to(plain)
    (encrypted / name).write_bytes((plain / name).read_bytes())
    whole = Check(encrypted, progress=lambda _share: None, keyring=keyring(encrypted))

    found = list(whole.findings())

    assert [finding.kind for finding in found] == [Kind.INDEX]
    assert (whole.objects, whole.encrypted) == (3, 2)
