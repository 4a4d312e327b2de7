"""The Cog runner: models in containers that speak Cog's HTTP API for predictions."""

from penstock.adapters.runners.cog.callbacks import CogCallbacks
from penstock.adapters.runners.cog.runner import CogLimits, CogRunner

__all__ = ["CogCallbacks", "CogLimits", "CogRunner"]
