"""What a picture is in memory: a numpy array, height × width × channels in OpenCV's order (blue, green, red, alpha)."""

from __future__ import annotations

from typing import Any, TypeAlias

from numpy.typing import NDArray

Plane: TypeAlias = NDArray[Any]
"""An array of numbers or booleans; each function says of which shape and range."""
