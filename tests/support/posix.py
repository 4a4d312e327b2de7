"""What POSIX promises of a directory tree after a power loss, whatever the file system: bytes that were fsynced, names
whose directory was fsynced, and of all else any part or nothing. Real file systems promise more; nobody should need it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from tests.support.strace import Call

_SYNCS = frozenset({"fsync", "fdatasync"})
_WRITES = frozenset({"write", "writev", "pwrite64", "ftruncate"})
_FORGOTTEN = re.compile(r"\(deleted\)$|-shm$")  # nobody sees the one again; the other is shared memory in a file


@dataclass(slots=True, eq=False)
class File:
    """Bytes as every process sees them, and as they were when last fsynced."""

    data: bytearray
    synced: bytes

    def left(self, chance: random.Random) -> bytes:
        """Nothing new, everything, a part, or the right size with some of the bytes."""
        if self.data == self.synced:
            return self.synced
        cut = chance.randrange(len(self.data) + 1)
        holes = bytes(self.data[:cut]) + bytes(len(self.data) - cut)
        return chance.choice([self.synced, bytes(self.data), bytes(self.data[:cut]), holes])


@dataclass(slots=True, eq=False)
class Directory:
    """Names as every process sees them, as they were when last fsynced, and what was done since (None: removed)."""

    entries: dict[str, File | Directory] = field(default_factory=dict)
    synced: dict[str, File | Directory] = field(default_factory=dict)
    changes: list[tuple[str, File | Directory | None]] = field(default_factory=list)

    def put(self, name: str, node: File | Directory | None) -> None:
        """Give a name to a file or directory; None takes the name away."""
        _put(self.entries, name, node)
        self.changes.append((name, node))

    def left(self, chance: random.Random) -> dict[str, File | Directory]:
        """Nothing new, everything, or some of it."""
        entries, likely = dict(self.synced), chance.choice([0.0, 0.5, 0.5, 1.0])
        for name, node in self.changes:
            if chance.random() < likely:
                _put(entries, name, node)
        return entries


def _put(entries: dict[str, File | Directory], name: str, node: File | Directory | None) -> None:
    if node is None:
        entries.pop(name, None)
    else:
        entries[name] = node


class Tree:
    """A directory tree that follows what a traced process does to it. What is there at the beginning is durable."""

    def __init__(self, root: Path, *, seen_as: str) -> None:
        """`seen_as` is where the tree is in the trace; `root` is a copy of how it was before."""
        self._place = seen_as
        self._files: dict[int, File] = {}
        self._root = self._scan(str(root))

    def apply(self, call: Call) -> None:
        """Follow one call. Raises `NotImplementedError` for one that changes the tree in a way that is not modelled."""
        inside = [path for path in call.paths if path.startswith(f"{self._place}/") and not _FORGOTTEN.search(path)]
        if not inside:
            return
        if call.name in _SYNCS:
            self._sync(inside[0])
        elif call.name in _WRITES:
            self._write(call, self._file(inside[0]))
        elif call.name.startswith("open"):
            self._open(inside[0], call.arguments)
        elif not self._changes_names(call.name, inside) and call.name != "sendfile":  # which reads from here
            raise NotImplementedError(call.name)

    def _changes_names(self, call: str, paths: list[str]) -> bool:
        if call.startswith("mkdir"):
            self._name(paths[0], Directory())
        elif call.startswith(("unlink", "rmdir")):
            self._name(paths[0], None)
        elif call.startswith("link"):
            self._name(paths[1], self._node(paths[0]))
        elif call.startswith("rename"):
            self._name(paths[1], self._node(paths[0]))
            self._name(paths[0], None)
        else:
            return False
        return True

    def leave(self, target: Path, chance: random.Random) -> None:
        """Write down what a power loss may leave at this moment."""
        self._leave(self._root, str(target), chance, {})

    def _leave(self, directory: Directory, place: str, chance: random.Random, written: dict[int, str]) -> None:
        os.mkdir(place)  # noqa: PTH102 - paths are text here, as in the trace
        for name, node in directory.left(chance).items():
            path = f"{place}/{name}"
            if isinstance(node, Directory):
                self._leave(node, path, chance, written)
            elif id(node) in written:
                os.link(written[id(node)], path)
            else:
                written[id(node)] = path
                with open(path, "wb", opener=_private) as file:
                    file.write(node.left(chance))

    def _scan(self, place: str) -> Directory:
        found = Directory()
        for entry in os.scandir(place):
            if _FORGOTTEN.search(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                found.entries[entry.name] = self._scan(entry.path)
            else:
                with open(entry.path, "rb") as file:  # noqa: PTH123 - as above
                    data = file.read()
                found.entries[entry.name] = self._files.setdefault(entry.inode(), File(bytearray(data), data))
        found.synced = dict(found.entries)
        return found

    def _node(self, path: str) -> File | Directory:
        node: File | Directory = self._root
        for name in os.path.normpath(path).removeprefix(self._place).split("/")[1:]:
            assert isinstance(node, Directory), path
            node = node.entries[name]
        return node

    def _file(self, path: str) -> File:
        node = self._node(path)
        assert isinstance(node, File), path
        return node

    def _name(self, path: str, node: File | Directory | None) -> None:
        above, _, name = path.rpartition("/")
        directory = self._node(above)
        assert isinstance(directory, Directory), path
        directory.put(name, node)

    def _open(self, path: str, flags: str) -> None:
        if "O_CREAT" not in flags:
            return
        try:
            file = self._file(path)
        except KeyError:
            self._name(path, File(bytearray(), b""))
        else:
            if "O_TRUNC" in flags:
                file.data.clear()

    def _write(self, call: Call, file: File) -> None:
        assert call.whole, "strace has cut off what was written"
        numbers = [int(number) for number in re.findall(r"\b\d+\b", call.arguments)]
        if call.name == "ftruncate":
            size = numbers[-1]
            file.data[:] = file.data[:size] + bytes(max(0, size - len(file.data)))
            return
        # Files are written from their beginning to their end, except by those who say where (`pwrite64`).
        start = numbers[-1] if call.name == "pwrite64" else len(file.data)
        file.data.extend(bytes(max(0, start - len(file.data))))
        file.data[start : start + call.result] = call.data[: call.result]

    def _sync(self, path: str) -> None:
        node = self._node(path)
        if isinstance(node, Directory):
            node.synced = dict(node.entries)
            node.changes.clear()
        else:
            node.synced = bytes(node.data)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
