"""A library as people have it, straight into the tables: names of cameras and of people, Zipf words, tags, folders."""

from __future__ import annotations

import bisect
import itertools
import json
import random
import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from penstock.adapters.db.columns import EPOCH
from penstock.adapters.db.tables import asset_terms, assets
from penstock.adapters.db.terms import lines_of
from penstock.domain.assets import Asset
from penstock.domain.ids import AccountId, AssetId, FolderId, MediaKey, UploadId, uuid4_text
from penstock.domain.library import NAME
from penstock.domain.media_types import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

LARGE = AccountId("00000000-0000-4000-8000-000000000001")
SMALL_ACCOUNTS, SMALL_ASSETS = 1000, 100
END = datetime(2026, 11, 1, tzinfo=UTC)
YEARS = timedelta(days=730)
FOLDERS = 2000
WORDS, TAGS = 20_000, 500
_SYLLABLES = [consonant + vowel for consonant in "bcdfghjklmnprstvwz" for vowel in "aeo"]
_TYPES = (
    (70, Kind.IMAGE, "image/jpeg", "jpg"),
    (85, Kind.IMAGE, "image/png", "png"),
    (90, Kind.IMAGE, "image/webp", "webp"),
    (97, Kind.VIDEO, "video/mp4", "mp4"),
    (99, Kind.AUDIO, "audio/mpeg", "mp3"),
    (100, Kind.OTHER, "application/pdf", "pdf"),
)
_BATCH = 20_000


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was put in, and how long it took."""

    assets: int
    terms: int
    seconds: float


def word(rank: int) -> str:
    """The word of a rank; the first are the commonest."""
    letters, number = [], rank + 37
    while number:
        number, place = divmod(number, len(_SYLLABLES))
        letters.append(_SYLLABLES[place])
    return "".join(letters)


def folder_id(number: int) -> FolderId:
    """The id of a folder."""
    return FolderId(f"f01de500-0000-4000-8000-{number:012d}")


def account_ids() -> list[AccountId]:
    """The large account, then the small ones."""
    return [LARGE, *(AccountId(f"00000000-0000-4000-8000-1{number:011d}") for number in range(SMALL_ACCOUNTS))]


def made(count: int, *, seed: int = 1) -> Iterator[Asset]:
    """The assets of the large account with those of the small ones among them, oldest first."""
    chance = random.Random(seed)  # noqa: S311 - the same library every time
    words, tags = _Zipf(WORDS, chance), _Zipf(TAGS, chance)
    small = itertools.cycle(account_ids()[1:])
    every = max(1, count // (SMALL_ACCOUNTS * SMALL_ASSETS))
    for number in range(count):
        at = END - YEARS + YEARS * number / count
        yield _asset(LARGE, at, number / count, chance, words, tags)
        if number % every == 0:
            yield _asset(next(small), at, number / count, chance, words, tags)


def load_sqlite(path: Path, count: int) -> Loaded:
    """Into a migrated database."""
    begun, connection = time.perf_counter(), sqlite3.connect(path)
    connection.execute("PRAGMA synchronous=OFF")
    _open_accounts(lambda statement, rows: connection.executemany(statement.replace("%s", "?"), rows))
    connection.execute("CREATE TEMP TABLE loading (account_id, term, created_at, asset_id)")
    columns = [column.name for column in assets.c]
    marks = ", ".join("?" * len(columns))
    for some in _batches(made(count)):
        rows = [_row(asset) for asset in some]
        connection.executemany(
            f"INSERT INTO assets ({', '.join(columns)}) VALUES ({marks})",  # noqa: S608 - names from the schema
            [tuple(row[name] for name in columns) for row in rows],
        )
        connection.executemany("INSERT INTO loading VALUES (?, ?, ?, ?)", _terms(rows))
    connection.execute("INSERT INTO asset_terms SELECT * FROM loading ORDER BY 1, 2, 3, 4")
    connection.execute("DROP TABLE loading")
    connection.commit()
    terms = connection.execute("SELECT COUNT(*) FROM asset_terms").fetchone()[0]
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return Loaded(count, terms, time.perf_counter() - begun)


def load_postgres(url: str, count: int) -> Loaded:
    """Into a migrated database; then what autovacuum would do in its own time."""
    import psycopg  # noqa: PLC0415 - not without PostgreSQL

    begun = time.perf_counter()
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        cursor = connection.cursor()
        _open_accounts(lambda statement, rows: cursor.executemany(statement.encode(), rows))
        connection.execute("ALTER TABLE asset_terms DROP CONSTRAINT pk_asset_terms")
        columns, terms = [column.name for column in assets.c], 0
        for some in _batches(made(count)):
            rows = [_row(asset) for asset in some]
            with cursor.copy(f"COPY assets ({', '.join(columns)}) FROM STDIN".encode()) as copy:
                for row in rows:
                    copy.write_row([row[name] for name in columns])
            with cursor.copy(b"COPY asset_terms FROM STDIN") as copy:
                for term in _terms(rows):
                    copy.write_row(term)
                    terms += 1
        key = ", ".join(column.name for column in asset_terms.primary_key)
        connection.execute(f"ALTER TABLE asset_terms ADD CONSTRAINT pk_asset_terms PRIMARY KEY ({key})".encode())
        connection.execute("VACUUM (ANALYZE)")
    return Loaded(count, terms, time.perf_counter() - begun)


class _Zipf:
    """Ranks, the first by far the likeliest."""

    def __init__(self, size: int, chance: random.Random) -> None:
        self._chance = chance
        self._up_to = list(itertools.accumulate(1 / (rank + 2) for rank in range(size)))

    def rank(self) -> int:
        return bisect.bisect(self._up_to, self._chance.random() * self._up_to[-1])


def _asset(
    account_id: AccountId, at: datetime, place: float, chance: random.Random, words: _Zipf, tags: _Zipf
) -> Asset:
    draw = chance.randrange(100)
    _, kind, content_type, extension = next(row for row in _TYPES if draw < row[0])
    identifier = uuid4_text(chance.randbytes(16))
    state = chance.randrange(200)
    return Asset(
        id=AssetId(identifier),
        account_id=account_id,
        upload_id=UploadId(identifier),
        run_id=None,
        name=f"{_name(at, place, chance, words)}.{extension}",
        size=int(chance.lognormvariate(13, 2)),
        sha256=chance.randbytes(32).hex(),
        content_type=content_type,
        declared_type=content_type,
        kind=kind,
        object_key=f"assets/{identifier}-{chance.randbytes(4).hex()}",
        media_key=MediaKey(f"{chance.randbytes(16).hex()}-file.{extension}"),
        created_at=at,
        expires_at=END - timedelta(days=1) if state == 0 else None,
        deleted_at=END - timedelta(seconds=chance.randrange(600_000)) if state == 1 else None,
        folder_id=folder_id(chance.randrange(FOLDERS)) if account_id == LARGE and chance.random() < 0.6 else None,  # noqa: PLR2004 - most
        tags=tuple(dict.fromkeys(f"tag {word(tags.rank())}" for _ in range(chance.choice((0, 0, 1, 2, 4))))),
    )


def _name(at: datetime, place: float, chance: random.Random, words: _Zipf) -> str:
    """`early` and `late` are common words that never meet: the first half's and the second's."""
    some = [word(words.rank()) for _ in range(3)]
    match chance.randrange(10):
        case 0 | 1 | 2 | 3:
            return f"IMG_{at:%Y%m%d_%H%M%S}{chance.randrange(1000):03d}"
        case 4:
            return f"Screenshot {at:%Y-%m-%d} at {at:%H.%M.%S}"
        case 5:
            return "".join(one.capitalize() for one in some)
        case 6:
            return chance.randbytes(16).hex()
        case _:
            return f"{some[0]}_{some[1]}-{'early' if place < 0.5 else 'late'} {some[2]}"  # noqa: PLR2004 - half


def _row(asset: Asset) -> dict[str, object]:
    ends = [end for end in (asset.deleted_at, asset.expires_at) if end is not None]
    values = {column.name: getattr(asset, column.name, None) for column in assets.c}
    values |= {
        "over_at": min(ends, default=None),
        "terms": lines_of(asset),
        "tags": json.dumps(asset.tags, separators=(",", ":")) if asset.tags else None,
        "kind": asset.kind.value,
        "intake": asset.intake.value,
    }
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: object) -> object:
    return (value - EPOCH) // timedelta(microseconds=1) if isinstance(value, datetime) else value


def _terms(rows: Sequence[dict[str, object]]) -> Iterator[tuple[object, ...]]:
    for row in rows:
        if row["deleted_at"] is None:
            for term in str(row["terms"]).split("\n"):
                if term and not term.startswith(NAME):
                    yield row["account_id"], term, row["created_at"], row["id"]


def _open_accounts(many: Callable[[str, list[tuple[object, ...]]], object]) -> None:
    at = _plain(END - YEARS)
    many(
        "INSERT INTO accounts (id, name, created_at) VALUES (%s, %s, %s)",
        [(one, f"account {number}", at) for number, one in enumerate(account_ids())],
    )
    many(
        "INSERT INTO folders (id, account_id, parent_id, name, created_at, updated_at) VALUES (%s, %s, '', %s, %s, %s)",
        [(folder_id(number), LARGE, f"folder {number}", at, at) for number in range(FOLDERS)],
    )


def _batches(found: Iterator[Asset]) -> Iterator[list[Asset]]:
    while some := list(itertools.islice(found, _BATCH)):
        yield some
