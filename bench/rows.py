"""The lines of the store's benchmark, in the order in which they are measured and printed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from bench.table import BANDWIDTH, DURATION, MEMORY, RATE, Heading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.limits import Limits
    from bench.loads import Loads, Sizes
    from bench.servers import Server
    from bench.table import Outcome

_FEW, _MANY = 8, 64

LARGE = ("complete", "put-huge")
"""Rows that take many gigabytes of disk."""

NAMES = (
    "put", "put-crc", "put-md5", "multipart", "put-small-8", "put-small-64", "get", "get-small-8",
    "get-small-64", "idle", *LARGE,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kind of work; what the machine can do of it at all; how much disk it needs."""

    heading: Heading
    load: Callable[[Server, int], Outcome]
    limits: Mapping[str, Callable[[], Outcome]] = field(default_factory=dict)
    disk_bytes: int = 0
    most_rounds: int = 100


def all_rows(loads: Loads, limits: Limits, sizes: Sizes) -> list[Row]:
    """Those named `NAMES`."""
    small = [
        *[_put_small(loads, limits, sizes, connections=count) for count in (_FEW, _MANY)],
        _get(loads, limits, sizes),
        *[_get_small(loads, sizes, connections=count) for count in (_FEW, _MANY)],
    ]
    return [
        _put(loads, limits, sizes),
        _put_crc(loads, limits, sizes),
        _put_md5(loads, sizes),
        _multipart(loads, limits, sizes),
        *small,
        _idle(loads, sizes),
        _complete(loads, sizes),
        _put_huge(loads, sizes),
    ]


def _put(loads: Loads, limits: Limits, sizes: Sizes) -> Row:
    aims = (("nginx", 1.1), ("Ceph RGW", 2.0), ("Swift", 2.0))
    hashing = {"(SHA-256 alone, 1 thread)": partial(limits.hashing, sizes.large)}
    return Row(
        heading=Heading(
            name="put", title=f"PUT {_mb(sizes.large)} with a presigned URL (SHA-256)", unit=BANDWIDTH, aims=aims
        ),
        load=loads.put,
        limits=_moving(limits, sizes) | hashing,
        disk_bytes=2 * sizes.large,
    )


def _put_crc(loads: Loads, limits: Limits, sizes: Sizes) -> Row:
    title = f"PUT {_mb(sizes.large)} with a presigned URL (SHA-256) and CRC64-NVME"
    return Row(
        heading=Heading(name="put-crc", title=title, unit=BANDWIDTH, aims=(("nginx", 1.2),)),
        load=loads.put_with_crc,
        limits=_moving(limits, sizes),
        disk_bytes=2 * sizes.large,
    )


def _put_md5(loads: Loads, sizes: Sizes) -> Row:
    title = f"PUT {_mb(sizes.large)} signed in its headers (SHA-256 and MD5)"
    return Row(
        heading=Heading(name="put-md5", title=title, unit=BANDWIDTH),
        load=loads.put_signed,
        disk_bytes=2 * sizes.large,
    )


def _multipart(loads: Loads, limits: Limits, sizes: Sizes) -> Row:
    ways = f"{sizes.lanes} connections, with complete (nginx: {sizes.lanes} plain PUTs of the same total)"
    return Row(
        heading=Heading(
            name="multipart",
            title=f"multipart {_gb(sizes.total)} in parts of {_mib(sizes.part)} on {ways}",
            unit=BANDWIDTH,
        ),
        load=loads.multipart,
        limits=_moving(limits, sizes),
        disk_bytes=2 * sizes.total,
    )


def _put_small(loads: Loads, limits: Limits, sizes: Sizes, *, connections: int) -> Row:
    aims = (("nginx", 0.5), ("Ceph RGW", 3.0)) if connections == _MANY else ()
    files = partial(limits.small_files, sizes.small, threads=connections, seconds=sizes.seconds / 2)
    return Row(
        heading=Heading(
            name=f"put-small-{connections}",
            title=f"PUT {_kb(sizes.small)} with a presigned URL, {connections} connections",
            unit=RATE,
            aims=aims,
        ),
        load=partial(loads.put_small, connections=connections),
        limits={f"(durable files alone, {connections} threads)": files},
    )


def _get(loads: Loads, limits: Limits, sizes: Sizes) -> Row:
    return Row(
        heading=Heading(name="get", title=f"GET {_mb(sizes.large)}", unit=BANDWIDTH, aims=(("nginx", 0.9),)),
        load=loads.get,
        limits={"(loopback alone)": partial(limits.loopback, sizes.large)},
        disk_bytes=2 * sizes.large,
    )


def _get_small(loads: Loads, sizes: Sizes, *, connections: int) -> Row:
    title = f"GET {_kb(sizes.small)}, {connections} connections"
    return Row(
        heading=Heading(name=f"get-small-{connections}", title=title, unit=RATE),
        load=partial(loads.get_small, connections=connections),
    )


def _idle(loads: Loads, sizes: Sizes) -> Row:
    title = f"RSS with {sizes.idle:,} idle connections"
    return Row(
        heading=Heading(name="idle", title=title, unit=MEMORY, most=120),
        load=loads.idle,
        most_rounds=1,
    )


def _complete(loads: Loads, sizes: Sizes) -> Row:
    total = sizes.part * sizes.parts_to_complete
    title = f"complete alone, of {_gb(total)} in {sizes.parts_to_complete} parts"
    return Row(
        heading=Heading(name="complete", title=title, unit=DURATION, most=50),
        load=loads.complete,
        disk_bytes=2 * total,
        most_rounds=3,
    )


def _put_huge(loads: Loads, sizes: Sizes) -> Row:
    title = f"peak RSS during PUT {_gb(sizes.huge)}"
    return Row(
        heading=Heading(name="put-huge", title=title, unit=MEMORY, most=80),
        load=loads.put_huge,
        disk_bytes=2 * sizes.huge,
        most_rounds=1,
    )


def _moving(limits: Limits, sizes: Sizes) -> dict[str, Callable[[], Outcome]]:
    return {
        "(loopback alone)": partial(limits.loopback, sizes.large),
        "(file write + fsync alone)": partial(limits.file_write, sizes.large),
    }


def _kb(size: int) -> str:
    return f"{size / 1000:.0f} KB"


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"


def _gb(size: int) -> str:
    return f"{size / 1e9:.2g} GB"


def _mib(size: int) -> str:
    return f"{size / 1024**2:.0f} MiB"
