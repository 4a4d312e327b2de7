"""Directories of part files: opened so that nobody drops them meanwhile, linked, and dropped.

A directory is locked by flock, shared by readers and alone by whoever removes it. The kernel frees the locks of a
process that dies, and they hold between processes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from typing import TYPE_CHECKING

from penstock.store.layout import open_directory, open_to_read, part_name
from penstock.store.syncs import sync

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CANNOT_LINK = frozenset({errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.EXDEV})
"""Errors of a file system that allows no (further) hard link of a file."""
_STEP = 1 << 30
_FEW = 20


def open_parts(path: str) -> int:
    """A descriptor of a directory of parts, which stays whole until the descriptor is closed.

    Raises `FileNotFoundError` when the directory is gone, or being removed.
    """
    fd = open_directory(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        found = os.path.samestat(os.fstat(fd), os.stat(path))  # noqa: PTH116 - the layout's paths are strings
    except BlockingIOError:
        found = False
    except BaseException:
        os.close(fd)
        raise
    if not found:
        os.close(fd)
        raise FileNotFoundError(errno.ENOENT, "the directory is being removed", path)
    return fd


@contextlib.contextmanager
def opened_parts(path: str) -> Iterator[int]:
    """As `open_parts`, closed at the end."""
    fd = open_parts(path)
    try:
        yield fd
    finally:
        os.close(fd)


def link_parts(source: int, target: str, numbers: Iterable[int]) -> None:
    """Make the directory `target` with the same part files, durably (its own name in the shard is not).

    Where the file system allows no link, the bytes are copied. Raises `OSError`; then nothing is left.
    """
    os.mkdir(target, 0o700)  # noqa: PTH102 - the layout's paths are strings
    fd = open_directory(target)
    try:
        for number in numbers:
            _link(part_name(number), source, fd)
        sync(fd, "directory")
    except BaseException:
        drop_parts(target)
        raise
    finally:
        os.close(fd)


def is_large(path: str) -> bool:
    """Whether removing a directory of parts takes too long for a request: 10 GB on a busy disk took 5 s."""
    try:
        return len(os.listdir(path)) > _FEW  # noqa: PTH208 - the layout's paths are strings
    except FileNotFoundError:
        return False


def drop_parts(path: str) -> bool:
    """Remove a directory of parts with all that is in it; False when somebody is reading it. Raises `OSError`."""
    try:
        fd = open_directory(path)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for name in os.listdir(fd):  # noqa: PTH208 - by descriptor, so that no other directory can be meant
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=fd)
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(path)  # noqa: PTH106 - the layout's paths are strings
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def _link(name: str, source: int, target: int) -> None:
    try:
        os.link(name, name, src_dir_fd=source, dst_dir_fd=target)
    except OSError as error:
        if error.errno not in CANNOT_LINK:
            raise
        _copy(name, source, target)


def _copy(name: str, source: int, target: int) -> None:
    data = open_to_read(name, directory=source)
    try:
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target)
        try:
            position = 0
            while sent := os.sendfile(fd, data, position, _STEP):
                position += sent
            sync(fd, "file")
        finally:
            os.close(fd)
    finally:
        os.close(data)
