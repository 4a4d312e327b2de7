"""What `ports/library` means for finding assets, on SQLite and on PostgreSQL: the same as looking at each of them."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.db import library as adapter
from penstock.adapters.db.tables import asset_terms
from penstock.domain.ids import FolderId, RunId
from penstock.domain.library import AssetFilter, clauses_of, terms_of
from penstock.domain.media_types import Kind
from tests.support.records import HOUR, NOW, make_asset, open_account

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.adapters.db.database import SqlDatabase
    from penstock.domain.assets import Asset
    from penstock.domain.ids import AccountId

PLACES = ("beach", "Berg", "Bergsee", "berlin", "bern", "café", "城市")
THINGS = ("sunset", "Portrait", "IMG", "draft", "final")
TAGS = ("holiday", "client a", "2026", "draft")
TYPES = ((Kind.IMAGE, "image/png"), (Kind.IMAGE, "image/jpeg"), (Kind.VIDEO, "video/mp4"), (Kind.OTHER, "text/plain"))
FOLDERS = (None, FolderId("folder-1"), FolderId("folder-2"))


def _some_assets(account_id: AccountId, count: int, *, seed: int) -> list[Asset]:
    """Assets in which everything varies; several are created in the same microsecond."""
    chance = random.Random(seed)  # noqa: S311 - the same assets every time
    made = []
    for number in range(1, count + 1):
        kind, content_type = chance.choice(TYPES)
        words = f"{chance.choice(PLACES)}_{chance.choice(THINGS)}"
        made.append(
            make_asset(
                number + seed * 100_000,
                account_id,
                media_key=f"media-{seed}-{number}",
                name=f"{words}{chance.choice(('', '-2', ' (3)'))}.{number % 40}",
                kind=kind,
                content_type=content_type,
                size=chance.randrange(1000),
                tags=tuple(chance.sample(TAGS, chance.randrange(3))),
                folder_id=chance.choice(FOLDERS),
                run_id=RunId("run-1") if number % 50 == 0 else None,
                created_at=NOW + timedelta(seconds=number // 3),
                expires_at=chance.choice((None, None, NOW - HOUR, NOW + HOUR)),
                deleted_at=NOW + timedelta(seconds=chance.randrange(9)) if chance.random() < 0.1 else None,
            )
        )
    return made


def _fits(asset: Asset, wanted: AssetFilter) -> bool:
    """The filter's meaning, asset by asset."""
    if (asset.deleted_at is not None) != wanted.deleted:
        return False
    if not wanted.deleted and asset.expires_at is not None and asset.expires_at <= NOW:
        return False
    terms = terms_of(asset)
    held = all(
        any(term.startswith(one.term) if one.prefix else term == one.term for term in terms)
        for one in clauses_of(wanted)
    )
    return (
        held
        and (wanted.min_size is None or asset.size >= wanted.min_size)
        and (wanted.max_size is None or asset.size <= wanted.max_size)
        and (wanted.created_from is None or asset.created_at >= wanted.created_from)
        and (wanted.created_before is None or asset.created_at < wanted.created_before)
    )


def _expected(assets: Sequence[Asset], account_id: AccountId, wanted: AssetFilter) -> list[str]:
    fitting = [asset for asset in assets if asset.account_id == account_id and _fits(asset, wanted)]
    order = sorted(
        fitting,
        key=lambda asset: (asset.deleted_at if wanted.deleted else asset.created_at, asset.id),
        reverse=not wanted.ascending,
    )
    return [asset.id for asset in order]


def _found(database: SqlDatabase, account_id: AccountId, wanted: AssetFilter, *, limit: int) -> list[str]:
    """All pages of a listing."""
    ids: list[str] = []
    past = None
    while True:
        with database.read() as tx:
            page = tx.library.find(account_id, wanted, past=past, limit=limit, now=NOW)
        assert len(page.assets) <= limit
        ids += [asset.id for asset in page.assets]
        if page.rest is None:
            return ids
        assert page.rest != past
        past = page.rest


def _posted(database: SqlDatabase) -> set[tuple[str, str]]:
    with database.gate.read() as connection:
        return {(row.asset_id, row.term) for row in connection.execute(asset_terms.select())}


def _keep(database: SqlDatabase, assets: Sequence[Asset]) -> None:
    with database.write() as tx:
        for asset in assets:
            tx.assets.add(asset)


FILTERS = {
    "nothing": AssetFilter(),
    "oldest first": AssetFilter(ascending=True),
    "a whole word and a beginning": AssetFilter(query="draft ber"),
    "a beginning alone": AssetFilter(query="be"),
    "a beginning of many words": AssetFilter(query="1"),
    "a word without its accent": AssetFilter(query="CAFE"),
    "one character of a script without spaces": AssetFilter(query="市"),
    "a word that nothing has": AssetFilter(query="nowhere"),
    "only signs": AssetFilter(query="_-"),
    "how the name begins": AssetFilter(name="Berg_P"),
    "how the name begins, signs included": AssetFilter(name="café_img ("),
    "a type": AssetFilter(content_type="image/png"),
    "a family of types": AssetFilter(content_type="image/*"),
    "a kind": AssetFilter(kind=Kind.VIDEO),
    "a folder": AssetFilter(folder_id=FolderId("folder-1")),
    "no folder": AssetFilter(at_top=True),
    "two tags": AssetFilter(tags=("holiday", "client a")),
    "a run": AssetFilter(run_id=RunId("run-1")),
    "sizes": AssetFilter(min_size=100, max_size=299),
    "times": AssetFilter(created_from=NOW + timedelta(seconds=20), created_before=NOW + timedelta(seconds=60)),
    "times, oldest first": AssetFilter(
        created_from=NOW + timedelta(seconds=20), created_before=NOW + timedelta(seconds=60), ascending=True
    ),
    "everything at once": AssetFilter(
        query="be", kind=Kind.IMAGE, tags=("holiday",), min_size=50, at_top=True, created_from=NOW, ascending=True
    ),
    "the trash": AssetFilter(deleted=True),
    "some of the trash": AssetFilter(deleted=True, kind=Kind.IMAGE, query="be", created_from=NOW),
}


@pytest.fixture
def little_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds as a library a thousand times as large would meet them."""
    monkeypatch.setattr(adapter, "_WINDOWS", (4, 8, 16))
    monkeypatch.setattr(adapter, "_FEW", 20)
    monkeypatch.setattr(adapter, "_MOST_WORDS", 4)
    monkeypatch.setattr(adapter, "_RARE", 20)
    monkeypatch.setattr(adapter, "_WIDEST", 16)


@pytest.mark.usefixtures("little_looking")
def test_a_listing_shows_what_fits_and_nothing_else_in_order(database: SqlDatabase) -> None:
    acme, zenith = open_account(database, "acme"), open_account(database, "zenith")
    assets = [*_some_assets(acme, 400, seed=1), *_some_assets(zenith, 40, seed=2)]
    _keep(database, assets)

    for says, wanted in FILTERS.items():
        for account_id in (acme, zenith):
            found = _found(database, account_id, wanted, limit=3)
            assert found == _expected(assets, account_id, wanted), says


def test_a_large_page_shows_the_same_as_small_ones(database: SqlDatabase) -> None:
    acme = open_account(database)
    assets = _some_assets(acme, 300, seed=1)
    _keep(database, assets)

    for says, wanted in FILTERS.items():
        assert _found(database, acme, wanted, limit=100) == _expected(assets, acme, wanted), says


@pytest.mark.usefixtures("little_looking")
def test_a_page_looks_at_so_much_and_says_where_to_go_on(database: SqlDatabase) -> None:
    acme = open_account(database)
    assets = [
        make_asset(number, acme, kind=Kind.IMAGE if number > 1 else Kind.VIDEO, size=number) for number in range(1, 101)
    ]
    _keep(database, assets)

    with database.read() as tx:
        page = tx.library.find(acme, AssetFilter(max_size=1), past=None, limit=3, now=NOW)

    assert page.assets == []
    assert page.rest == (assets[72].created_at, assets[72].id)
    assert _found(database, acme, AssetFilter(max_size=1), limit=3) == [assets[0].id]


@pytest.mark.usefixtures("little_looking")
def test_what_existed_throughout_is_seen_once_while_others_come_and_go(database: SqlDatabase) -> None:
    acme = open_account(database)
    assets = [make_asset(number, acme, tags=("holiday",)) for number in range(1, 61)]
    _keep(database, assets)
    seen: list[str] = []
    past = None

    for turn in range(100):
        with database.read() as tx:
            page = tx.library.find(acme, AssetFilter(tags=("holiday",)), past=past, limit=3, now=NOW)
        seen += [asset.id for asset in page.assets]
        if page.rest is None:
            break
        past = page.rest
        with database.write() as tx:
            tx.assets.add(make_asset(1000 + turn, acme, tags=("holiday",)))
            tx.assets.add(make_asset(2000 + turn, acme, created_at=NOW, tags=("holiday",)))
            for gone in assets[-2 * turn - 2 : -2 * turn or None]:
                tx.assets.replace(replace(gone, deleted_at=NOW))

    stayed = {asset.id for asset in assets[:20]}
    assert len(seen) == len(set(seen))
    assert stayed <= set(seen)


def test_what_is_posted_is_what_the_assets_say(database: SqlDatabase) -> None:
    acme = open_account(database)
    assets = _some_assets(acme, 30, seed=3)
    _keep(database, assets)
    changed = [
        replace(assets[0], name="Entirely different.png", tags=("new",), folder_id=FolderId("elsewhere")),
        replace(assets[1], deleted_at=NOW),
        *[replace(asset, deleted_at=None) for asset in assets[2:] if asset.deleted_at is not None],
        replace(assets[5], sha256="cd" * 32, deleted_at=None),
    ]

    with database.write() as tx:
        for asset in changed:
            tx.assets.replace(asset)
        tx.asset_sweeps.remove([assets[6].id])

    now = {asset.id: asset for asset in [*assets, *changed]}
    del now[assets[6].id]
    assert _posted(database) == {
        (asset.id, term)
        for asset in now.values()
        if asset.deleted_at is None
        for term in terms_of(asset)
        if not term.startswith("n")
    }


def test_tags_in_use_are_listed_in_order(database: SqlDatabase) -> None:
    acme, zenith = open_account(database, "acme"), open_account(database, "zenith")
    _keep(
        database,
        [
            make_asset(1, acme, tags=("beach", "berlin", "ångström")),
            make_asset(2, acme, tags=("beach", "beach 2")),
            make_asset(3, acme, tags=("zoo",), deleted_at=NOW),
            make_asset(4, zenith, tags=("another's",)),
        ],
    )

    with database.read() as tx:
        assert tx.library.tags(acme, prefix="", past="", limit=10) == ["beach", "beach 2", "berlin", "ångström"]
        assert tx.library.tags(acme, prefix="be", past="", limit=2) == ["beach", "beach 2"]
        assert tx.library.tags(acme, prefix="be", past="beach 2", limit=2) == ["berlin"]
        assert tx.library.tags(acme, prefix="beach", past="beach", limit=2) == ["beach 2"]
        assert tx.library.tags(acme, prefix="c", past="", limit=2) == []


def test_many_assets_are_read_at_once_deleted_ones_too_but_no_others(database: SqlDatabase) -> None:
    acme, zenith = open_account(database, "acme"), open_account(database, "zenith")
    mine, gone = make_asset(1, acme), make_asset(2, acme, deleted_at=NOW)
    theirs = make_asset(3, zenith)
    _keep(database, [mine, gone, theirs])

    for transaction in (database.read, database.write):
        with transaction() as tx:
            assert tx.library.many(acme, [theirs.id, gone.id, mine.id]) == {mine.id: mine, gone.id: gone}
            assert tx.library.many(acme, []) == {}


def test_assets_in_a_folder_are_found_but_for_deleted_ones(database: SqlDatabase) -> None:
    acme = open_account(database)
    here = FolderId("here")
    inside = [make_asset(number, acme, folder_id=here) for number in (1, 2, 3)]
    _keep(database, [*inside, make_asset(4, acme), make_asset(5, acme, folder_id=here, deleted_at=NOW)])

    with database.write() as tx:
        assert list(tx.library.in_folder(acme, here, limit=10)) == inside
        assert len(tx.library.in_folder(acme, here, limit=2)) == 2
