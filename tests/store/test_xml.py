from __future__ import annotations

import pytest

from penstock.store import xml
from penstock.store.faults import Refused


def test_a_document_is_read_whatever_its_namespace_and_prefix() -> None:
    tree = xml.parse(b'<s:Delete xmlns:s="http://n/"><s:Object><s:Key>a&amp;b</s:Key></s:Object></s:Delete>', "Delete")

    assert [node.findtext("Key") for node in tree.iter("Object")] == ["a&b"]


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<Delete>",
        b"<Other/>",
        b"<Delete/><Delete/>",
        b"\xff",
        b"<Delete>\0</Delete>",
        b'<!DOCTYPE Delete [<!ENTITY e "e">]><Delete>&e;</Delete>',
        b"<Delete>&e;</Delete>",
    ],
)
def test_what_is_no_such_document_is_refused(document: bytes) -> None:
    with pytest.raises(Refused):
        xml.parse(document, "Delete")
