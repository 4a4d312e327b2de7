"""Settings: flag > environment > `penstock.toml` > default. The only reader of the environment."""

from __future__ import annotations

import re
from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

LOOPBACK = "127.0.0.0/8,::1/128"
_ADDRESS = re.compile(r"https?://[^/?#@\s]+(?:/[^?#\s]*)?")
_ORIGIN = re.compile(r"https?://[^/?#@\s]+/?")
_LOOPBACK_HOST = re.compile(r"127\.0\.0\.1(?=:|$)|\[::1\]")
_PLACE = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):[0-9]{1,5}")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
_ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_DATABASES = ("sqlite:///", "postgresql://", "postgres://", "postgresql+psycopg://")


class Settings(BaseSettings):
    """Everything an operator can set. Addresses are URLs without a trailing slash."""

    model_config = SettingsConfigDict(
        env_prefix="PENSTOCK_", toml_file="penstock.toml", extra="forbid", frozen=True, populate_by_name=True
    )

    data: Path = Field(
        default=Path("penstock-data"),
        description="Directory of the database, the objects and the generated credentials.",
    )
    database_url: str = Field(
        default="",
        validation_alias="DATABASE_URL",
        description="URL of the database, `postgresql://…` or `sqlite:///…`; empty: SQLite in the data directory.",
    )
    host: str = Field(default="127.0.0.1", description="Address that the API and the embedded store listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port of the API.")
    store_port: int = Field(default=9000, ge=0, le=65535, description="Port of the embedded store.")
    public_url: str = Field(
        default="", description="Address of the API as clients see it; empty: `http(s)://HOST:PORT` of the API."
    )
    hosts: dict[str, str] = Field(
        default={},
        description="Host names at which one dialect answers without its prefix: a table of names to dialects.",
    )
    tls_certificate: Path | None = Field(
        default=None,
        description="PEM file of the API's certificate and its chain; empty: the API speaks plain HTTP.",
    )
    tls_key: Path | None = Field(
        default=None, description="PEM file of the certificate's private key; empty: it stands in the same file."
    )
    store_url: str = Field(
        default="", description="Address at which Penstock itself calls the object store; empty: the embedded store."
    )
    store_public_url: str = Field(
        default="", description="Address of the object store that is signed and handed out; empty: as `store_url`."
    )
    store_bucket: str = Field(default="penstock", description="Bucket for everything Penstock keeps.")
    store_region: str = Field(default="us-east-1", description="Region named in signatures.")
    store_access_key: str = Field(
        default="", description="Access key of a remote object store; empty: the generated one."
    )
    store_secret_key: SecretStr = Field(default=SecretStr(""), description="Secret key of a remote object store.")
    store_trusts_checksums: bool = Field(
        default=False,
        description="Whether a remote store's own SHA-256 may be believed instead of reading the object back.",
    )
    store_encryption_key_file: Path | None = Field(
        default=None,
        description="File (0600) of the key that encrypts what the embedded store keeps; empty: it is not encrypted.",
    )
    store_processes: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes of the embedded store, to use several cores; each further one takes 40 MB of memory.",
    )
    store_metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port of the embedded store's metrics, for Prometheus; 0: a free one; empty: they are not served.",
    )
    store_metrics_host: str = Field(
        default="127.0.0.1", description="Address that the metrics are served on, apart from all public listeners."
    )
    store_max_object_bytes: int = Field(
        default=5 * 2**30, ge=1, description="Largest object that the embedded store takes in one request, in bytes."
    )
    store_max_multipart_bytes: int = Field(
        default=50_000 * 2**30, ge=1, description="Largest object that the embedded store takes in parts, in bytes."
    )
    store_min_rate: int = Field(
        default=1024,
        ge=0,
        description="Bytes per second, over 30 s, below which the embedded store ends a transfer; 0: never.",
    )
    store_connections: int = Field(
        default=10_000, ge=1, description="Most connections of the embedded store; the next ones are told to slow down."
    )
    store_reserve_bytes: int = Field(
        default=256 * 2**20, ge=0, description="Free space that uploads to the embedded store leave alone, in bytes."
    )
    catalog: Path | None = Field(default=None, description="TOML file of runnable models; empty: the demo catalog.")
    allow_private_networks: str = Field(
        default="",
        description="Comma-separated networks (`10.0.0.0/8`) and places (`files.example:9000`) that callbacks and "
        "downloads may reach although they are private or the port is an unusual one.",
    )
    cors_origins: str = Field(
        default="",
        description="Comma-separated origins, beside the API's own, whose pages may call the API and the embedded "
        "store; `*` for any.",
    )
    extra_architectures: str = Field(
        default="",
        description="Comma-separated architectures that models may be declared as beside the known ones; what a file's "
        "header shows is not held against them.",
    )
    streams_per_account: int = Field(
        default=200,
        ge=1,
        description="Event streams and long polls that one account may have open at a time in one API process.",
    )
    event_retention_days: int = Field(
        default=30, ge=1, description="How long the events of an upload or a run, its log included, outlive its end."
    )
    delivery_retention_days: int = Field(
        default=30, ge=1, description="How long the log of callbacks, with what was sent, outlives their last attempt."
    )
    model_upload_retention_days: int = Field(
        default=30,
        ge=1,
        description="How long a model upload, what was answered to it and its caller's name for it, outlives its end.",
    )
    idempotency_retention_days: int = Field(
        default=7, ge=1, description="How long a repeated request is recognised by its `Idempotency-Key`."
    )
    upload_lifetime_hours: int = Field(
        default=0,
        ge=0,
        description="How long files live whose upload through the native API does not say, in hours; 0: until deleted.",
    )
    output_lifetime_hours: int = Field(
        default=0,
        ge=0,
        description="How long the files that a run of the native API makes live, in hours, when it does not say; 0: "
        "until deleted.",
    )
    inline_lifetime_hours: int = Field(
        default=24, ge=1, description="How long files live that came as a data URI or a URL in a run's input, in hours."
    )
    trash_days: int = Field(
        default=7, ge=0, description="How long a deleted file can be restored, in days; 0: its bytes go at once."
    )
    tombstone_days: int = Field(
        default=30,
        ge=0,
        description="How long it is remembered of a file that expired or was deleted that it was here.",
    )
    quota_bytes: int = Field(
        default=0, ge=0, description="Bytes that an account may keep, where it has no limit of its own; 0: any number."
    )
    quota_files: int = Field(
        default=0, ge=0, description="Files that an account may keep, where it has no limit of its own; 0: any number."
    )
    quota_open_uploads: int = Field(
        default=1000,
        ge=0,
        description="Uploads that an account may have open at a time, where it has no limit of its own; 0: any number.",
    )
    quota_model_uploads: int = Field(
        default=1000, ge=0, description="Model uploads of an account that may be on their way at a time; 0: any number."
    )
    storage_price_usd: Decimal = Field(
        default=Decimal(0),
        ge=0,
        le=1000,
        decimal_places=9,
        description="USD per month for each gigabyte (10^9 bytes, rounded up) of registered models that an account "
        "keeps, charged by the day; 0: they are kept for nothing.",
    )
    model_uploads_need_balance: bool = Field(
        default=True,
        description="Whether a new model's file is taken only of an account whose balance is above 0 and covers a day "
        "of what it keeps already: where storage has a price, and by APIs that ask for it also where it is free.",
    )
    rate_limit_per_key: int = Field(
        default=60_000, ge=0, description="Requests to the API that one key may make in a minute; 0: any number."
    )
    rate_limit_per_address: int = Field(
        default=120_000,
        ge=0,
        description="Requests to the API that may come from one address (of IPv6: one /64) in a minute; 0: any number.",
    )
    rate_limit_uploads: int = Field(
        default=0,
        ge=0,
        description="Uploads that one key may begin in a minute; 0: as many as it may make requests.",
    )
    rate_limit_failures: int = Field(
        default=120,
        ge=0,
        description="Requests with a wrong key, or none where one is needed, that may come from one address in a "
        "minute before keys that are new to this process are refused from there; 0: any number.",
    )
    trusted_proxies: str = Field(
        default="",
        description="Comma-separated addresses and networks of proxies whose `X-Forwarded-For` says where a request "
        "comes from; empty: it comes from whoever connects.",
    )
    run_timeout_seconds: int = Field(
        default=600,
        ge=1,
        description="Longest an attempt at a run may take, in seconds, where the catalog says nothing of its model.",
    )
    run_deadline_seconds: int = Field(
        default=6 * 3600,
        ge=1,
        description="Longest a run may take from when it was asked for, its waiting and all attempts included.",
    )
    runs_per_account: int = Field(
        default=0, ge=0, description="Runs of one account that may go on at a time, the others wait; 0: no limit."
    )
    run_concurrency: int = Field(default=2, ge=1, description="Runs executed at the same time by one worker.")
    cog_callback_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port at which Cog containers tell the worker how far a run is; 0: a free one; empty: they do not, "
        "and a run's log comes at its end.",
    )
    cog_callback_host: str = Field(default="127.0.0.1", description="Address that this port is on.")
    cog_callback_url: str = Field(
        default="", description="Address of this port as containers see it; empty: `http://HOST:PORT` of it."
    )
    import_concurrency: int = Field(
        default=4, ge=1, description="URLs fetched at the same time by one worker for imports."
    )
    run_fetch_concurrency: int = Field(
        default=8, ge=1, description="URLs fetched at the same time by one worker for runs that wait for them."
    )
    callback_concurrency: int = Field(
        default=32,
        ge=1,
        description="Callbacks posted at the same time by one worker; at most a quarter of them to one host, and half "
        "for one account.",
    )
    intake_concurrency: int = Field(
        default=4, ge=1, description="New files that one worker measures and looks into at the same time."
    )
    model_check: Literal["enforce", "warn", "off"] = Field(
        default="enforce",
        description="What becomes of a model whose file is not what it was declared to be: `enforce` refuses it, "
        "`warn` takes it with a warning, `off` does not compare; what is no safetensors file is refused always.",
    )
    model_narrowing: Literal["auto", "off"] = Field(
        default="auto",
        description="Whether 32-bit numbers of checkpoints and ControlNets are served as 16-bit ones, within stated "
        "bounds: `auto` as their family allows, `off` never; the file that was sent is kept in any case.",
    )
    model_training_notes: Literal["keep", "drop"] = Field(
        default="keep",
        description="Whether served model files keep what training tools noted in their metadata (`ss_…`): words and "
        "names of files of the training data among it.",
    )
    model_upload_concurrency: int = Field(
        default=1,
        ge=1,
        description="Models fetched and optimised at the same time by one worker; accounts take turns. One keeps two "
        "cores busy, and each takes about 150 MB of memory.",
    )
    model_upload_hours: int = Field(
        default=23,
        ge=1,
        le=23,
        description="Longest that a model's file may take to come, in hours from when it is first asked for; the time "
        "in which it waits for its turn does not count.",
    )
    model_max_bytes: int = Field(
        default=128 * 2**30, ge=1, description="Largest file of a model, in bytes; the header tells before it comes."
    )
    model_download_connections: int = Field(
        default=4,
        ge=1,
        le=16,
        description="Most connections beside each other, and one in reserve, by which a model's file comes from a "
        "server that gives each one little, where it is huge and the server allows it; 1: never more than one.",
    )
    model_parallel_bytes: int = Field(
        default=2 * 2**30,
        ge=1,
        description="Smallest file of a model that may come by several connections, in bytes.",
    )
    thumbnails: bool = Field(default=True, description="Whether pictures, films and sounds get a thumbnail.")
    media_processes: int = Field(
        default=2, ge=1, description="Decoder processes of one worker, each for one file at a time."
    )
    media_timeout_seconds: float = Field(
        default=30.0, gt=0, description="Longest that a decoder may look into one file, in seconds."
    )
    media_memory_bytes: int = Field(
        default=2**30, ge=256 * 2**20, description="Address space of one decoder process, in bytes."
    )
    media_max_pixels: int = Field(
        default=100_000_000, ge=1, description="Pixels of the largest picture that is decoded for a thumbnail."
    )
    media_whole_bytes: int = Field(
        default=256 * 2**20,
        ge=2**20,
        description="Largest file that is looked into as a whole, in bytes; of a larger one only both ends are.",
    )

    @field_validator("public_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value and not _ADDRESS.fullmatch(value):
            raise ValueError("must be of the form http(s)://HOST[:PORT][/PATH]")
        return value

    @field_validator("store_url", "store_public_url")
    @classmethod
    def _is_origin(cls, value: str) -> str:
        """A signature covers the path as the store sees it, so the store's address has none."""
        if value and not _ORIGIN.fullmatch(value):
            raise ValueError("must be of the form http(s)://HOST[:PORT], without a path")
        return value

    @field_validator("allow_private_networks")
    @classmethod
    def _is_allow_list(cls, value: str) -> str:
        """Roughly; `domain.egress` reads it."""
        for entry in filter(None, (part.strip() for part in value.split(","))):
            try:
                ip_network(entry)
            except ValueError:
                if not _PLACE.fullmatch(entry):
                    message = f"{entry!r} is neither a network (10.0.0.0/8) nor a host with a port (host:8080)"
                    raise ValueError(message) from None
        return value

    @field_validator("extra_architectures")
    @classmethod
    def _are_architectures(cls, value: str) -> str:
        for name in filter(None, (part.strip() for part in value.split(","))):
            if not _ARCHITECTURE.fullmatch(name):
                message = f"{name!r} is no name of an architecture: small letters, digits, `_` and `-`, at most 40"
                raise ValueError(message)
        return value

    @field_validator("hosts")
    @classmethod
    def _are_hosts(cls, value: dict[str, str]) -> dict[str, str]:
        """Which dialects there are is known to whoever serves them."""
        for host in value:
            if not _HOST.fullmatch(host):
                message = f"{host!r} is no host name in small letters, without a port"
                raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _has_a_certificate_to_its_key(self) -> Self:
        if self.tls_key is not None and self.tls_certificate is None:
            raise ValueError("tls_key is set and tls_certificate is not")
        return self

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        for entry in filter(None, (part.strip() for part in value.split(","))):
            try:
                ip_network(entry)
            except ValueError:
                message = f"{entry!r} is neither an address nor a network (10.0.0.0/8)"
                raise ValueError(message) from None
        return value

    @field_validator("database_url")
    @classmethod
    def _is_database(cls, value: str) -> str:
        if value and not value.startswith(_DATABASES):
            raise ValueError("must begin with sqlite:/// or postgresql://")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no .env file is read
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no secrets directory is read
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags (init) first, then the environment, then `penstock.toml` in the working directory."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def api_address(self) -> str:
        """The API's address as clients see it."""
        scheme = "http" if self.tls_certificate is None else "https"
        return (self.public_url or f"{scheme}://{_host_in_url(self.host)}:{self.port}").rstrip("/")

    @property
    def store_address(self) -> str:
        """Where Penstock itself calls the object store."""
        return (self.store_url or f"http://{_host_in_url(self.host)}:{self.store_port}").rstrip("/")

    @property
    def store_public_address(self) -> str:
        """The object store's address as it is signed and handed out."""
        return (self.store_public_url or self.store_address).rstrip("/")

    @property
    def embedded_store(self) -> bool:
        """Whether the object store is our own."""
        return not self.store_url

    @property
    def cors_origin_list(self) -> tuple[str, ...]:
        """The origins of `cors_origins`."""
        return tuple(origin.strip() for origin in self.cors_origins.split(",") if origin.strip())

    @property
    def extra_architecture_list(self) -> tuple[str, ...]:
        """The names of `extra_architectures`."""
        return tuple(name.strip() for name in self.extra_architectures.split(",") if name.strip())

    @property
    def store_cors_origins(self) -> tuple[str, ...]:
        """Whose pages may call the embedded store: those of the API itself (the dashboard's), and `cors_origins`.

        Where the API is called by its loopback address, by its name `localhost` too.
        """
        own = _origin(self.api_address)
        scheme, _, place = own.partition("://")
        found = _LOOPBACK_HOST.match(place)
        named = (f"{scheme}://localhost{place[found.end() :]}",) if found else ()
        return tuple(dict.fromkeys((own, *named, *self.cors_origin_list)))

    @property
    def sqlalchemy_url(self) -> str:
        """The database's SQLAlchemy URL; `postgres://` and `postgresql://` mean psycopg 3."""
        for scheme in ("postgresql://", "postgres://"):
            if self.database_url.startswith(scheme):
                return "postgresql+psycopg://" + self.database_url.removeprefix(scheme)
        return self.database_url or f"sqlite:///{self.data.absolute() / 'penstock.db'}"


def _origin(address: str) -> str:
    """Scheme, host and port of an address, as browsers write an origin (RFC 6454 §6.2)."""
    parts = urlsplit(address)
    usual = {"http": 80, "https": 443}[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + ("" if parts.port in {None, usual} else f":{parts.port}")


def _host_in_url(host: str) -> str:
    return "127.0.0.1" if host in {"", "0.0.0.0"} else f"[{host}]" if ":" in host else host  # noqa: S104 - compared, not bound
