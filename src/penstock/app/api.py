"""The API: every dialect under its mount, on one listener."""

from __future__ import annotations

import ctypes
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from penstock.app.parts import (
    Core,
    class_lifetimes,
    egress_rules,
    open_callbacks,
    open_core,
    open_storage_billing,
    rate_limits,
    run_terms,
)
from penstock.domain.errors import InvalidField, PenstockError
from penstock.telemetry import Log

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    import uvicorn
    from starlette.types import ASGIApp

    from penstock.ports.weights import Examiner
    from penstock.services.feed import Feed
    from penstock.services.health import Health
    from penstock.settings import Settings


_MAX_INLINE_BYTES = 10 * 2**20


_API_DRAIN_SECONDS = 8
_API_IDLE_SECONDS = 75
"""A client that asks every few seconds, as pollers do, keeps its connection; as long as that of the store."""


_API_BACKLOG = 2048


_M_ARENA_MAX = -8
_ARENAS = 2


_TLS_1_2_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Those with forward secrecy; TLS 1.3 has ciphers of its own, and nothing older is spoken."""


def serve_api(settings: Settings, *, ready: Callable[[], None], stop: threading.Event) -> None:
    """Serve every dialect until `stop` is set, then finish what is in flight. Blocks."""
    import gc

    import uvicorn

    from penstock.adapters.listener import PING_SECONDS, PONG_SECONDS, guarded_protocol, guarded_socket
    from penstock.adapters.weights.examiner import ChildExaminer
    from penstock.services.feed import Feed

    _share_heaps()
    core = open_core(settings, Log("api"))
    feed = Feed(core.database, core.open_changes)
    examiner = ChildExaminer(core.log)
    config = uvicorn.Config(
        _root_app(settings, core, feed, examiner),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=guarded_protocol(),
        ws=guarded_socket(),
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PONG_SECONDS,
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        backlog=_API_BACKLOG,
        timeout_keep_alive=_API_IDLE_SECONDS,
        timeout_graceful_shutdown=_API_DRAIN_SECONDS,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        ssl_ciphers=_TLS_1_2_CIPHERS,
    )
    _load(config)

    class ReadyServer(uvicorn.Server):
        """Tells when it listens; leaves the signals to our caller."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

    server = ReadyServer(config)
    threading.Thread(target=_end_when, args=(stop, server, feed), name="stop", daemon=True).start()
    # What the libraries brought along stays; looking through it again and again would hold every request up.
    gc.collect()
    gc.freeze()
    try:
        server.run()
    finally:
        feed.close()
        examiner.close()
        core.close()


def _share_heaps() -> None:
    """Forty threads that allocate would fill a heap of glibc's each (7 MB together); with the GIL two do as well."""
    with suppress(AttributeError):  # only glibc has many
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def _root_app(settings: Settings, core: Core, feed: Feed, examiner: Examiner) -> ASGIApp:
    """Every dialect under its mount, and what the operator asks at the root."""
    from penstock.dialects.base import Services
    from penstock.dialects.base.bodies import LargeBodies
    from penstock.dialects.base.mounts import Mounts
    from penstock.dialects.base.rates import X_RATE_LIMIT
    from penstock.dialects.base.streams import Streams
    from penstock.dialects.registry import DIALECTS
    from penstock.domain.weights import ModelCheck
    from penstock.services.contents import Contents
    from penstock.services.examinations import Examinations
    from penstock.services.folders import Folders
    from penstock.services.health import Health
    from penstock.services.imports import Imports
    from penstock.services.library import Library
    from penstock.services.lifetimes import Lifetimes
    from penstock.services.model_sources import ModelSources
    from penstock.services.model_uploads import ModelUploads
    from penstock.services.quotas import Quotas
    from penstock.services.rates import Rates
    from penstock.services.references import References
    from penstock.services.runs import Runs
    from penstock.services.webhooks import Webhooks

    bases = {dialect.name: settings.api_address + dialect.mount for dialect in DIALECTS}
    mounted = {dialect.name: dialect for dialect in DIALECTS}
    _check_hosts(settings, mounted)
    classes = class_lifetimes(settings)
    callbacks = open_callbacks(settings)
    storage = open_storage_billing(settings, core)
    references = References(
        core.database,
        core.objects,
        core.assets,
        core.uploads,
        parsers=[
            *(dialect.reference_parser(bases[dialect.name]) for dialect in DIALECTS),
            *(
                mounted[name].reference_parser(address)
                for host, name in settings.hosts.items()
                for address in _addresses(host, settings)
            ),
        ],
        clock=core.clock,
        entropy=core.entropy,
        egress=egress_rules(settings),
        max_inline_bytes=_MAX_INLINE_BYTES,
        inline_lifetime=classes.inline,
    )
    services = Services(
        accounts=core.accounts,
        quotas=Quotas(core.database),
        uploads=core.uploads,
        assets=core.assets,
        imports=Imports(core.uploads, egress_rules(settings), entropy=core.entropy),
        lifetimes=Lifetimes(core.database, clock=core.clock, classes=classes),
        library=Library(core.database, core.assets, clock=core.clock),
        folders=Folders(core.database, clock=core.clock, entropy=core.entropy),
        runs=Runs(
            core.database,
            core.catalog,
            references,
            terms=run_terms(settings, core.catalog),
            clock=core.clock,
            entropy=core.entropy,
            callbacks=callbacks,
        ),
        storage=storage,
        contents=Contents(core.database, core.objects, clock=core.clock, entropy=core.entropy),
        webhooks=Webhooks(core.database, callbacks, clock=core.clock, entropy=core.entropy),
        models=core.models,
        model_sources=ModelSources(core.database, clock=core.clock),
        examinations=Examinations(examiner, check=ModelCheck(settings.model_check)),
        model_uploads=ModelUploads(
            core.database,
            egress_rules(settings),
            clock=core.clock,
            entropy=core.entropy,
            callbacks=callbacks,
            architectures=settings.extra_architecture_list,
            most_open=settings.quota_model_uploads or None,
            check_credit=storage.require_storage_credit,
        ),
        large_bodies=LargeBodies(),
        rates=Rates(rate_limits(settings), clock=core.clock),
        streams=Streams(feed, most_per_account=settings.streams_per_account),
        catalog=core.catalog,
        log=core.log,
        extra_architectures=settings.extra_architecture_list,
    )
    mounts = Mounts(
        {dialect.mount: dialect.build(services, bases[dialect.name]) for dialect in DIALECTS},
        otherwise=_operator_app(Health(core.database, core.objects)),
        hosts={host: mounted[name].mount for host, name in settings.hosts.items()},
    )
    told = [X_RATE_LIMIT.limit, X_RATE_LIMIT.remaining, X_RATE_LIMIT.reset, "Retry-After"]
    return _with_cors(mounts, settings, exposed=[*{dialect.request_id_header: 1 for dialect in DIALECTS}, *told])


def _check_hosts(settings: Settings, known: Mapping[str, object]) -> None:
    """Raises `InvalidField` for a host of a dialect that there is not."""
    for host, name in settings.hosts.items():
        if name not in known:
            raise InvalidField(("hosts", host), f"there is no dialect {name!r}, but {', '.join(sorted(known))}")


def _addresses(host: str, settings: Settings) -> tuple[str, ...]:
    """How a client may write the address of a host that a dialect has to itself."""
    return (f"https://{host}", f"http://{host}:{settings.port}", f"https://{host}:{settings.port}")


def _load(config: uvicorn.Config) -> None:
    """Read the certificate, if there is one. Raises `InvalidField` when that cannot be done."""
    try:
        config.load()
    except OSError as error:
        reason = f"{config.ssl_certfile} cannot be used: {error.strerror or error}"
        raise InvalidField(("tls_certificate",), reason) from error


def _operator_app(health: Health) -> ASGIApp:
    """The two health answers; anything else at the root is the plainest of problems (RFC 9457 §4.2.1)."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    def alive(_request: object) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    def ready(_request: object) -> JSONResponse:
        try:
            health.check()
        except PenstockError:
            return JSONResponse({"status": "unavailable"}, status_code=503)
        return JSONResponse({"status": "ok"})

    def refused(_request: object, error: HTTPException) -> JSONResponse:
        problem = {"type": "about:blank", "title": error.detail, "status": error.status_code}
        return JSONResponse(problem, error.status_code, error.headers, media_type="application/problem+json")

    routes = [Route("/healthz", alive), Route("/readyz", ready)]
    handlers = {HTTPException: refused}
    return Starlette(routes=routes, exception_handlers=handlers)  # type: ignore[arg-type]  # each gets its own exception


def _with_cors(app: ASGIApp, settings: Settings, *, exposed: list[str]) -> ASGIApp:
    """CORS for browsers of the configured origins; no credentials, the key is a header (S26)."""
    from starlette.middleware.cors import CORSMiddleware

    if not settings.cors_origin_list:
        return app
    return CORSMiddleware(
        app,
        allow_origins=settings.cors_origin_list,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=exposed,
    )


def _end_when(stop: threading.Event, server: uvicorn.Server, feed: Feed) -> None:
    """Take no more requests; those that only wait for something to happen end now, the others are finished."""
    stop.wait()
    server.should_exit = True
    feed.close()
