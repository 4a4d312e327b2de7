"""Composition: the only room that names an adapter. Reads like a parts list, and offers what the command line calls.

Imports stand inside the functions: a store process must not pay for a database library, nor a worker for a web one.
"""

from penstock.app.administration import Administration, Sweeping, administration, migrate, sweeping
from penstock.app.api import serve_api
from penstock.app.store import StorePlan, check_store, create_store_key, plan_store, rotate_store_keys, serve_store
from penstock.app.worker import serve_worker
from penstock.domain.errors import PenstockError
from penstock.domain.quotas import NO_LIMIT, Limits, Quota, Usage

__all__ = [
    "NO_LIMIT",
    "Administration",
    "Limits",
    "PenstockError",
    "Quota",
    "StorePlan",
    "Sweeping",
    "Usage",
    "administration",
    "check_store",
    "create_store_key",
    "migrate",
    "plan_store",
    "rotate_store_keys",
    "serve_api",
    "serve_store",
    "serve_worker",
    "sweeping",
]
