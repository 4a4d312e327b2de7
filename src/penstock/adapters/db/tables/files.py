"""Uploads and assets: what sweeps, listings and searches look for."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    and_,
    text,
)

from penstock.adapters.db.columns import Choice, Facts, Instant, Span, Tags, Word
from penstock.adapters.db.tables.schema import metadata, partial_index
from penstock.domain.assets import IntakeState
from penstock.domain.media_types import Kind
from penstock.domain.uploads import SizePolicy, TypePolicy, UploadMethod, UploadState

uploads = Table(
    "uploads",
    metadata,
    Column("id", Word, primary_key=True),
    Column("account_id", Word, ForeignKey("accounts.id"), nullable=False),
    Column("dialect", Word, nullable=False),
    Column("method", Choice(UploadMethod), nullable=False),
    Column("state", Choice(UploadState), nullable=False),
    Column("name", Word, nullable=False),
    Column("declared_type", Word, nullable=False),
    Column("declared_size", BigInteger),
    Column("size_policy", Choice(SizePolicy), nullable=False),
    Column("type_policy", Choice(TypePolicy), nullable=False),
    Column("min_size", BigInteger, nullable=False),
    Column("max_size", BigInteger, nullable=False),
    Column("staging_key", Word, nullable=False),
    Column("media_key", Word, nullable=False),
    Column("asset_id", Word),
    Column("failure", Word),
    Column("lifetime", Span),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("swept", Boolean(create_constraint=False), nullable=False, server_default=text("false")),
    Column("sha256", Word),
    Column("folder_id", Word),
    Column("tags", Tags),
    Column("part_size", BigInteger),
    Column("store_upload_id", Word),
    Column("final_key", Word),
    Column("source_url", Word),
    Column("reserved", BigInteger, nullable=False, server_default=text("0")),
    Column("confirm_by", Instant),
    UniqueConstraint("media_key"),
    Index(None, "account_id", "created_at", "id"),
)
# What sweeping still has to look at; both its questions (overdue, unswept) are ranges of this one index.
partial_index("ix_uploads_unswept", uploads.c.expires_at, where=~uploads.c.swept)

assets = Table(
    "assets",
    metadata,
    Column("id", Word, primary_key=True),
    Column("account_id", Word, ForeignKey("accounts.id"), nullable=False),
    Column("upload_id", Word),
    Column("run_id", Word),
    Column("name", Word, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Word),
    Column("content_type", Word, nullable=False),
    Column("declared_type", Word, nullable=False),
    Column("kind", Choice(Kind), nullable=False),
    Column("object_key", Word, nullable=False),
    Column("media_key", Word, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("deleted_at", Instant),
    # When a sweep has to look at it next, leases aside: at its expiry or the end of its time in the trash, whichever
    # comes first, to purge it; from `purged_at` on, while its objects may still be there; after that, when what is left
    # of it is to be forgotten. Kept by the repository, for its index.
    Column("over_at", Instant),
    Column("updated_at", Instant),
    Column("folder_id", Word),
    Column("tags", Tags),
    Column("facts", Facts),
    Column("intake", Choice(IntakeState), nullable=False, server_default="done"),
    Column("intake_problem", Word),
    Column("thumbnail_key", Word),
    Column("purge_at", Instant),
    Column("purged_at", Instant),
    Column("found_type", Word),
    # Its terms, one per line: in the index of terms are these exactly, while it is not deleted.
    Column("terms", Word, nullable=False, server_default=text("''")),
    UniqueConstraint("media_key"),
)
LISTED = and_(assets.c.deleted_at.is_(None), assets.c.purged_at.is_(None))
partial_index("ix_assets_listed", assets.c.account_id, assets.c.created_at, assets.c.id, where=LISTED)
IN_TRASH = and_(assets.c.deleted_at.is_not(None), assets.c.purged_at.is_(None))
partial_index("ix_assets_trash", assets.c.account_id, assets.c.deleted_at, assets.c.id, where=IN_TRASH)
partial_index("ix_assets_over_at", assets.c.over_at, where=assets.c.over_at.is_not(None))

# Who shares an object or a thumbnail, and which bytes an account has already.
Index("ix_assets_object_key", assets.c.object_key)
partial_index("ix_assets_thumbnail_key", assets.c.thumbnail_key, where=assets.c.thumbnail_key.is_not(None))
partial_index("ix_assets_sha256", assets.c.account_id, assets.c.sha256, where=assets.c.sha256.is_not(None))

# The parent of a folder at the top is the empty text, so that names are unique there too.
folders = Table(
    "folders",
    metadata,
    Column("id", Word, primary_key=True),
    Column("account_id", Word, ForeignKey("accounts.id"), nullable=False),
    Column("parent_id", Word, nullable=False),
    Column("name", Word, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    # Of a deleted one, no more seen: the folder into which it is being emptied. Its parent is itself then, so that its
    # name is free.
    Column("heir_id", Word),
    UniqueConstraint("account_id", "parent_id", "name"),
)

# What assets can be found by (`domain.library`): each term with its asset's place in a listing. Of deleted assets none.
asset_terms = Table(
    "asset_terms",
    metadata,
    Column("account_id", Word, nullable=False),
    Column("term", Word, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("asset_id", Word, nullable=False),
    PrimaryKeyConstraint("account_id", "term", "created_at", "asset_id"),
    sqlite_with_rowid=False,
)

asset_leases = Table(
    "asset_leases",
    metadata,
    Column("asset_id", Word, ForeignKey("assets.id", ondelete="CASCADE"), nullable=False),
    Column("run_id", Word, nullable=False),
    PrimaryKeyConstraint("asset_id", "run_id"),
    Index(None, "run_id"),
    sqlite_with_rowid=False,
)
