"""`python -m bench [NAME …]`: runs the named benchmarks, or all."""

from __future__ import annotations

import sys

from bench import control_plane

BENCHMARKS = {"control-plane": control_plane.main}


def main(names: list[str]) -> int:
    """Run them in order; the exit status is 2 for an unknown name."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; known: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    for name in names or list(BENCHMARKS):
        print(f"== {name}")
        BENCHMARKS[name]()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
