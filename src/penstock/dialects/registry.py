"""Every dialect there is. A new product adds its line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.dialects import modelroute, modelrunner, native, runflow, runware, runway

if TYPE_CHECKING:
    from penstock.dialects.base import Dialect

DIALECTS: tuple[Dialect, ...] = (
    native.DIALECT,
    modelrunner.DIALECT,
    modelroute.DIALECT,
    runway.DIALECT,
    runflow.DIALECT,
    runware.DIALECT,
)
