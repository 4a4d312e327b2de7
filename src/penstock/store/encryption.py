"""Whether a data directory is encrypted, and with which keys: decided once, at start.

A store without encryption imports no more of it than this module.
"""

from __future__ import annotations

import os
import secrets
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.store.layout import SHARDS, Layout, opened, remove, sync_directory
from penstock.store.record import DamagedError, is_sealed
from penstock.store.syncs import sync

if TYPE_CHECKING:
    from penstock.store.keyring import Keyring


class EncryptionError(Exception):
    """The store cannot use its keys, or has none. The text is for the operator, and holds no key."""


def open_keyring(directory: Path, key_file: Path | None) -> Keyring | None:
    """The keys of a data directory, made at the first start with a key file; None when it is not encrypted.

    No other process may use the directory meanwhile. Raises `EncryptionError`, and `OSError`.
    """
    keys = Layout(directory).keys
    if key_file is None:
        if keys.exists():
            raise EncryptionError(f"{directory} is encrypted: name its encryption key file to open it")
        return None
    _require_library()
    from penstock.store import keyring  # noqa: PLC0415 - only an encrypted store pays for a cryptographic library

    master = keyring.load_master_key(key_file)
    if keys.exists():
        loaded = keyring.load_keyring(keys, master)
        remove(keyring.draft_of(keys))  # of a rotation that died
        return loaded
    # New keys beside objects of lost ones would let the loss pass unnoticed until somebody reads.
    if (sealed := _first_sealed(directory)) is not None:
        raise EncryptionError(f"{keys} is missing, and {sealed} is encrypted: restore it from a backup")
    return keyring.create_keyring(keys, master)


def create_key_file(path: Path) -> None:
    """Write a new master key to a file that must not exist, durably. Raises `OSError`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, secrets.token_hex(32).encode() + b"\n")
        sync(descriptor, "file")
    finally:
        os.close(descriptor)
    sync_directory(str(path.parent))


def read_keyring(directory: Path, key_file: Path | None) -> Keyring | None:
    """The keys of a data directory, without making any; None without a key file, or where nothing is encrypted.

    Raises `EncryptionError`, and `OSError`.
    """
    keys = Layout(directory).keys
    if key_file is None or not keys.exists():
        return None
    _require_library()
    from penstock.store import keyring  # noqa: PLC0415 - as above

    return keyring.load_keyring(keys, keyring.load_master_key(key_file))


def rotate_keys(directory: Path, *, old: Path, new: Path) -> tuple[int, bool]:
    """Seal the keys of a data directory under another master key; no object is touched. Both are key files.

    Returns the newest generation of keys, and False when the new master key was in use before. No other process may
    use the directory meanwhile. Raises `EncryptionError`, and `OSError`.
    """
    _require_library()
    from penstock.store import keyring  # noqa: PLC0415 - as above

    keys = Layout(directory).keys
    if not keys.exists():
        raise EncryptionError(f"{directory} is not encrypted")
    rotated, done = keyring.rotate(keys, old=keyring.load_master_key(old), new=keyring.load_master_key(new))
    return rotated.current, done


def _require_library() -> None:
    if find_spec("cryptography") is None:
        raise EncryptionError("encryption needs the package cryptography: install penstock[encryption]")


def _first_sealed(directory: Path) -> Path | None:
    objects = Path(Layout(directory).objects)
    for shard in SHARDS:
        try:
            entries = [entry.path for entry in os.scandir(objects / shard) if "." not in entry.name]
        except FileNotFoundError:
            continue
        for path in entries:
            try:
                with opened(path) as fd:
                    if is_sealed(fd):
                        return Path(path)
            except (DamagedError, OSError):
                continue  # not today's question
    return None
