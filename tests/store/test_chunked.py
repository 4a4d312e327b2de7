from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.store.chunked import ChunkedDecoder
from penstock.store.faults import Refused

WIRE = b"5\r\nhello\r\n6;name=value\r\n world\r\n0\r\nX-Trailer: a\r\n\r\nNEXT"


class Witness:
    """Writes down what a watcher hears."""

    def __init__(self) -> None:
        self.chunks: list[tuple[str, bytes]] = []
        self.ended = 0

    def begin(self, extension: str) -> None:
        self.chunks.append((extension, b""))

    def data(self, piece: bytes) -> None:
        extension, so_far = self.chunks[-1]
        self.chunks[-1] = (extension, so_far + piece)

    def end(self) -> None:
        self.ended += 1


@pytest.mark.parametrize("first", range(len(WIRE) + 1))
def test_cut_at_any_two_places_the_chunks_their_extensions_and_the_trailer_are_the_same(first: int) -> None:
    for second in range(first, len(WIRE) + 1):
        witness = Witness()
        decoder = ChunkedDecoder(witness)
        rest = b""
        for piece in (WIRE[:first], WIRE[first:second], WIRE[second:]):
            if decoder.done:
                rest += piece
            else:
                decoder.feed(piece)

        assert witness.chunks == [("", b"hello"), ("name=value", b" world"), ("", b"")]
        assert witness.ended == 3
        assert decoder.trailer == [("x-trailer", "a")]
        assert decoder.leftover + rest == b"NEXT"


CHUNKS = st.lists(st.binary(min_size=1, max_size=40), max_size=5)


def on_the_wire(chunks: list[bytes]) -> bytes:
    return b"".join([b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""]])


@given(chunks=CHUNKS, following=st.binary(max_size=20))
def test_what_was_chunked_is_decoded_and_what_follows_is_left(chunks: list[bytes], following: bytes) -> None:
    decoder = ChunkedDecoder()

    assert b"".join(decoder.feed(on_the_wire(chunks) + following)) == b"".join(chunks)
    assert decoder.done
    assert decoder.leftover == following


@given(chunks=CHUNKS, kept=st.floats(0, 1, exclude_max=True))
def test_no_beginning_of_a_body_is_a_whole_one(chunks: list[bytes], kept: float) -> None:
    wire = on_the_wire(chunks)
    decoder = ChunkedDecoder()

    decoder.feed(wire[: int(kept * len(wire))])

    assert not decoder.done


@given(
    st.lists(st.sampled_from([b"5", b"0", b"a", b"\r\n", b"\n", b"\r", b";x=y", b" ", b"hello", b"-", b"0x", b"\x00"]))
)
def test_noise_is_decoded_in_the_one_way_that_it_can_be_read_or_refused(fragments: list[bytes]) -> None:
    wire = b"".join(fragments)
    decoder = ChunkedDecoder()
    try:
        payload = b"".join(decoder.feed(wire))
    except Refused:
        return

    if decoder.done:
        assert plainly_decoded(wire) == (payload, decoder.leftover)


def plainly_decoded(wire: bytes) -> tuple[bytes, bytes]:
    """The same grammar, read from the front of a whole buffer (RFC 9112 §7.1)."""
    payload = b""
    while True:
        line, _, wire = wire.partition(b"\r\n")
        size = int(re.fullmatch(rb"([0-9a-fA-F]+)[ \t]*(;[\x20-\x7e\t]*)?", line)[1], 16)  # type: ignore[index]  # it must match
        if not size:
            break
        payload += wire[:size]
        assert wire[size : size + 2] == b"\r\n"
        wire = wire[size + 2 :]
    while wire.partition(b"\r\n")[0]:
        wire = wire.partition(b"\r\n")[2]
    return payload, wire.partition(b"\r\n")[2]


@given(st.lists(st.integers(0, len(WIRE)), max_size=8))
def test_however_the_bytes_are_cut_the_payload_is_the_same(cuts: list[int]) -> None:
    decoder = ChunkedDecoder()
    bounds = [0, *sorted(cuts), len(WIRE)]

    payload, rest = b"", b""
    for start, end in pairwise(bounds):
        if decoder.done:
            rest += WIRE[start:end]
            continue
        payload += b"".join(decoder.feed(WIRE[start:end]))

    assert payload == b"hello world"
    assert decoder.done
    assert decoder.leftover + rest == b"NEXT"


@pytest.mark.parametrize(
    "wire",
    [
        b"5\r\nhelloX\r\n",
        b"5\r\nhello world\r\n",
        b"g\r\n",
        b"-5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"\r\n",
        b"5\nhello\n0\n\n",
        b"5;" + b"a" * 5000,
        b"ffffffffffffffffffff\r\n",
        b"5 5\r\n",
        b"0\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
    ],
)
def test_a_badly_framed_chunk_is_refused(wire: bytes) -> None:
    decoder = ChunkedDecoder()

    with pytest.raises(Refused) as refused:
        decoder.feed(wire)

    assert refused.value.fault.status == 400


def test_an_unfinished_body_is_not_done() -> None:
    decoder = ChunkedDecoder()

    assert decoder.feed(b"5\r\nhello\r\n") == [b"hello"]
    assert not decoder.done
