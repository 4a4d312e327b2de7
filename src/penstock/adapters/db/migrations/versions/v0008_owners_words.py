"""Until when an upload waits for its owner's word, and what the caller of a run calls it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """What exists waits for nobody, and is called nothing."""
    op.add_column("uploads", sa.Column("confirm_by", sa.BigInteger()))
    op.add_column("runs", sa.Column("client_ref", _WORD))
