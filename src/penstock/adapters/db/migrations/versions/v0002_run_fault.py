"""Whose fault it is that a run failed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Failed runs of before keep an empty place: nobody noted it."""
    op.add_column("runs", sa.Column("fault", _WORD))
