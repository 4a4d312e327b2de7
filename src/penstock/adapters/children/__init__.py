"""Sealed child processes: kept, asked one file after the other, replaced when a file breaks them (S12)."""

from penstock.adapters.children.messages import NoMessageError
from penstock.adapters.children.pool import ChildFailedError, ChildPool, Failure, NoChildError, PoolOptions
from penstock.adapters.children.process import ChildProgram

__all__ = [
    "ChildFailedError",
    "ChildPool",
    "ChildProgram",
    "Failure",
    "NoChildError",
    "NoMessageError",
    "PoolOptions",
]
