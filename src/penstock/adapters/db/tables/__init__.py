"""The schema. `migrations/` builds exactly this; a test compares the two on both databases.

Times are microseconds, money is billionths of a USD, JSON and enumerations are text (`columns`). A lookup by an
account's id and a thing's id goes through the thing's primary key; listings go through (account, created_at, id).
"""

from __future__ import annotations

from penstock.adapters.db.tables.accounts import account_quotas, accounts, api_keys, ledger_entries
from penstock.adapters.db.tables.callbacks import deliveries, delivery_attempts, webhook_endpoints, webhook_secrets
from penstock.adapters.db.tables.files import IN_TRASH, LISTED, asset_leases, asset_terms, assets, folders, uploads
from penstock.adapters.db.tables.models import (
    model_files,
    model_leases,
    model_sources,
    model_terms,
    model_uploads,
    models,
    storage_charges,
)
from penstock.adapters.db.tables.runs import runs
from penstock.adapters.db.tables.schema import metadata
from penstock.adapters.db.tables.work import FINAL, events, idempotency_keys, installation, jobs, schedules

__all__ = [
    "FINAL",
    "IN_TRASH",
    "LISTED",
    "account_quotas",
    "accounts",
    "api_keys",
    "asset_leases",
    "asset_terms",
    "assets",
    "deliveries",
    "delivery_attempts",
    "events",
    "folders",
    "idempotency_keys",
    "installation",
    "jobs",
    "ledger_entries",
    "metadata",
    "model_files",
    "model_leases",
    "model_sources",
    "model_terms",
    "model_uploads",
    "models",
    "runs",
    "schedules",
    "storage_charges",
    "uploads",
    "webhook_endpoints",
    "webhook_secrets",
]
