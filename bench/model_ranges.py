"""A model from a server that gives each connection little: by one connection, and by several beside each other."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.model_pipeline import made_file, open_place, open_source
from bench.processes import peak_mb
from penstock.domain.model_uploads import Phase

if TYPE_CHECKING:
    from bench.model_pipeline import File, Source


def main(arguments: list[str]) -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(prog="bench models --part ranges", description=__doc__)
    parser.add_argument("--mb", type=int, default=600, help="of the file")
    parser.add_argument("--rate", type=int, default=20, help="MB/s that the server gives each connection")
    parser.add_argument("--delay", type=float, default=0.1, help="seconds before each answer begins")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 4])
    options = parser.parse_args(arguments)
    file = replace(made_file("BF16", options.mb), rate=options.rate * 1_000_000, delay=options.delay)
    print(f"{file.size / 1e6:.0f} MB, {options.rate} MB/s per connection, each answer after {options.delay} s")
    with open_source({"slow": file}) as source:
        for connections in options.connections:
            _measure(source, file, connections)


def _measure(source: Source, file: File, connections: int) -> None:
    settings = {"PENSTOCK_MODEL_DOWNLOAD_CONNECTIONS": str(connections), "PENSTOCK_MODEL_PARALLEL_BYTES": "1"}
    with open_place(**settings) as place:
        account_id = place.open_account("acme")
        before, asked = place.cpu("worker"), len(source.answers)
        began = time.perf_counter()
        upload = place.wait(place.begin(account_id, source.url("slow"), "acme:1@1"))
        seconds = time.perf_counter() - began
        assert upload.phase is Phase.READY, upload
        cpu = (place.cpu("worker") - before) / (file.size / 1e9)
        memory = peak_mb(place.worker())
    rate = file.size / seconds / 1e6
    print(f"by {connections}: {seconds:.1f} s, {rate:.0f} MB/s, {len(source.answers) - asked} requests", end=", ")
    print(f"worker {cpu:.1f} s of CPU per GB and {memory:.0f} MB at most", flush=True)
