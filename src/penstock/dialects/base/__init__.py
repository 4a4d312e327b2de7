"""What every dialect is made of: its declaration, the services it may use, and the addresses it hands out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp

    from penstock.dialects.base.bodies import LargeBodies
    from penstock.dialects.base.streams import Streams
    from penstock.domain.catalog import Catalog
    from penstock.domain.references import Reference
    from penstock.domain.uploads import UploadPolicy
    from penstock.domain.webhooks import CallbackPolicy
    from penstock.services.accounts import Accounts
    from penstock.services.assets import Assets
    from penstock.services.contents import Contents
    from penstock.services.examinations import Examinations
    from penstock.services.folders import Folders
    from penstock.services.imports import Imports
    from penstock.services.library import Library
    from penstock.services.lifetimes import Lifetimes
    from penstock.services.model_sources import ModelSources
    from penstock.services.model_uploads import ModelUploads
    from penstock.services.models import Models
    from penstock.services.quotas import Quotas
    from penstock.services.rates import Rates
    from penstock.services.runs import Runs
    from penstock.services.storage_billing import StorageBilling
    from penstock.services.uploads import Uploads
    from penstock.services.webhooks import Webhooks
    from penstock.telemetry import Log


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The use cases, ready to call. All are synchronous; the edge hands them a thread.

    `extra_architectures`: what the operator lets models be declared as beside what everybody knows.
    """

    accounts: Accounts
    quotas: Quotas
    uploads: Uploads
    imports: Imports
    assets: Assets
    lifetimes: Lifetimes
    library: Library
    folders: Folders
    runs: Runs
    webhooks: Webhooks
    models: Models
    model_sources: ModelSources
    model_uploads: ModelUploads
    storage: StorageBilling
    contents: Contents
    examinations: Examinations
    streams: Streams
    large_bodies: LargeBodies
    rates: Rates
    catalog: Catalog
    log: Log
    extra_architectures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a dialect can do beyond the common story; conformance tests skip by these, never by name.

    `takes_urls`: a file field of a run may hold a URL or a data URI. `lasting_urls`: a file has a URL that names it as
    long as it lives. `file_urls`: an uploaded file has a URL, for a while at least. `upload_lifetimes`: whoever uploads
    a file may say how long it lives. `declares_sizes`: whoever uploads a file may say how large it is.
    `uploads_in_steps`: whoever uploads a file begins, sends its bytes elsewhere and completes; otherwise they come with
    the request.
    """

    confirms: bool
    run_input_keeps_file: bool = False
    cancels_runs: bool = True
    tells_gone_files: bool = False
    takes_urls: bool = True
    lasting_urls: bool = True
    file_urls: bool = True
    upload_lifetimes: bool = True
    declares_sizes: bool = True
    uploads_in_steps: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One product on the wire. `mount` is its path prefix; `base_url` handed to the functions is address + mount.

    `callbacks`: how it tells somebody's server what happened; None: it does not.
    """

    name: str
    mount: str
    request_id_header: str
    upload_policy: UploadPolicy
    capabilities: Capabilities
    build: Callable[[Services, str], ASGIApp]
    reference_parser: Callable[[str], Callable[[str], Reference | None]]
    callbacks: Callable[[str], CallbackPolicy] | None = None
