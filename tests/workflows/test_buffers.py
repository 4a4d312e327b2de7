from __future__ import annotations

import threading

from penstock.workflows.buffers import Buffers


def test_a_buffer_is_used_again_when_the_last_view_of_it_is_gone() -> None:
    buffers = Buffers(8)
    first = buffers.take()
    first[:] = b"12345678"
    part = first[2:4]
    del first

    other = buffers.take()
    other[:] = b"abcdefgh"
    kept = bytes(part)
    del part
    again = buffers.take()

    assert kept == b"34"
    assert bytes(again) == b"12345678"
    assert bytes(other) == b"abcdefgh"


def test_a_view_in_another_thread_keeps_its_buffer() -> None:
    buffers = Buffers(4)
    written, looked, seen = threading.Event(), threading.Event(), []

    def look(view: memoryview) -> None:
        written.wait()
        seen.append(bytes(view))
        view.release()
        looked.set()

    view = buffers.take()
    view[:] = b"mine"
    thread = threading.Thread(target=look, args=(view[:],))
    thread.start()
    del view
    buffers.take()[:] = b"more"
    written.set()
    looked.wait()
    thread.join()

    assert seen == [b"mine"]
