"""A file system in a file, and what is left of it when the power fails: exactly what had reached its device.

The image is mounted so that the kernel writes nothing by itself for minutes (`commit=300`) and does not make up for
missing fsyncs (`noauto_da_alloc`): a writer that forgets one loses data here, not only once in a thousand crashes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIZE = 640 * 1024 * 1024  # sparse: stores leave 256 MiB free
_MAKE = {"ext4": ("mkfs.ext4", "-q", "-F"), "xfs": ("mkfs.xfs", "-q", "-f")}
_OPTIONS = {"ext4": "loop,commit=300,noauto_da_alloc,noinit_itable", "xfs": "loop"}
FILE_SYSTEMS = tuple(_MAKE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """An image of a file system, and the directory that it is mounted on."""

    kind: str
    image: Path
    root: Path

    def after_power_loss(self, image: Path) -> None:
        """Write an image of what the device holds now. Whoever writes to the disk must have been stopped."""
        copy_image(self.image, image)


@cache
def why_no_disk(kind: str = "ext4") -> str:
    """Why file systems cannot be made and mounted here; empty if they can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "only root on Linux can mount an image"
    if shutil.which(_MAKE[kind][0]) is None:
        return f"needs {_MAKE[kind][0]}"
    with tempfile.TemporaryDirectory(prefix="penstock-disk-") as place:
        try:
            with mounted(make_image(Path(place) / "image", kind), kind):
                return ""
        except subprocess.CalledProcessError as error:
            return f"an image cannot be mounted: {error.stderr.decode().strip()}"


def make_image(image: Path, kind: str) -> Path:
    """An empty file system in a file."""
    with image.open("wb") as file:
        file.truncate(_SIZE)
    _run(*_MAKE[kind], str(image))
    return image


def copy_image(image: Path, target: Path) -> Path:
    """The copy of an image, which is mostly holes and must stay so."""
    _run("cp", "--sparse=always", str(image), str(target))
    return target


@contextmanager
def mounted(image: Path, kind: str) -> Iterator[Disk]:
    """The file system of an image, repaired from its journal like any after a power loss."""
    root = image.with_name(f"{image.name}.mounted")
    root.mkdir(exist_ok=True)
    _run("mount", "-t", kind, "-o", _OPTIONS[kind], str(image), str(root))
    try:
        yield Disk(kind=kind, image=image, root=root)
    finally:
        # A process that was killed may hold it for a moment yet.
        command = ("umount", str(root))
        wait_until(
            lambda: subprocess.run(command, check=False, capture_output=True).returncode == 0, "an unmounted disk"
        )


def _unmounted(root: Path) -> bool:
    return subprocess.run(("umount", str(root)), check=False, capture_output=True).returncode == 0


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
