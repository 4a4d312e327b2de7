"""How far a run is, when it must end, and what its owner removed of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What exists has no deadline, and nothing of it was removed."""
    op.add_column("runs", sa.Column("progress", sa.Float()))
    op.add_column("runs", sa.Column("deadline_at", sa.BigInteger()))
    op.add_column("runs", sa.Column("deleted_at", sa.BigInteger()))
    op.add_column("runs", sa.Column("payloads_deleted_at", sa.BigInteger()))
