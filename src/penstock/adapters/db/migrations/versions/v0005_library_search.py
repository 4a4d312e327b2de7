"""What assets can be found by, and listings of their own for the library and the trash."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic import op

from penstock.domain.library import NAME
from penstock.domain.search import fold, words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_BATCH = 1000
_NEXT = sa.text(
    "SELECT id, account_id, created_at, name, tags, kind, content_type, folder_id, run_id, deleted_at FROM assets"
    " WHERE id > :after ORDER BY id LIMIT :batch"
)
_SAY = sa.text("UPDATE assets SET terms = :terms WHERE id = :id")
_POST = sa.text(
    "INSERT INTO asset_terms (account_id, term, created_at, asset_id)"
    " VALUES (:account_id, :term, :created_at, :asset_id)"
)


def upgrade() -> None:
    """What exists becomes findable too."""
    op.add_column("assets", sa.Column("terms", _WORD, nullable=False, server_default=sa.text("''")))
    op.create_table(
        "asset_terms",
        sa.Column("account_id", _WORD, nullable=False),
        sa.Column("term", _WORD, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("asset_id", _WORD, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "term", "created_at", "asset_id", name="pk_asset_terms"),
        sqlite_with_rowid=False,
    )
    op.drop_index("ix_assets_account_id_created_at_id", "assets")
    listed = sa.text("deleted_at IS NULL AND purged_at IS NULL")
    trash = sa.text("deleted_at IS NOT NULL AND purged_at IS NULL")
    op.create_index(
        "ix_assets_listed",
        "assets",
        ["account_id", "created_at", "id"],
        sqlite_where=listed,
        postgresql_where=listed,
    )
    op.create_index(
        "ix_assets_trash", "assets", ["account_id", "deleted_at", "id"], sqlite_where=trash, postgresql_where=trash
    )
    _index_all()


def _index_all() -> None:
    connection, after = op.get_bind(), ""
    while rows := connection.execute(_NEXT, {"after": after, "batch": _BATCH}).mappings().all():
        terms = [_terms(row) for row in rows]
        lines = [{"id": row["id"], "terms": _lines(some)} for row, some in zip(rows, terms, strict=True)]
        connection.execute(_SAY, lines)
        posted = [
            {"account_id": row["account_id"], "term": term, "created_at": row["created_at"], "asset_id": row["id"]}
            for row, some in zip(rows, terms, strict=True)
            if row["deleted_at"] is None
            for term in some
            if not term.startswith(NAME)
        ]
        if posted:
            connection.execute(_POST, posted)
        after = rows[-1]["id"]


def _terms(row: sa.RowMapping) -> Sequence[str]:
    """As of this version: a later one indexes anew what it finds by other words."""
    tags = json.loads(row["tags"]) if row["tags"] else []
    terms = [f"w{word}" for word in words_of((row["name"], *tags))]
    terms += [f"t{tag}" for tag in tags]
    terms += [f"k{row['kind']}", f"c{row['content_type']}", f"f{row['folder_id'] or ''}"]
    if row["run_id"] is not None:
        terms.append(f"r{row['run_id']}")
    return tuple(dict.fromkeys([*terms, NAME + fold(row["name"])]))


def _lines(terms: Sequence[str]) -> str:
    return "\n" + "".join(f"{term}\n" for term in terms)
