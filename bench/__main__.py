"""`python -m bench [NAME …]` runs the named benchmarks, or all; `python -m bench NAME --help` tells one's options."""

from __future__ import annotations

import sys
from itertools import takewhile
from typing import TYPE_CHECKING

from bench import control_plane, dialects, intake, library, models, polling, store, sweeps

if TYPE_CHECKING:
    from collections.abc import Callable

BENCHMARKS: dict[str, Callable[[list[str]], None]] = {
    "control-plane": control_plane.main,
    "dialects": dialects.main,
    "intake": intake.main,
    "library": library.main,
    "models": models.main,
    "polling": polling.main,
    "store": store.main,
    "sweeps": sweeps.main,
}


def main(arguments: list[str]) -> int:
    """Run them in order; what follows the names are their options. The exit status is 2 for an unknown name."""
    names = list(takewhile(lambda argument: not argument.startswith("-"), arguments))
    options = arguments[len(names) :]
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown or (options and not names):
        print(f"unknown: {', '.join(unknown) or options[0]}; known: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    for name in names or list(BENCHMARKS):
        print(f"== {name}", flush=True)
        BENCHMARKS[name](options)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
