"""Model files: all parts, or one (`bench models --part NAME`); other options go to the parts."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from bench import headers, model_pipeline, model_ranges, weights

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS: dict[str, Callable[[list[str]], None]] = {
    "headers": headers.main,
    "pipeline": model_pipeline.main,
    "ranges": model_ranges.main,
    "rewriting": weights.main,
}


def main(arguments: list[str]) -> None:
    """Run one part or all of them."""
    parser = argparse.ArgumentParser(prog="bench models", description=__doc__, add_help=False)
    parser.add_argument("--part", choices=sorted(PARTS))
    options, rest = parser.parse_known_args(arguments)
    for name in [options.part] if options.part else list(PARTS):
        print(f"-- {name}", flush=True)
        PARTS[name](rest)
