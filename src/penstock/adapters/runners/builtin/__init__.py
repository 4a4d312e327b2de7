"""The builtin runner: pictures made on the CPU by classical image processing, in a confined child process.

`runner.py` is the parent's side and imports no image library; `child.py` is what the child runs.
"""

from penstock.adapters.confinement import Limits
from penstock.adapters.runners.builtin.runner import BuiltinRunner

__all__ = ["BuiltinRunner", "Limits"]
