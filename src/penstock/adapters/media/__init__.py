"""Media files, looked into by child processes that can do nothing but look."""

from penstock.adapters.media.inspector import ChildInspector

__all__ = ["ChildInspector"]
