"""The guarded fetcher: the only client for places that users name (docs/adr/0024-guarded-fetcher.md)."""

from penstock.adapters.fetch.fetcher import GuardedFetcher
from penstock.adapters.fetch.lines import Pace
from penstock.adapters.fetch.resolving import SystemResolver

__all__ = ["GuardedFetcher", "Pace", "SystemResolver"]
