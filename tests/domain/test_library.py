"""Terms of assets, clauses of filters, and what binds a cursor to its listing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from penstock.domain.errors import InvalidField
from penstock.domain.ids import AccountId, FolderId, RunId
from penstock.domain.library import AssetFilter, Clause, check_filter, clauses_of, fingerprint, terms_of
from penstock.domain.media_types import Kind
from tests.support.records import NOW, make_asset

ASSET = make_asset(
    1,
    AccountId("a"),
    name="Été_Sun.jpg",
    tags=("beach day",),
    folder_id=FolderId("f1"),
    run_id=RunId("r1"),
    content_type="image/jpeg",
)


def test_an_asset_has_a_term_for_everything_it_is_found_by() -> None:
    assert set(terms_of(ASSET)) == {
        *("wete", "wsun", "wjpg", "wbeach", "wday"),
        *("tbeach day", "kimage", "cimage/jpeg", "ff1", "rr1", "nete_sun.jpg"),
    }
    assert "f" in terms_of(replace(ASSET, folder_id=None))


@pytest.mark.parametrize(
    ("wanted", "clauses"),
    [
        (AssetFilter(), ()),
        (AssetFilter(query="Été be"), (Clause(term="wete"), Clause(term="wbe", prefix=True))),
        (AssetFilter(query="sun", tags=("sun",)), (Clause(term="wsun", prefix=True), Clause(term="tsun"))),
        (
            AssetFilter(name="Ete_s"),
            (
                Clause(term="wete"),
                Clause(term="ws", prefix=True),
                Clause(term="nete_s", prefix=True, indexed=False),
            ),
        ),
        (AssetFilter(content_type="IMAGE/*"), (Clause(term="cimage/", prefix=True),)),
        (AssetFilter(content_type="image/png"), (Clause(term="cimage/png"),)),
        (AssetFilter(kind=Kind.VIDEO, at_top=True), (Clause(term="f"), Clause(term="kvideo"))),
    ],
)
def test_a_filter_is_a_list_of_clauses(wanted: AssetFilter, clauses: tuple[Clause, ...]) -> None:
    assert clauses_of(wanted) == clauses


def test_a_fingerprint_tells_filters_apart() -> None:
    filters = [
        AssetFilter(),
        AssetFilter(ascending=True),
        AssetFilter(deleted=True),
        AssetFilter(query="a"),
        AssetFilter(name="a"),
        AssetFilter(created_from=NOW),
        AssetFilter(created_before=NOW),
        AssetFilter(tags=("a",)),
        AssetFilter(kind=Kind.IMAGE),
    ]

    assert len({fingerprint(wanted) for wanted in filters}) == len(filters)
    assert fingerprint(AssetFilter(query="a")) == fingerprint(AssetFilter(query="a"))


@pytest.mark.parametrize(
    "wanted",
    [
        AssetFilter(min_size=2, max_size=1),
        AssetFilter(tags=tuple("abcdefghi")),
        AssetFilter(query="x" * 201),
        AssetFilter(name="x" * 201),
    ],
    ids=["sizes", "tags", "query", "name"],
)
def test_a_filter_that_asks_too_much_is_refused(wanted: AssetFilter) -> None:
    with pytest.raises(InvalidField):
        check_filter(wanted)
