"""The last wall around a child: a list of system calls, all others refused by the kernel (seccomp)."""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 38, 22
_MODE_FILTER = 2
_ALLOW, _ERRNO = 0x7FFF_0000, 0x0005_0000
_LOAD_WORD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # linux/bpf_common.h
_NUMBER_AT, _MACHINE_AT = 0, 4  # struct seccomp_data
_X32 = 0x4000_0000
"""From here on x86-64 has a second table of calls, which is refused as a whole."""

_CALLS: dict[str, tuple[int, dict[str, int]]] = {
    # What reads, computes, answers and ends; nothing that opens, connects, starts, kills or looks at others.
    "x86_64": (
        0xC000_003E,
        {
            "read": 0,
            "write": 1,
            "close": 3,
            "fstat": 5,
            "poll": 7,
            "lseek": 8,
            "mmap": 9,
            "mprotect": 10,
            "munmap": 11,
            "brk": 12,
            "rt_sigaction": 13,
            "rt_sigprocmask": 14,
            "rt_sigreturn": 15,
            "ioctl": 16,
            "pread64": 17,
            "readv": 19,
            "writev": 20,
            "sched_yield": 24,
            "mremap": 25,
            "madvise": 28,
            "dup": 32,
            "nanosleep": 35,
            "getpid": 39,
            "sendto": 44,
            "recvfrom": 45,
            "sendmsg": 46,
            "recvmsg": 47,
            "exit": 60,
            "uname": 63,
            "fcntl": 72,
            "getcwd": 79,
            "gettimeofday": 96,
            "getrusage": 98,
            "sysinfo": 99,
            "getuid": 102,
            "getppid": 110,
            "sigaltstack": 131,
            "gettid": 186,
            "time": 201,
            "futex": 202,
            "sched_getaffinity": 204,
            "restart_syscall": 219,
            "clock_gettime": 228,
            "clock_getres": 229,
            "clock_nanosleep": 230,
            "exit_group": 231,
            "newfstatat": 262,
            "ppoll": 271,
            "set_robust_list": 273,
            "getrandom": 318,
            "membarrier": 324,
            "rseq": 334,
        },
    ),
    "aarch64": (
        0xC000_00B7,
        {
            "dup": 23,
            "fcntl": 25,
            "ioctl": 29,
            "close": 57,
            "getcwd": 17,
            "lseek": 62,
            "read": 63,
            "write": 64,
            "readv": 65,
            "writev": 66,
            "pread64": 67,
            "ppoll": 73,
            "newfstatat": 79,
            "fstat": 80,
            "exit": 93,
            "exit_group": 94,
            "futex": 98,
            "set_robust_list": 99,
            "nanosleep": 101,
            "clock_gettime": 113,
            "clock_getres": 114,
            "clock_nanosleep": 115,
            "sched_getaffinity": 123,
            "sched_yield": 124,
            "restart_syscall": 128,
            "sigaltstack": 132,
            "rt_sigaction": 134,
            "rt_sigprocmask": 135,
            "rt_sigreturn": 139,
            "uname": 160,
            "getrusage": 165,
            "gettimeofday": 169,
            "getpid": 172,
            "getppid": 173,
            "getuid": 174,
            "gettid": 178,
            "sysinfo": 179,
            "sendto": 206,
            "recvfrom": 207,
            "sendmsg": 211,
            "recvmsg": 212,
            "brk": 214,
            "munmap": 215,
            "mremap": 216,
            "mmap": 222,
            "mprotect": 226,
            "madvise": 233,
            "getrandom": 278,
            "membarrier": 283,
            "rseq": 293,
        },
    ),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def refuse_system_calls() -> str:
    """From here on, only what computing and answering on open descriptors takes; the rest fails with EPERM.

    Binds the calling thread and those that it starts later. Returns what is in force, in words.
    """
    known = _CALLS.get(platform.machine())
    if known is None or not sys.platform.startswith("linux"):
        return "open"
    libc = ctypes.CDLL(None, use_errno=True)
    program = _program(*known)
    length = len(program) // 8
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return "open"
    filtered = libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(_Program(length, program)), 0, 0)
    return f"{len(known[1])} allowed" if filtered == 0 else "open"


def _program(machine: int, calls: dict[str, int]) -> bytes:
    refuse = _instruction(_RETURN, _ERRNO | errno.EPERM)
    lines = [
        _instruction(_LOAD_WORD, _MACHINE_AT),
        _instruction(_JUMP_IF_EQUAL, machine, when_true=1),
        refuse,
        _instruction(_LOAD_WORD, _NUMBER_AT),
        _instruction(_JUMP_IF_AT_LEAST, _X32, when_false=1),
        refuse,
    ]
    for number in calls.values():
        lines += [_instruction(_JUMP_IF_EQUAL, number, when_false=1), _instruction(_RETURN, _ALLOW)]
    return b"".join([*lines, refuse])


def _instruction(code: int, operand: int, *, when_true: int = 0, when_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, when_true, when_false, operand)
