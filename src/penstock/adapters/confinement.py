"""How the child ties its own hands: limits, no network, no files but its own, an end when its parent ends (S12).

Each step is taken where the kernel allows it; what is in force is returned, to be reported. One thread only, please:
namespaces and Landlock bind the calling thread and those that it starts later.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import struct
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER = 0x1000_0000
_CLONE_NEWNET = 0x4000_0000
_CLONE_NEWIPC = 0x0800_0000
_CAPABILITY_VERSION_3 = 0x2008_0522
# Landlock's system calls have one number on every architecture (linux/landlock.h).
_LANDLOCK_CREATE, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_GET_VERSION = 1
_LANDLOCK_PATH_BENEATH = 1
# Rights on files by the version that brought them: thirteen, then refer, truncate and ioctl.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_FILE, _MAKE_REG, _TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 5, 1 << 8, 1 << 14
_TCP_RIGHTS_VERSION, _SCOPE_VERSION, _NEWEST_FILE_RIGHTS = 4, 6, 5
_BOTH = 0b11
_SYSTEM_CODE = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a child may take. Memory is address space in bytes; `open_files` counts descriptors.

    With `threads` 0 it can start neither threads nor processes.
    """

    memory_bytes: int = 2 << 30
    cpu_seconds: int = 120
    file_bytes: int = 512 << 20
    open_files: int = 64
    threads: int = 4
    wall_seconds: float = 120.0
    pixels: int = 50_000_000


def confine_process(limits: Limits, *, parent: int) -> dict[str, str]:
    """Die with the parent, take the limits, leave the network. Returns what is in force, in words."""
    libc = ctypes.CDLL(None, use_errno=True)
    tied = _die_with_parent(libc, parent)
    _no_new_privileges(libc)
    network, own_users = _leave_network(libc)
    _drop_capabilities(libc)
    taken = _take_limits(limits, own_users=own_users)
    return {"limits": " ".join(taken), "network": network, "parent": "tied" if tied else "not tied"}


def confine_files(workdir: Path | None) -> str:
    """From here on, open nothing but code and what lies in `workdir`, and no TCP connection (Landlock).

    Code stays readable because libraries import and load on first use. Without a `workdir` nothing is left to open, not
    even code. Returns what is in force, in words.
    """
    if not sys.platform.startswith("linux"):
        return "open"
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    version = libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _LANDLOCK_GET_VERSION)
    if version < 1:
        return "open"
    handled = _FILE_RIGHTS[min(version, _NEWEST_FILE_RIGHTS)]
    attributes = struct.pack(
        "=QQQ",
        handled,
        _BOTH if version >= _TCP_RIGHTS_VERSION else 0,
        _BOTH if version >= _SCOPE_VERSION else 0,
    )
    length = 24 if version >= _SCOPE_VERSION else 16 if version >= _TCP_RIGHTS_VERSION else 8
    ruleset = libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(length), 0)
    if ruleset < 0:
        return "open"
    reading = _READ_FILE | _READ_DIR
    try:
        if workdir is not None:
            for folder in {*_SYSTEM_CODE, *sys.path}:
                _allow(libc, ruleset, folder, reading)
            writing = _WRITE_FILE | _REMOVE_FILE | _MAKE_REG | _TRUNCATE
            _allow(libc, ruleset, str(workdir), handled & (reading | writing))
        words = "none" if workdir is None else "code and own folder"
        return words if libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0) == 0 else "open"
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, folder: str, rights: int) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # a name on the path that is no folder
        return
    try:
        libc.syscall(_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)


def _die_with_parent(libc: ctypes.CDLL, parent: int) -> bool:
    if not hasattr(libc, "prctl") or libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        return False
    if os.getppid() != parent:  # it ended before we asked
        os._exit(1)
    return True


def _no_new_privileges(libc: ctypes.CDLL) -> None:
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _leave_network(libc: ctypes.CDLL) -> tuple[str, bool]:
    """An empty network namespace; and whether it came with a user namespace of our own."""
    if not hasattr(libc, "unshare"):
        return "open", False
    user, group = os.getuid(), os.getgid()
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC) == 0:
        # Without a map our own user has no name here; files would still open, but look foreign.
        with contextlib.suppress(OSError):
            _write("/proc/self/setgroups", "deny")
            _write("/proc/self/uid_map", f"{user} {user} 1")
            _write("/proc/self/gid_map", f"{group} {group} 1")
        return "none", True
    if libc.unshare(_CLONE_NEWNET | _CLONE_NEWIPC) == 0:
        return "none", False
    return "open", False


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:  # noqa: PTH123 - a kernel interface, not a file
        file.write(text)


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """Root, and the owner of a user namespace, give up what that would allow."""
    if hasattr(libc, "capset"):
        libc.capset(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), struct.pack("=6I", *[0] * 6))


def _take_limits(limits: Limits, *, own_users: bool) -> list[str]:
    wanted = {
        "RLIMIT_AS": limits.memory_bytes,
        "RLIMIT_CPU": limits.cpu_seconds,
        "RLIMIT_FSIZE": limits.file_bytes,
        "RLIMIT_NOFILE": limits.open_files,
        "RLIMIT_CORE": 0,
    }
    if own_users:
        # Counted per user: outside a namespace of our own it would count everything the user runs.
        wanted["RLIMIT_NPROC"] = limits.threads + 4 if limits.threads else 0
    taken = []
    for name, value in wanted.items():
        number = getattr(resource, name, None)
        if number is None:
            continue
        ceiling = resource.getrlimit(number)[1]
        limit = value if ceiling == resource.RLIM_INFINITY else min(value, ceiling)
        # Over the soft CPU limit comes SIGXCPU, which tells the parent why; over the hard one a mere SIGKILL.
        hard = limit + 1 if name == "RLIMIT_CPU" and ceiling != limit else limit
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(number, (limit, hard))
            taken.append(name.removeprefix("RLIMIT_"))
    return taken
