from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.store.chunked import ChunkedDecoder
from penstock.store.faults import Refused

WIRE = b"5\r\nhello\r\n6;name=value\r\n world\r\n0\r\nX-Trailer: a\r\n\r\nNEXT"


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
