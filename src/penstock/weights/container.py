"""The container: how long a header is, and what it says, or which rule of safetensors it breaks.

Stricter than the official reader where two readers could see two files in one: what may stand in a header stands in it
once, in one way. The rules are listed in docs/reference/model-files.md.
"""

from __future__ import annotations

import json
import re
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from penstock.domain.errors import NotSafetensors
from penstock.weights.entries import first_repeated, metadata_of, tensor_of
from penstock.weights.header import Header
from penstock.weights.lookalikes import looks_like
from penstock.weights.saying import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from penstock.weights.header import Tensor

LENGTH_BYTES = 8
"""A file begins with the length of its header, little-endian."""
MAX_HEADER_BYTES = 100_000_000
"""The format's own limit."""
HEADER_CAP_BYTES = 16 << 20
"""What is read by default; the largest header of a known model is 0.4 MB, free text in its metadata aside."""

_Object: TypeAlias = tuple[tuple[str, Any], ...]
"""A JSON object as it stands there."""
_METADATA = "__metadata__"
_ANEW = " (copy or download it again)"
_MINUS_ZERO = re.compile("-0")
_NOT_A_SPACE = re.compile(r"[^ ]")
_SURROGATE = re.compile(r"\\u[dD][89abAB]|\\u[dD][c-fC-F]")


def _natural(digits: str) -> float:
    """An integer, but for a zero with a sign: no natural number to the official reader, and one to Python."""
    return -0.0 if digits == "-0" else int(digits)


_JSON = json.JSONDecoder(object_pairs_hook=tuple)
"""Objects become tuples of pairs, so that what is said twice is seen twice, and tell themselves from arrays.

Fractions and NaN are read as the floats they are: nowhere in a header is one allowed.
"""
_JSON_WITH_SIGNS = json.JSONDecoder(object_pairs_hook=tuple, parse_int=_natural)


def header_length(first: bytes, *, cap: int = HEADER_CAP_BYTES, file_size: int | None = None) -> int:
    """Bytes of the header, which begins after the first eight.

    `first` are the first eight bytes of the file, or all of a shorter one; with some thousands of them the error can
    say what else the file looks like. Raises `NotSafetensors`, also for a header of more than `cap` bytes.
    """
    length = int.from_bytes(first[:LENGTH_BYTES], "little")
    fault = _fault_of_length(first, length, cap=cap, file_size=file_size)
    if fault is None and first[LENGTH_BYTES : LENGTH_BYTES + 1] not in {b"", b"{"}:
        fault = _fault_of_first_byte(first[LENGTH_BYTES:])
    if fault is None:
        return length
    other = looks_like(first)
    if other is None:
        raise NotSafetensors(fault)
    raise NotSafetensors(other.sentence, looks_like=other.media_type)


def parse_header(content: bytes, *, file_size: int | None = None) -> Header:
    """The header whose JSON is `content`, the bytes between the length and the data.

    Raises `NotSafetensors` naming the tensor and the rule; also when a file of `file_size` bytes would be cut off,
    or have something after its data.
    """
    entries = _decoded(_text(content))
    _check_names(entries)
    tensors: list[Tensor] = []
    metadata: Mapping[str, str] = {}
    for name, entry in entries:
        if name == _METADATA:
            metadata = metadata_of(entry)
        else:
            tensors.append(tensor_of(name, entry))
    if not tensors:
        raise NotSafetensors("the file has no tensor in it")
    tensors.sort(key=itemgetter(3, 4))
    _check_tiling(tensors)
    header = Header(length=len(content), tensors=tuple(tensors), metadata=metadata)
    _check_size(header, file_size)
    return header


def _fault_of_length(first: bytes, length: int, *, cap: int, file_size: int | None) -> str | None:
    if not first:
        return "the file is empty"
    if len(first) < LENGTH_BYTES:
        return f"the file has {len(first)} bytes; a safetensors file begins with eight that say how long its header is"
    if length == 0:
        return "the first eight bytes of the file, which say how long its header is, are zero"
    if length > MAX_HEADER_BYTES:
        most = f"the format allows {MAX_HEADER_BYTES}"
        return f"no safetensors file: its first eight bytes claim a header of {length} bytes, and {most}"
    if file_size is not None and LENGTH_BYTES + length > file_size:
        return f"the file is cut off: its header ends at byte {LENGTH_BYTES + length}, the file at {file_size}{_ANEW}"
    if length > cap:
        return f"the file's header has {length} bytes; at most {cap} are read here"
    return None


def _fault_of_first_byte(content: bytes) -> str:
    if content.startswith(b"\xef\xbb\xbf"):
        return "the header begins with a byte order mark; it must begin with {"
    return f"the header begins with the byte 0x{content[0]:02x}; it must begin with {{"


def _text(content: bytes) -> str:
    if not content.startswith(b"{"):
        raise NotSafetensors(_fault_of_first_byte(content) if content else "the header is empty")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        byte, at = content[error.start], LENGTH_BYTES + error.start
        raise NotSafetensors(f"the header is not UTF-8: the byte 0x{byte:02x} at offset {at}") from None


def _decoded(text: str) -> _Object:
    try:
        entries, end = _JSON.raw_decode(text)
        if _MINUS_ZERO.search(text):
            del entries  # not twice in memory
            entries, end = _JSON_WITH_SIGNS.raw_decode(text)
    except json.JSONDecodeError as error:
        at = _offset(text, error.pos)
        raise NotSafetensors(f"the header is no JSON: {error.msg[:1].lower()}{error.msg[1:]}, offset {at}") from None
    except RecursionError:
        raise NotSafetensors("the header is nested too deeply; nothing in it lies deeper than a shape") from None
    except ValueError:  # an integer of thousands of digits
        raise NotSafetensors("the header has a number beyond 64 bits") from None
    after = _NOT_A_SPACE.search(text, end)
    if after is not None:
        what = f"U+{ord(after[0]):04X} at offset {_offset(text, after.start())}"
        raise NotSafetensors(f"after the header's JSON only spaces may follow; there is {what}")
    if _SURROGATE.search(text):
        _check_characters(entries)
    found: _Object = entries
    return found


def _offset(text: str, position: int) -> int:
    """In the file, in bytes."""
    return LENGTH_BYTES + len(text[:position].encode())


def _check_characters(entries: _Object) -> None:
    """No half of a surrogate pair where any text may stand: in names and metadata."""
    texts = [name for name, _ in entries]
    for name, entry in entries:
        if name == _METADATA and type(entry) is tuple:
            texts += [text for pair in entry for text in pair if type(text) is str]
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise NotSafetensors(f"the header has half of a surrogate pair in {quoted(text)}") from None


def _check_names(entries: _Object) -> None:
    if len({name for name, _ in entries}) < len(entries):
        raise NotSafetensors(f"the header has {quoted(first_repeated(entries))} twice")


def _check_tiling(tensors: Sequence[Tensor]) -> None:
    """Sorted by where they lie, each begins where the one before ends."""
    end = 0
    for place, tensor in enumerate(tensors):
        if tensor[3] != end:
            raise NotSafetensors(_fault_of_place(tensors, place, end))
        end = tensor[4]


def _fault_of_place(tensors: Sequence[Tensor], place: int, end: int) -> str:
    name, begin = quoted(tensors[place].name), tensors[place].begin
    if begin < end:
        return f"tensor {name} begins at byte {begin} of the data, inside tensor {quoted(tensors[place - 1].name)}"
    before = f"tensor {quoted(tensors[place - 1].name)}" if place else "the beginning"
    return f"the data have a hole of {begin - end} bytes at byte {end}, between {before} and tensor {name}"


def _check_size(header: Header, file_size: int | None) -> None:
    wanted = header.file_size
    if file_size is None or file_size == wanted:
        return
    if file_size < wanted:
        raise NotSafetensors(
            f"the file is cut off: it has {file_size} of the {wanted} bytes that its header tells of" + _ANEW
        )
    extra = file_size - wanted
    raise NotSafetensors(f"the file goes on for {extra} bytes after its last tensor; by its header it has {wanted}")
