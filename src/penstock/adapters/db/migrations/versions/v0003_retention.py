"""What finds old events and idempotency keys, so that they can go."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_FINAL = sa.text(
    "kind IN ('run.cancelled', 'run.failed', 'run.succeeded',"
    " 'upload.aborted', 'upload.expired', 'upload.failed', 'upload.ready')"
)


def upgrade() -> None:
    """Indexes alone."""
    op.create_index("ix_events_final", "events", ["created_at"], sqlite_where=_FINAL, postgresql_where=_FINAL)
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
