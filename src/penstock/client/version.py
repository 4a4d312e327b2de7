"""How the client introduces itself."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    _VERSION = version("penstock")
except PackageNotFoundError:  # run from a source tree that was never installed
    _VERSION = "0"
USER_AGENT = f"penstock-python/{_VERSION}"
