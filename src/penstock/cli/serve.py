"""`penstock serve`: all parts under a supervisor, or one of them in this process."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from penstock.cli.configuration import load_settings
from penstock.cli.options import DataOption


class Part(StrEnum):
    """A part that can be served alone."""

    API = "api"
    STORE = "store"
    WORKER = "worker"


def _port_option(help_text: str) -> object:
    return typer.Option(min=0, max=65535, metavar="PORT", help=help_text)


def serve(  # noqa: PLR0913, PLR0917 - one per option; typer calls it
    data: DataOption = None,
    host: Annotated[str | None, typer.Option(metavar="HOST", help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, _port_option("Port of the API; 0: a free one. [default: 8000]")] = None,
    store_port: Annotated[int | None, _port_option("Port of the object store; 0: a free one. [default: 9000]")] = None,
    metrics_port: Annotated[
        int | None, _port_option("Port of the store's metrics, on 127.0.0.1; 0: a free one. [default: none]")
    ] = None,
    only: Annotated[Part | None, typer.Option(help="Serve this part alone, in this process.")] = None,
    dev: Annotated[
        bool, typer.Option("--dev", help="Let callbacks and downloads reach this machine (loopback).")
    ] = False,
) -> None:
    """Serve the API, the object store and the worker. Stops on SIGTERM or Ctrl-C."""
    settings = load_settings(
        data=data, host=host, port=port, store_port=store_port, store_metrics_port=metrics_port, dev=dev
    )
    if only is not None:
        from penstock.cli.serving import serve_part

        serve_part(only.value, settings)
        return

    from penstock.cli.supervisor import Plan, become_supervisor

    become_supervisor(
        Plan(
            data=str(settings.data.absolute()),
            host=settings.host,
            port=settings.port,
            store_port=settings.store_port,
            metrics_port=settings.store_metrics_port,
            embedded_store=settings.embedded_store,
            private_networks=settings.allow_private_networks,
            dev=dev,
        )
    )
