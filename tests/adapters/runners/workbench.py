"""A run's window to the rest, as the worker would give it, kept in a folder and in lists."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from penstock.ports.runners import FileInput, WeightsInput

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Workbench:
    def __init__(self, workdir: Path) -> None:
        self._workdir = workdir
        self._files: dict[str, Path] = {}
        self.weights: dict[str, str] = {}
        self.logs: list[tuple[str, str]] = []
        self.fractions: list[float] = []
        self.is_cancelled = False
        self.on_progress: Callable[[], None] = lambda: None

    @property
    def workdir(self) -> Path:
        return self._workdir

    def file(self, path: Path) -> FileInput:
        asset_id = f"asset-{len(self._files)}"
        self._files[asset_id] = path
        size = path.stat().st_size
        return FileInput(asset_id=asset_id, name=path.name, content_type="application/octet-stream", size=size)

    def fetch(self, file: FileInput) -> Path:
        target = self._workdir / file.asset_id
        shutil.copy(self._files[file.asset_id], target)
        return target

    def url(self, file: FileInput | WeightsInput) -> str:
        if isinstance(file, WeightsInput):
            return self.weights[file.air]
        return self._files[file.asset_id].as_uri()

    def log(self, message: str, *, level: str = "info") -> None:
        self.logs.append((level, message))

    def progress(self, fraction: float) -> None:
        self.fractions.append(fraction)
        self.on_progress()

    def cancelled(self) -> bool:
        return self.is_cancelled
