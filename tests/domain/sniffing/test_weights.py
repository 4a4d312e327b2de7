"""Model files and what is sent in their place."""

from __future__ import annotations

import pickle
import struct
from typing import TYPE_CHECKING

import pytest

from penstock.domain.sniffing import sniff

if TYPE_CHECKING:
    from tests.support.model_files import ModelFiles


def test_model_files_of_all_shapes_are_safetensors(model_files: ModelFiles) -> None:
    paths = [model_files.path(case) for case in model_files.cases]

    assert paths
    assert {sniff(path.read_bytes()) for path in paths} == {"application/x-safetensors"}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "thing", [{}, {"a": [1]}, [], (1, 2), "word", "w" * 9000, b"raw", bytearray(b"x"), 1.5, 2**70, None, True, {1}]
)
def test_a_pickle_of_any_binary_protocol_is_known(thing: object, protocol: int) -> None:
    assert sniff(pickle.dumps(thing, protocol=protocol)) == "application/x-pickle"


@pytest.mark.parametrize(
    "head",
    [
        b"\x80\x02",
        b"\x80\x01}",
        b"\x80\x06}",
        b"\x80\x04\x00",
        b"\x80\x04\x95" + b"\xff" * 8,
        b"\x80\x02\xff\xff",
    ],
)
def test_two_bytes_make_no_pickle(head: bytes) -> None:
    assert sniff(head) is None


def test_a_checkpoint_from_before_zip_begins_with_its_number() -> None:
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)

    assert sniff(magic + pickle.dumps(1001, protocol=2)) == "application/x-pytorch"


def entry(name: bytes, extra: bytes = b"") -> bytes:
    """The header of an entry in a ZIP file (APPNOTE 4.3.7)."""
    return b"PK\x03\x04" + bytes(22) + struct.pack("<HH", len(name), len(extra)) + name + extra


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (entry(b"archive/data.pkl", b"FB\x0a\x00ZZZZZZZZZZ"), "application/x-pytorch"),
        (entry(b"archive/data.pkl"), "application/x-pytorch"),
        (entry(b"model_v1/version"), "application/x-pytorch"),
        (entry(b"net/code/__torch__.py", b"FB\x05\x00ZZZZZ"), "application/x-pytorch"),
        (entry(b"notes/data.pkl.txt"), "application/zip"),
        (entry(b"word/document.xml"), "application/zip"),
        (entry(b"a.txt", b"FB\x00\x00"), "application/zip"),
        (b"PK\x07\x08" + entry(b"a.txt"), "application/zip"),
        (b"PK\x05\x06" + bytes(18), "application/zip"),
        (b"PK\x03\x04", "application/zip"),
        (b"PK\x03\x04" + b"\xff" * 60, "application/zip"),
        (b"PK\x01\x02" + bytes(40), None),
    ],
)
def test_a_checkpoint_is_told_from_another_archive_by_its_first_entry(head: bytes, found: str | None) -> None:
    assert sniff(head) == found


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (struct.pack("<Q", 20) + b'{"a', "application/x-safetensors"),
        (struct.pack("<Q", 20) + b'{ \n "a', "application/x-safetensors"),
        (struct.pack("<Q", 2) + b"{}", "application/x-safetensors"),
        (struct.pack("<Q", 100_000_000) + b'{"', "application/x-safetensors"),
        (struct.pack("<Q", 100_000_001) + b'{"', None),
        (struct.pack("<Q", 0) + b'{"', None),
        (struct.pack("<Q", 20) + b"[1", None),
        (struct.pack("<Q", 20) + b"{", None),
        (struct.pack("<Q", 20) + b' {"', None),
        (b"GGUF" + struct.pack("<I", 2), "application/x-gguf"),
        (b"GGUF" + struct.pack(">I", 3), "application/x-gguf"),
        (b"GGUF" + struct.pack("<I", 0), None),
        (b"GGUF\x03", None),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 5\n", "application/x-git-lfs-pointer"),
        (b"version https://hawser.github.com/spec/v1\r\noid sha256:4d7a\n", "application/x-git-lfs-pointer"),
        (b"version https://git-lfs.github.com/spec/v1\next-0-foo sha256:4d\n", "application/x-git-lfs-pointer"),
        (b"version https://git-lfs.github.com/spec/v1 is what pointers begin with", "text/plain"),
    ],
)
def test_what_is_not_quite_a_model_file_is_not_called_one(head: bytes, found: str | None) -> None:
    assert sniff(head) == found
