"""What several of our processes are made of."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from typing import TYPE_CHECKING

from penstock.adapters.system import SystemClock, SystemEntropy
from penstock.domain.errors import InvalidField
from penstock.domain.quotas import Limits
from penstock.domain.rates import RateLimits
from penstock.store.config import load_or_create_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from penstock.adapters.db.database import SqlDatabase
    from penstock.adapters.objects.s3 import S3ObjectStore, S3Presigner
    from penstock.domain.catalog import Catalog
    from penstock.domain.egress import EgressRules
    from penstock.ports.database import Changes
    from penstock.services.accounts import Accounts
    from penstock.services.assets import Assets
    from penstock.services.callbacks import Callbacks
    from penstock.services.lifetimes import ClassLifetimes
    from penstock.services.models import Models
    from penstock.services.orphans import Orphans
    from penstock.services.purging import Purging
    from penstock.services.run_terms import RunTerms
    from penstock.services.storage_billing import StorageBilling
    from penstock.services.uploads import Uploads
    from penstock.services.weights_addresses import WeightsAddresses
    from penstock.settings import Settings
    from penstock.telemetry import Log
    from penstock.workflows.sweeps import Sweep


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """What API and worker share."""

    database: SqlDatabase
    objects: S3ObjectStore
    clock: SystemClock
    entropy: SystemEntropy
    catalog: Catalog
    accounts: Accounts
    uploads: Uploads
    assets: Assets
    weights: WeightsAddresses
    purging: Purging
    models: Models
    log: Log
    open_changes: Callable[[], Changes]
    close: Callable[[], None]


def open_core(settings: Settings, log: Log) -> Core:
    """The database, the object store and the services on them. Close it in the end."""
    from penstock.adapters.db.database import SqlDatabase
    from penstock.services.accounts import Accounts
    from penstock.services.assets import Assets
    from penstock.services.models import Models
    from penstock.services.purging import Purging
    from penstock.services.uploads import Uploads
    from penstock.services.weights_addresses import WeightsAddresses

    database = SqlDatabase(settings.sqlalchemy_url, limits=default_limits(settings))
    objects, presigner = _object_store(settings)
    clock, entropy = SystemClock(), SystemEntropy()
    uploads = Uploads(database, objects, presigner, clock=clock, entropy=entropy, log=log)

    def close() -> None:
        database.close()
        objects.close()

    return Core(
        database=database,
        objects=objects,
        clock=clock,
        entropy=entropy,
        catalog=_catalog(settings),
        accounts=Accounts(database, clock, entropy),
        uploads=uploads,
        assets=Assets(database, presigner, uploads, clock=clock, trash=timedelta(days=settings.trash_days)),
        weights=WeightsAddresses(presigner, clock=clock),
        purging=Purging(database, objects, clock=clock, tombstones=timedelta(days=settings.tombstone_days)),
        models=Models(database, objects, presigner, clock=clock, architectures=settings.extra_architecture_list),
        log=log,
        open_changes=database.changes,
        close=close,
    )


def open_sweeps(core: Core) -> tuple[Sequence[Sweep], Orphans]:
    """Every sweep of files, and what knows the orphans."""
    from penstock.services.orphans import Orphans
    from penstock.services.sweep_plans import SweepPlans
    from penstock.workflows.sweeps import all_sweeps

    orphans = Orphans(core.database, core.objects, clock=core.clock, entropy=core.entropy, log=core.log)
    plans = SweepPlans(core.database, core.objects, orphans, clock=core.clock)
    return all_sweeps(core.uploads, core.purging, core.models, orphans, plans), orphans


def _object_store(settings: Settings) -> tuple[S3ObjectStore, S3Presigner]:
    from penstock.adapters.objects.s3 import Bucket, Capabilities, S3ObjectStore, S3Presigner
    from penstock.sigv4 import Credentials

    if settings.store_access_key:
        credentials = Credentials(settings.store_access_key, settings.store_secret_key.get_secret_value())
    else:
        pairs = load_or_create_credentials(credentials_file(settings))
        credentials = Credentials(*next(iter(pairs.items())))
    # The embedded store computes SHA-256 over every byte it takes; of a remote one the operator has to say so.
    capabilities = Capabilities(
        trusts_checksums=settings.embedded_store or settings.store_trusts_checksums,
        checks_crc64=settings.embedded_store,
    )
    name, region = settings.store_bucket, settings.store_region
    inside = Bucket(endpoint=settings.store_address, name=name, region=region, credentials=credentials)
    outside = Bucket(endpoint=settings.store_public_address, name=name, region=region, credentials=credentials)
    return S3ObjectStore(inside, clock=SystemClock(), capabilities=capabilities), S3Presigner(outside)


def default_limits(settings: Settings) -> Limits:
    """The quotas of accounts that have none of their own; a setting of 0 is no limit."""
    return Limits(
        bytes=settings.quota_bytes or None,
        files=settings.quota_files or None,
        open_uploads=settings.quota_open_uploads or None,
    )


def rate_limits(settings: Settings) -> RateLimits:
    """How often a key and an address may ask this process."""
    return RateLimits(
        per_key=settings.rate_limit_per_key,
        per_address=settings.rate_limit_per_address,
        uploads=settings.rate_limit_uploads,
        failures=settings.rate_limit_failures,
    )


def _catalog(settings: Settings) -> Catalog:
    """The operator's catalog, or the demo one. Raises `InvalidField` saying what is wrong with it."""
    from penstock.domain.catalog import CatalogError
    from penstock.domain.catalog_parsing import parse_catalog

    try:
        text = (settings.catalog or files("penstock") / "demo_catalog.toml").read_text(encoding="utf-8")
        return parse_catalog(tomllib.loads(text))
    except (OSError, tomllib.TOMLDecodeError, CatalogError) as error:
        raise InvalidField(("catalog",), str(error)) from error


def run_terms(settings: Settings, catalog: Catalog) -> RunTerms:
    """What catalog and settings allow a run; a setting of 0 is no limit."""
    from penstock.services.run_terms import RunTerms

    return RunTerms(
        catalog,
        timeout=timedelta(seconds=settings.run_timeout_seconds),
        deadline=timedelta(seconds=settings.run_deadline_seconds),
        per_account=settings.runs_per_account or None,
    )


def open_storage_billing(settings: Settings, core: Core) -> StorageBilling:
    """What registered models cost their owners."""
    from penstock.services.storage_billing import StorageBilling

    return StorageBilling(
        core.database,
        price=settings.storage_price_usd,
        clock=core.clock,
        log=core.log,
        needs_balance=settings.model_uploads_need_balance,
    )


def egress_rules(settings: Settings) -> EgressRules:
    """What an operator lets downloads and callbacks reach. Raises `InvalidField`."""
    from penstock.domain.egress import RulesError, parse_rules

    try:
        return parse_rules(settings.allow_private_networks)
    except RulesError as error:
        raise InvalidField(("allow_private_networks",), str(error)) from error


def open_callbacks(settings: Settings) -> Callbacks:
    """How each dialect tells what happened, and where it may. Raises `InvalidField`."""
    from penstock.dialects.registry import DIALECTS
    from penstock.services.callbacks import Callbacks

    policies = {
        dialect.name: dialect.callbacks(settings.api_address + dialect.mount)
        for dialect in DIALECTS
        if dialect.callbacks is not None
    }
    return Callbacks(policies, egress_rules(settings))


def class_lifetimes(settings: Settings) -> ClassLifetimes:
    """How long things live that say nothing of it, by their class."""
    from penstock.services.lifetimes import ClassLifetimes

    return ClassLifetimes(
        uploads=timedelta(hours=settings.upload_lifetime_hours) or None,
        outputs=timedelta(hours=settings.output_lifetime_hours) or None,
        inline=timedelta(hours=settings.inline_lifetime_hours),
    )


def objects_directory(settings: Settings) -> Path:
    """Where the embedded store keeps everything."""
    return settings.data.absolute() / "objects"


def credentials_file(settings: Settings) -> Path:
    """The keys of the embedded store that were made at its first start."""
    return settings.data.absolute() / "store-credentials.json"
