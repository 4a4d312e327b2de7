from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from penstock.store.encryption import EncryptionError
from penstock.store.keyring import (
    Keyring,
    MasterKey,
    create_keyring,
    load_keyring,
    load_master_key,
    rotate,
)
from penstock.store.record import DamagedError
from tests.support.server import clean_environment

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW, OTHER = (MasterKey(bytes([number]) * 32) for number in (1, 2, 3))
TEXT = b"a record, as it were"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def key_file(directory: Path, text: str, *, mode: int = 0o600) -> Path:
    path = directory / "master.key"
    path.touch(mode=mode)
    path.chmod(mode)
    path.write_text(text)
    return path


@pytest.mark.parametrize("text", ["07" * 32, "07" * 32 + "\n", base64.b64encode(b"\x07" * 32).decode() + "\n"])
def test_a_key_file_holds_32_bytes_in_hexadecimal_or_base64(tmp_path: Path, text: str) -> None:
    assert load_master_key(key_file(tmp_path, text)).key == b"\x07" * 32


@pytest.mark.parametrize("text", ["", "07" * 31, "07" * 33, "not a key", "zz" * 32, "\x07" * 32])
def test_a_key_file_with_anything_else_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(EncryptionError, match="32 bytes"):
        load_master_key(key_file(tmp_path, text))


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EncryptionError, match="chmod 600"):
        load_master_key(key_file(tmp_path, "07" * 32, mode=0o640))


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EncryptionError, match=r"missing\.key cannot be read: No such file"):
        load_master_key(tmp_path / "missing.key")


def test_a_sealed_text_opens_in_its_place_and_nowhere_else() -> None:
    keyring = Keyring({1: b"k" * 32})
    sealed = keyring.seal(TEXT, place="here")

    assert keyring.open(sealed, place="here") == TEXT
    assert TEXT not in sealed
    with pytest.raises(DamagedError):
        keyring.open(sealed, place="there")


def test_every_byte_of_a_sealed_text_matters() -> None:
    keyring = Keyring({1: b"k" * 32})
    sealed = keyring.seal(TEXT, place="here")

    for place in range(len(sealed)):
        flipped = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(DamagedError):
            keyring.open(flipped, place="here")
        with pytest.raises(DamagedError):
            keyring.open(sealed[:place], place="here")


def test_the_same_text_is_sealed_differently_each_time() -> None:
    keyring = Keyring({1: b"k" * 32})

    assert keyring.seal(TEXT, place="here") != keyring.seal(TEXT, place="here")


def test_a_keyring_is_read_back_with_its_master_key(keys: Path) -> None:
    sealed = create_keyring(keys, OLD).seal(TEXT, place="here")

    assert load_keyring(keys, OLD).open(sealed, place="here") == TEXT
    assert keys.stat().st_mode & 0o777 == 0o600


def test_another_master_key_is_refused_by_name(keys: Path) -> None:
    create_keyring(keys, OLD)

    with pytest.raises(
        EncryptionError, match=f"sealed under the key {OLD.id}; the encryption key file holds {OTHER.id}"
    ):
        load_keyring(keys, OTHER)


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"format": 1, "master_key_id": "x", "keys": "?"}'])
def test_a_damaged_keyring_is_refused(keys: Path, damage: str) -> None:
    keys.write_text(damage)

    with pytest.raises(EncryptionError, match="damaged"):
        load_keyring(keys, OLD)


def test_a_flipped_bit_in_the_keys_is_refused(keys: Path) -> None:
    create_keyring(keys, OLD)
    content = json.loads(keys.read_text())
    sealed = bytearray(base64.b64decode(content["keys"]))
    sealed[20] ^= 1
    keys.write_text(json.dumps({**content, "keys": base64.b64encode(sealed).decode()}))

    with pytest.raises(EncryptionError, match="damaged"):
        load_keyring(keys, OLD)


def test_a_keyring_of_a_newer_version_is_refused(keys: Path) -> None:
    create_keyring(keys, OLD)
    keys.write_text(json.dumps({**json.loads(keys.read_text()), "format": 2}))

    with pytest.raises(EncryptionError, match="newer version"):
        load_keyring(keys, OLD)


def test_after_a_rotation_old_texts_open_and_new_ones_have_a_new_generation(keys: Path) -> None:
    before = create_keyring(keys, OLD).seal(TEXT, place="here")

    rotated, done = rotate(keys, old=OLD, new=NEW)

    after = load_keyring(keys, NEW)
    assert done
    assert after.current == rotated.current == 2
    assert after.open(before, place="here") == TEXT
    assert after.open(rotated.seal(TEXT, place="here"), place="here") == TEXT
    with pytest.raises(EncryptionError):
        load_keyring(keys, OLD)


def test_a_text_of_a_generation_that_is_not_there_is_refused(keys: Path) -> None:
    old = create_keyring(keys, OLD)
    rotated, _ = rotate(keys, old=OLD, new=NEW)

    with pytest.raises(DamagedError, match="generation 2"):
        old.open(rotated.seal(TEXT, place="here"), place="here")


def test_a_rotation_done_again_changes_nothing(keys: Path) -> None:
    create_keyring(keys, OLD)
    rotate(keys, old=OLD, new=NEW)
    content = keys.read_bytes()

    rotated, done = rotate(keys, old=OLD, new=NEW)

    assert (rotated.current, done) == (2, False)
    assert keys.read_bytes() == content


def test_a_rotation_with_two_wrong_keys_names_the_old_one(keys: Path) -> None:
    create_keyring(keys, OLD)

    with pytest.raises(EncryptionError, match=f"holds {OTHER.id}"):
        rotate(keys, old=OTHER, new=NEW)


@pytest.mark.parametrize(
    ("failpoint", "opens_with"),
    [("keys.written", OLD), ("keys.synced", OLD), ("keys.renamed", NEW)],
)
def test_a_rotation_that_dies_leaves_a_whole_keyring_and_is_done_by_repeating_it(
    keys: Path, failpoint: str, opens_with: MasterKey
) -> None:
    before = create_keyring(keys, OLD).seal(TEXT, place="here")
    script = (
        "import sys; from pathlib import Path; from penstock.store.keyring import MasterKey, rotate;"
        "rotate(Path(sys.argv[1]), old=MasterKey(bytes([1]) * 32), new=MasterKey(bytes([2]) * 32))"
    )

    died = subprocess.run(
        [sys.executable, "-c", script, str(keys)],
        env=clean_environment(PENSTOCK_STORE_FAILPOINT=failpoint),
        check=False,
    )

    assert died.returncode == 9
    assert load_keyring(keys, opens_with).open(before, place="here") == TEXT
    rotated, _ = rotate(keys, old=OLD, new=NEW)
    assert rotated.current == 2
    assert load_keyring(keys, NEW).open(before, place="here") == TEXT


def test_no_key_is_in_the_file_of_keys_or_in_what_is_shown_of_a_keyring(keys: Path) -> None:
    keyring = create_keyring(keys, OLD)
    shown = keys.read_text() + repr(keyring) + repr(OLD)

    assert base64.b64encode(OLD.key).decode() not in shown
    assert OLD.key.hex() not in shown
    assert repr(OLD.key) not in shown
