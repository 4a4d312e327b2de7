"""The keys of an encrypted store: the operator's master key, the key-encryption keys under it, and what they seal.

`keys.json` in the data directory holds the generations of key-encryption keys (256 bits each), sealed under the master
key, which is never in the data directory. A file's own key stands in its record, and the whole record is sealed under
the newest generation. So a new master key means one small file to write, whatever is stored; and the generations stay
as long as records that they seal.

Sealing is AES-256-GCM under a key of its own for each text: HKDF-Expand (RFC 5869 §2.3) of the sealing key with a
random salt. A GCM key with random nonces would wear out after 2^32 texts; this does not, and needs no counter.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import os
import secrets
import struct
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from penstock.store.cipher import KEY_BYTES, Decryptor, Encryptor
from penstock.store.encryption import EncryptionError
from penstock.store.failpoints import failpoint
from penstock.store.layout import sync_directory
from penstock.store.record import DamagedError, FlippedError
from penstock.store.syncs import sync

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_FORMAT = 1
_SALT_BYTES = 16
_GENERATION = struct.Struct(">I")
_NONCE = bytes(12)
_LABEL = b"penstock sealed text"
_KEY_ID = b"penstock key id"
_KEYS_PLACE = "keys.json"
_NEEDED = "restore it from a backup, because without it no encrypted object can be read"


class MasterKey:
    """What the operator keeps: 256 bits, and a name for them that tells nothing about them."""

    __slots__ = ("id", "key")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.id = hmac.digest(key, _KEY_ID, "sha256").hex()[:16]


class Keyring:
    """Seals and opens short texts, and makes what encrypts data and decrypts it.

    `generations` are key-encryption keys by number; the highest one seals. Safe to use from several threads.
    """

    __slots__ = ("_generations", "current")

    def __init__(self, generations: Mapping[int, bytes]) -> None:
        self._generations = dict(generations)
        self.current = max(generations)

    def seal(self, text: bytes, *, place: str) -> bytes:
        """Encrypt a text for one place: opened as that of another, it is refused."""
        return _GENERATION.pack(self.current) + _seal(self._generations[self.current], text, place)

    def open(self, sealed: bytes, *, place: str) -> bytes:
        """What was sealed. Raises `DamagedError`."""
        if len(sealed) < _GENERATION.size:
            raise DamagedError("the sealed text is too short")
        (generation,) = _GENERATION.unpack_from(sealed)
        if generation not in self._generations:
            raise DamagedError(f"keys.json has no key of generation {generation}")
        return _open(self._generations[generation], sealed[_GENERATION.size :], place)

    def encryptor(self) -> Encryptor:
        """What encrypts the data of a new file."""
        return Encryptor()

    def decryptor(self, cipher: str) -> Decryptor:
        """What decrypts the data of a file whose record says `cipher`."""
        return Decryptor(cipher)

    def with_new_generation(self) -> Keyring:
        """The same keys, and a new one that seals from now on."""
        return Keyring({**self._generations, self.current + 1: secrets.token_bytes(KEY_BYTES)})

    def sealed_under(self, master: MasterKey) -> bytes:
        """The content of `keys.json`."""
        keys = {str(number): _text(key) for number, key in self._generations.items()}
        sealed = _seal(master.key, json.dumps(keys).encode(), _KEYS_PLACE)
        return json.dumps({"format": _FORMAT, "master_key_id": master.id, "keys": _text(sealed)}, indent=1).encode()


def load_master_key(path: Path) -> MasterKey:
    """The key of a 0600 file: 32 bytes as 64 hexadecimal digits, or in base64. Raises `EncryptionError`."""
    try:
        if path.stat().st_mode & 0o077:
            raise EncryptionError(f"{path} must be readable by its owner only (chmod 600)")
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise EncryptionError(f"the encryption key file {path} cannot be read: {reason}") from None
    try:
        key = bytes.fromhex(text) if len(text) == 2 * KEY_BYTES else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise EncryptionError(f"{path} must hold a key of 32 bytes, as 64 hexadecimal digits or in base64")
    return MasterKey(key)


def load_keyring(path: Path, master: MasterKey) -> Keyring:
    """The keys of `keys.json`, which is durable by then.

    Raises `OSError` when it cannot be read, and `EncryptionError` for another master key or a damaged file.
    """
    try:
        content = json.loads(path.read_bytes())
        known_format, key_id = content["format"] == _FORMAT, content["master_key_id"]
        sealed = base64.b64decode(content["keys"], validate=True)
    except (ValueError, KeyError, TypeError):
        raise EncryptionError(f"{path} is damaged: {_NEEDED}") from None
    if not known_format:
        raise EncryptionError(f"{path} was written by a newer version")
    if key_id != master.id:
        raise EncryptionError(f"{path} is sealed under the key {key_id}; the encryption key file holds {master.id}")
    try:
        keys = json.loads(_open(master.key, sealed, _KEYS_PLACE))
    except DamagedError:
        raise EncryptionError(f"{path} is damaged: {_NEEDED}") from None
    # A rotation may have died between its rename and its fsync: no record may be younger than the key that seals it.
    sync_directory(str(path.parent))
    return Keyring({int(number): base64.b64decode(key) for number, key in keys.items()})


def create_keyring(path: Path, master: MasterKey) -> Keyring:
    """A keyring of one generation, durably in a `keys.json` that must not exist. Raises `OSError`."""
    keyring = Keyring({1: secrets.token_bytes(KEY_BYTES)})
    _write(path, keyring.sealed_under(master))
    return keyring


def rotate(path: Path, *, old: MasterKey, new: MasterKey) -> tuple[Keyring, bool]:
    """Seal `keys.json` under `new` and begin a new generation. Returns the keyring, and whether anything was to do.

    One atomic, durable replacement: a process that dies leaves the old file or the new one. Done again after that, with
    the same two keys, it finds the work done and only makes sure that it is durable. No store may run. Raises as
    `load_keyring` does, and `OSError`.
    """
    try:
        keyring = load_keyring(path, old)
    except EncryptionError as refused:
        try:
            keyring = load_keyring(path, new)
        except EncryptionError:
            raise refused from None
        return keyring, False
    keyring = keyring.with_new_generation()
    _write(path, keyring.sealed_under(new))
    return keyring, True


def draft_of(path: Path) -> str:
    """Where a `keys.json` is written before it takes its place."""
    return str(path.with_name(path.name + ".new"))


def _write(path: Path, content: bytes) -> None:
    draft = draft_of(path)
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, content)
        failpoint("keys.written")
        sync(fd, "file")
    finally:
        os.close(fd)
    failpoint("keys.synced")
    os.replace(draft, path)  # noqa: PTH105 - the draft is a string, as all of the store's paths
    failpoint("keys.renamed")
    sync_directory(str(path.parent))


def _seal(key: bytes, text: bytes, place: str) -> bytes:
    salt = secrets.token_bytes(_SALT_BYTES)
    return salt + AESGCM(_derived(key, salt)).encrypt(_NONCE, text, place.encode())


def _open(key: bytes, sealed: bytes, place: str) -> bytes:
    salt, text = sealed[:_SALT_BYTES], sealed[_SALT_BYTES:]
    try:
        return AESGCM(_derived(key, salt)).decrypt(_NONCE, text, place.encode())
    except InvalidTag:
        raise FlippedError("the sealed text is not what was written, or was written elsewhere") from None


def _derived(key: bytes, salt: bytes) -> bytes:
    return hmac.digest(key, _LABEL + salt + b"\x01", "sha256")


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
