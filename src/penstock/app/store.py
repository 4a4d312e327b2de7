"""The embedded object store, served and looked after."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from penstock.adapters.system import SystemClock
from penstock.app.parts import credentials_file, objects_directory
from penstock.domain.errors import ObjectStoreUnavailable
from penstock.store.config import StoreConfig, limits_of, load_or_create_credentials
from penstock.telemetry import Log

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from penstock.settings import Settings
    from penstock.store.fsck import Check


def serve_store(settings: Settings, *, ready: Callable[[], None], stop: threading.Event) -> None:
    """Serve the embedded object store until `stop` is set. Blocks; raises what starting it raises."""
    from penstock.store.encryption import EncryptionError
    from penstock.store.server import serve

    config = StoreConfig(
        directory=objects_directory(settings),
        credentials=load_or_create_credentials(credentials_file(settings)),
        host=settings.host,
        port=settings.store_port,
        region=settings.store_region,
        buckets=(settings.store_bucket,),
        cors_origins=settings.store_cors_origins,
        limits=limits_of(
            object_bytes=settings.store_max_object_bytes,
            multipart_bytes=settings.store_max_multipart_bytes,
            least_rate=settings.store_min_rate,
            connections=settings.store_connections,
            reserve_bytes=settings.store_reserve_bytes,
        ),
        encryption_key_file=settings.store_encryption_key_file,
        processes=settings.store_processes,
        metrics_host=settings.store_metrics_host,
        metrics_port=settings.store_metrics_port,
    )
    clock = SystemClock()
    try:
        serve(config, ready=lambda _port: ready(), stop=stop, log=Log("store"), now=lambda: clock.now().timestamp())
    except EncryptionError as error:
        raise ObjectStoreUnavailable(str(error)) from error


@contextmanager
def check_store(settings: Settings, *, progress: Callable[[float], None]) -> Iterator[tuple[Check, Callable[[], int]]]:
    """A check of the embedded store's files, and what rebuilds its index; the store cannot run meanwhile.

    Raises `ObjectStoreUnavailable` while it runs, and `OSError` when the data directory holds no store.
    """
    from penstock.store.encryption import EncryptionError, read_keyring
    from penstock.store.fsck import Check, InUseError, exclusive, rebuild_index

    directory = objects_directory(settings)
    try:
        with exclusive(directory):
            keyring = read_keyring(directory, settings.store_encryption_key_file)
            check = Check(directory, progress=progress, keyring=keyring)
            yield check, lambda: rebuild_index(directory, keyring)
    except (InUseError, EncryptionError) as error:
        raise ObjectStoreUnavailable(str(error)) from error


def rotate_store_keys(settings: Settings, *, old: Path, new: Path) -> tuple[int, bool]:
    """Seal the embedded store's keys under the key of another file; the store cannot run meanwhile.

    Returns the newest generation of keys, and False when that was done before. Raises `ObjectStoreUnavailable`.
    """
    from penstock.store.encryption import EncryptionError, rotate_keys
    from penstock.store.fsck import InUseError, exclusive

    directory = objects_directory(settings)
    try:
        with exclusive(directory):
            return rotate_keys(directory, old=old, new=new)
    except (InUseError, EncryptionError) as error:
        raise ObjectStoreUnavailable(str(error)) from error


def create_store_key(path: Path) -> None:
    """A new key for the embedded store's encryption, in a file that must not exist. Raises `OSError`."""
    from penstock.store.encryption import create_key_file

    create_key_file(path)
