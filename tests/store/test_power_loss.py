"""Power loss: what was acknowledged had reached the disk (P1, F2). The control shows that a missing fsync is found."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.store.changes import CHANGES, DELETE_MANY, State, fill, state_of
from tests.store.journal import Journal
from tests.store.support import PATIENCE_SECONDS, StoreProcess, new_key_file, store_in_thread
from tests.store.workload import clients_at_work, require_promises, require_sound
from tests.support.disk import FILE_SYSTEMS, copy_image, make_image, mounted, why_no_disk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.store.changes import Change

SNAPSHOTS = 3
MANY_SNAPSHOTS = 30
CONTROL_ATTEMPTS = 5


@pytest.fixture(scope="module", params=FILE_SYSTEMS)
def file_system(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    if reason := why_no_disk(kind):
        pytest.skip(reason)
    return kind


@pytest.fixture(scope="module")
def filled_image(file_system: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with a data directory in `data`, to be copied."""
    image = make_image(tmp_path_factory.mktemp("filled") / "image", file_system)
    with mounted(image, file_system) as disk:
        fill(disk.root / "data")
    return image


@pytest.mark.parametrize("name", [*CHANGES, "delete many"])
def test_one_acknowledged_change_on_a_quiet_disk_survives(
    filled_image: Path, file_system: str, tmp_path: Path, name: str
) -> None:
    acknowledged, left = change_and_cut(
        filled_image, file_system, tmp_path, CHANGES.get(name, DELETE_MANY), without_fsync=False
    )

    assert left == acknowledged


@pytest.mark.parametrize("name", ["put", "copy", "delete"])
def test_without_fsync_the_same_change_is_lost(filled_image: Path, file_system: str, tmp_path: Path, name: str) -> None:
    """The control. Whoever calls `sync` on this machine makes an attempt inconclusive."""
    for number in range(CONTROL_ATTEMPTS):
        place = tmp_path / str(number)
        place.mkdir()
        acknowledged, left = change_and_cut(filled_image, file_system, place, CHANGES[name], without_fsync=True)
        if left != acknowledged:
            return
    pytest.skip("inconclusive: something else made this machine write everything to its disks")


def change_and_cut(
    filled_image: Path, kind: str, place: Path, change: Change, *, without_fsync: bool
) -> tuple[State, State | None]:
    """What a store shows that has acknowledged a change, and what another shows after the power was cut then.

    None when what is left is damaged.
    """
    image, cut = copy_image(filled_image, place / "image"), place / "cut"
    with (
        mounted(image, kind) as disk,
        StoreProcess(disk.root / "data", "--no-log", without_fsync=without_fsync) as process,
    ):
        store = process.ready()
        assert change.ask(store).status in change.answers
        process.freeze()
        disk.after_power_loss(cut)
        process.thaw()
        acknowledged = state_of(store)
        process.kill()
    image.unlink()
    with mounted(cut, kind) as disk:
        left = state_left(disk.root / "data")
    cut.unlink()
    return acknowledged, left


def state_left(directory: Path) -> State | None:
    """What a store shows after a power loss; None when it is damaged."""
    with store_in_thread(directory) as store:
        try:
            left = state_of(store)
        except AssertionError:
            return None
    require_sound(directory)
    return left


def cut_again_and_again(image: Path, kind: str, *, snapshots: int, seed: int, key_file: Path | None = None) -> Journal:
    """Every round works on what the power loss before has left. With a key file, the store is encrypted."""
    options = ("--no-log", "--encryption-key-file", str(key_file)) if key_file else ("--no-log",)
    chance, journal = random.Random(seed), Journal()  # noqa: S311 - how long a round lasts
    for number in range(snapshots):
        cut = image.with_name(f"cut-{number}")
        with mounted(image, kind) as disk, StoreProcess(disk.root / "data", *options) as process:
            store = process.ready()
            require_promises(store, journal)
            with clients_at_work(store, journal, seed=seed + number) as dying:
                journal.wait_for(chance.randrange(1, 100), seconds=2 * PATIENCE_SECONDS)
                dying.set()
                process.freeze()
                acknowledged = journal.frozen()
                disk.after_power_loss(cut)
                process.kill()
        image.unlink()
        image, journal = cut, acknowledged
        with mounted(image, kind) as disk:
            require_sound(disk.root / "data", index_is_behind=True, key_file=key_file)
    with mounted(image, kind) as disk, StoreProcess(disk.root / "data", *options) as process:
        require_promises(process.ready(), journal)
        process.end()
        require_sound(disk.root / "data", key_file=key_file)
    image.unlink()
    return journal


def test_nothing_is_lost_when_the_power_fails_under_load(file_system: str, tmp_path: Path) -> None:
    journal = cut_again_and_again(make_image(tmp_path / "image", file_system), file_system, snapshots=SNAPSHOTS, seed=1)

    assert journal.acknowledged >= SNAPSHOTS


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_nothing_is_lost_however_often_the_power_fails(file_system: str, tmp_path: Path, encrypted: bool) -> None:
    image = make_image(tmp_path / "image", file_system)
    key_file = new_key_file(tmp_path / "key") if encrypted else None

    journal = cut_again_and_again(image, file_system, snapshots=MANY_SNAPSHOTS, seed=1_000, key_file=key_file)

    assert journal.acknowledged >= MANY_SNAPSHOTS


@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("put", "publish.renamed"),
        ("copy", "publish.renamed"),
        ("delete", "delete.unlinked"),
        ("create a bucket", "bucket.created:2"),
        ("delete a bucket", "bucket.removed"),
    ],
)
def test_what_a_start_shows_after_a_crash_is_not_lost_later(
    filled_image: Path, file_system: str, tmp_path: Path, name: str, point: str
) -> None:
    """The one who died had told nobody; the one who came after tells everybody (P6: a client may look with HEAD)."""
    image, cut = copy_image(filled_image, tmp_path / "image"), tmp_path / "cut"
    with mounted(image, file_system) as disk:
        directory = disk.root / "data"
        with StoreProcess(directory, "--no-log", failpoint=point) as process, pytest.raises((OSError, EOFError)):
            CHANGES[name].ask(process.ready())
        assert process.exit_status() == 9
        with StoreProcess(directory, "--no-log") as process:
            shown = state_of(process.ready())
            process.freeze()
            disk.after_power_loss(cut)
            process.kill()
    with mounted(cut, file_system) as disk:
        left = state_left(disk.root / "data")

    assert left == shown
