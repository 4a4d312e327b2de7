"""The guarded fetcher: the only client for places that users name (docs/adr/0024-guarded-fetcher.md)."""

from penstock.adapters.fetch.fetcher import GuardedFetcher
from penstock.adapters.fetch.lines import Pace

__all__ = ["GuardedFetcher", "Pace"]
