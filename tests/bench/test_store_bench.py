"""The store's benchmark works; how fast anything is, it is not for a test to say."""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from bench.rows import NAMES
from bench.source import BLOCK_BYTES, Source
from bench.table import BANDWIDTH, DURATION, Heading, Outcome, Sheet

ROOT = Path(__file__).parents[2]
_ONES = (1 << 64) - 1


def test_a_quick_run_measures_every_row_and_leaves_nothing_behind(tmp_path: Path) -> None:
    run = subprocess.run(
        [
            *(sys.executable, "-m", "bench", "store", "--quick", "--large", "--rounds", "1"),
            *("--peers", "nginx", "--dir", str(tmp_path)),
        ],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
    )

    assert run.returncode == 0, run.stderr
    told = {(line.split()[0], "ours" in line) for line in run.stderr.splitlines() if line.split()[0] in NAMES}
    assert {(name, True) for name in NAMES} <= told
    assert run.stdout.count("| ours |") == len(NAMES)
    assert ("| nginx |" in run.stdout) == (shutil.which("nginx") is not None)
    assert list(tmp_path.iterdir()) == []
    assert _processes_naming(tmp_path) == []


def test_a_ratio_above_one_says_that_ours_is_better_whichever_way_the_figure_goes() -> None:
    sheet = Sheet()
    for name in ("speed", "time"):
        for ours, theirs in ((200, 100), (300, 100), (800, 100)):
            sheet.add(name, "ours", Outcome(figure=ours))
            sheet.add(name, "peer", Outcome(figure=theirs))
    headings = [
        Heading(name="speed", title="speed", unit=BANDWIDTH, aims=(("peer", 1.1),)),
        Heading(name="time", title="time", unit=DURATION, most=50),
    ]

    table = sheet.render(headings, ours="ours")

    assert "| peer | 100 (100–100) | 3.00 (2.00–8.00) | ≥ 1.1 |" in table
    assert "| ours | 300 (200–800) |  | ≤ 50 ms |" in table
    assert "| peer | 100 (100–100) | 0.33 (0.12–0.50) |" in table


@pytest.mark.parametrize("size", [0, 9, BLOCK_BYTES, 2 * BLOCK_BYTES + 77])
def test_the_checksum_of_repeated_bytes_is_that_of_the_bytes(tmp_path: Path, size: int) -> None:
    with closing(Source(BLOCK_BYTES, scratch=tmp_path)) as source:
        data = (source.small(BLOCK_BYTES) * 4)[:size]

        assert source.crc64nvme(size) == base64.b64encode(_crc64nvme(data).to_bytes(8, "big")).decode()


def test_the_checksum_is_the_one_of_the_catalogue() -> None:
    assert _crc64nvme(b"123456789") == 0xAE8B14860A799888


def _crc64nvme(data: bytes) -> int:
    """In the other direction than the benchmark's: the polynomial as the catalogue has it, every byte reflected."""
    value, table = _ONES, _crc64nvme_table()
    mirrored = [int(f"{byte:08b}"[::-1], 2) for byte in range(256)]
    for byte in data:
        value = table[value >> 56 ^ mirrored[byte]] ^ value << 8 & _ONES
    return int(f"{value ^ _ONES:064b}"[::-1], 2)


def _crc64nvme_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 56
        for _ in range(8):
            value = (value << 1 ^ (0xAD93D23594C93659 if value >> 63 else 0)) & _ONES
        table.append(value)
    return table


def _processes_naming(path: Path) -> list[str]:
    lines = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [line for line in lines if str(path) in line]
