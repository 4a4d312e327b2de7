from __future__ import annotations

from hashlib import md5

from penstock.sigv4 import multipart_etag


def test_a_multipart_etag_is_the_md5_of_the_parts_md5s_and_their_number() -> None:
    parts = [md5(b"a" * 5, usedforsecurity=False).digest(), md5(b"b", usedforsecurity=False).digest()]

    assert multipart_etag(parts) == f'"{md5(parts[0] + parts[1], usedforsecurity=False).hexdigest()}-2"'


def test_even_a_single_part_has_its_number_in_the_etag() -> None:
    digest = md5(b"hello", usedforsecurity=False).digest()

    assert multipart_etag([digest]) == '"' + md5(digest, usedforsecurity=False).hexdigest() + '-1"'
