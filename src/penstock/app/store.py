"""The embedded object store, served and looked after."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.adapters.system import SystemClock
from penstock.app.parts import credentials_file, objects_directory
from penstock.domain.errors import ObjectStoreUnavailable
from penstock.store.config import StoreConfig, limits_of, load_or_create_credentials
from penstock.telemetry import Log

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from penstock.settings import Settings
    from penstock.store.fsck import Check


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePlan:
    """What the store's process must know of the settings, in words that JSON has; no secrets."""

    directory: str
    credentials: str
    host: str
    port: int
    region: str
    bucket: str
    cors_origins: Sequence[str]
    object_bytes: int
    multipart_bytes: int
    least_rate: int
    connections: int
    reserve_bytes: int
    encryption_key_file: str | None
    processes: int
    metrics_host: str
    metrics_port: int | None


def plan_store(settings: Settings) -> StorePlan:
    """How the settings want the embedded store to be served."""
    key_file = settings.store_encryption_key_file
    return StorePlan(
        directory=str(objects_directory(settings)),
        credentials=str(credentials_file(settings)),
        host=settings.host,
        port=settings.store_port,
        region=settings.store_region,
        bucket=settings.store_bucket,
        cors_origins=settings.store_cors_origins,
        object_bytes=settings.store_max_object_bytes,
        multipart_bytes=settings.store_max_multipart_bytes,
        least_rate=settings.store_min_rate,
        connections=settings.store_connections,
        reserve_bytes=settings.store_reserve_bytes,
        encryption_key_file=str(key_file) if key_file is not None else None,
        processes=settings.store_processes,
        metrics_host=settings.store_metrics_host,
        metrics_port=settings.store_metrics_port,
    )


def serve_store(plan: StorePlan, *, ready: Callable[[], None], stop: threading.Event) -> None:
    """Serve the embedded object store until `stop` is set. Blocks; raises what starting it raises."""
    from penstock.store.encryption import EncryptionError
    from penstock.store.server import serve

    config = StoreConfig(
        directory=Path(plan.directory),
        credentials=load_or_create_credentials(Path(plan.credentials)),
        host=plan.host,
        port=plan.port,
        region=plan.region,
        buckets=(plan.bucket,),
        cors_origins=tuple(plan.cors_origins),
        limits=limits_of(
            object_bytes=plan.object_bytes,
            multipart_bytes=plan.multipart_bytes,
            least_rate=plan.least_rate,
            connections=plan.connections,
            reserve_bytes=plan.reserve_bytes,
        ),
        encryption_key_file=Path(plan.encryption_key_file) if plan.encryption_key_file is not None else None,
        processes=plan.processes,
        metrics_host=plan.metrics_host,
        metrics_port=plan.metrics_port,
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
