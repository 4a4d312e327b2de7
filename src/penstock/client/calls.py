"""The native API as values: how each call is asked and how its answer is read. No I/O."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import asdict, dataclass, field
from html import unescape
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import quote, urlencode

from pydantic import ValidationError

from penstock.client import errors as e
from penstock.client.results import (
    Account,
    Asset,
    Examination,
    Folder,
    Model,
    ModelReuse,
    ModelSource,
    ModelUpload,
    Page,
    ReceivedParts,
    RegisteredModel,
    Run,
    SignedParts,
    Upload,
    read_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from penstock.client.config import Config
    from penstock.client.files import Source

T = TypeVar("T")
_SUCCESS = range(200, 300)
_REDIRECT = range(307, 308)
_BY_STATUS: Mapping[int, type[e.PenstockApiError]] = {
    401: e.AuthenticationError,
    402: e.InsufficientCreditsError,
    403: e.PermissionDeniedError,
    404: e.NotFoundError,
    409: e.ConflictError,
    410: e.GoneError,
    429: e.RateLimitedError,
    502: e.UnavailableError,
    503: e.UnavailableError,
    504: e.UnavailableError,
    507: e.UnavailableError,
}
_FIRST_CLIENT_ERROR = 400
_FIRST_SERVER_ERROR = 500
_LONGEST_QUOTE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer. Header names are lower case."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to send to the API. `wait` is how many seconds the server may take on purpose before it answers."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    wait: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part that was sent, as a completion names it."""

    part_number: int
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """A request that is safe to repeat, and the reader of its answer."""

    request: Request
    read: Callable[[Reply], T]
    success: range = _SUCCESS


class Calls:
    """Every call of the API, for one server and key."""

    def __init__(self, config: Config, *, user_agent: str) -> None:
        self._url = f"{config.url}/v1"
        self._headers = {
            "Authorization": f"Bearer {config.api_key}",
            "Accept": "application/json",
            "User-Agent": user_agent,
        }

    def create_upload(self, **wanted: object) -> Call[Upload]:
        """`POST /uploads` with the fields that are not None."""
        return self._create("uploads", {name: value for name, value in wanted.items() if value is not None}, Upload)

    def upload_of(
        self, source: Source, *, expires_in: int | None, parts: int | None = None, sha256: str | None = None
    ) -> Call[Upload]:
        """`POST /uploads` for a source; in parts of so many bytes (0: the server's choice) unless None."""
        return self.create_upload(
            filename=source.filename,
            content_type=source.content_type,
            method="put" if parts is None else "multipart",
            size_bytes=source.size,
            part_size=parts or None,
            expires_in=expires_in,
            sha256=sha256,
        )

    def get_upload(self, upload_id: str) -> Call[Upload]:
        """`GET /uploads/{id}`."""
        return self._get(_path("uploads", upload_id), Upload)

    def list_uploads(self, *, cursor: str | None, limit: int) -> Call[Page[Upload]]:
        """`GET /uploads`, newest first."""
        query = {"limit": limit} | ({"cursor": cursor} if cursor else {})
        return self._get(f"uploads?{urlencode(query)}", Page[Upload])

    def sign_parts(self, upload_id: str, numbers: Sequence[int]) -> Call[SignedParts]:
        """`POST /uploads/{id}/parts`: signs, and changes nothing."""
        return self._post(_path("uploads", upload_id, "parts"), {"part_numbers": list(numbers)}, SignedParts)

    def list_parts(self, upload_id: str, *, after: int) -> Call[ReceivedParts]:
        """`GET /uploads/{id}/parts` from the part after number `after`."""
        return self._get(f"{_path('uploads', upload_id, 'parts')}?{urlencode({'after': after})}", ReceivedParts)

    def complete_upload(self, upload_id: str, parts: Sequence[Part] = ()) -> Call[Asset]:
        """`POST /uploads/{id}/complete`, which answers the same however often it is called."""
        path = _path("uploads", upload_id, "complete")
        if not parts:
            return Call(request=self._request("POST", path), read=_reader(Asset))
        return self._post(path, {"parts": [asdict(part) for part in parts]}, Asset)

    def abort_upload(self, upload_id: str) -> Call[Upload]:
        """`DELETE /uploads/{id}`."""
        return Call(request=self._request("DELETE", _path("uploads", upload_id)), read=_reader(Upload))

    def get_asset(self, asset_id: str) -> Call[Asset]:
        """`GET /assets/{id}`."""
        return self._get(_path("assets", asset_id), Asset)

    def list_assets(self, *, cursor: str | None, limit: int, filters: Mapping[str, object]) -> Call[Page[Asset]]:
        """`GET /assets`, newest first; filters that are None do not count."""
        wanted = {name: value for name, value in filters.items() if value is not None}
        query = {"limit": limit, **wanted} | ({"cursor": cursor} if cursor else {})
        return self._get(f"assets?{urlencode(query, doseq=True)}", Page[Asset])

    def list_folders(self, *, parent_id: str | None, cursor: str | None, limit: int) -> Call[Page[Folder]]:
        """`GET /folders`, by name."""
        query = {"limit": limit} | ({"parent_id": parent_id} if parent_id else {})
        return self._get(f"folders?{urlencode(query | ({'cursor': cursor} if cursor else {}))}", Page[Folder])

    def create_folder(self, name: str, parent_id: str | None) -> Call[Folder]:
        """`POST /folders`."""
        return self._create("folders", {"name": name, "parent_id": parent_id}, Folder)

    def create_run(self, model: str, inputs: object, more: Mapping[str, object]) -> Call[Run]:
        """`POST /runs`; `more` are its other members, those that are not None."""
        said = {name: value for name, value in more.items() if value is not None}
        return self._create("runs", {"model": model, "input": inputs, **said}, Run)

    def get_run(self, run_id: str, *, wait: float = 0.0) -> Call[Run]:
        """`GET /runs/{id}`; with `wait` the server answers when the run has finished, or after so many seconds."""
        query = f"?wait={wait:.3f}" if wait else ""
        return Call(request=self._request("GET", _path("runs", run_id) + query, wait=wait), read=_reader(Run))

    def cancel_run(self, run_id: str) -> Call[Run]:
        """`POST /runs/{id}/cancel`, which leaves a finished run as it is."""
        return Call(request=self._request("POST", _path("runs", run_id, "cancel")), read=_reader(Run))

    def run_events(self, run_id: str, *, after: int) -> Request:
        """`GET /runs/{id}/events` from the event after number `after` (server-sent events)."""
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        return self._request(
            "GET", _path("runs", run_id, "events"), headers=headers | ({"Last-Event-ID": str(after)} if after else {})
        )

    def create_model_source(self, name: str) -> Call[ModelSource]:
        """`POST /model-sources`, which answers the same however often it is called."""
        return self._post("model-sources", {"name": name}, ModelSource)

    def list_model_sources(self) -> Call[Page[ModelSource]]:
        """`GET /model-sources`."""
        return self._get("model-sources", Page[ModelSource])

    def register_model(self, said: Mapping[str, object]) -> Call[ModelUpload]:
        """`POST /models`: the same again is an update that changes nothing, so it is safe to repeat."""
        return self._post("models", said, ModelUpload)

    def get_model_upload(self, upload_id: str, *, wait: float = 0.0) -> Call[ModelUpload]:
        """`GET /model-uploads/{id}`; with `wait` the server answers when it has ended, or after so many seconds."""
        query = f"?wait={wait:.3f}" if wait else ""
        request = self._request("GET", _path("model-uploads", upload_id) + query, wait=wait)
        return Call(request=request, read=_reader(ModelUpload))

    def list_model_uploads(self, *, cursor: str | None, limit: int) -> Call[Page[ModelUpload]]:
        """`GET /model-uploads`, newest first."""
        query = {"limit": limit} | ({"cursor": cursor} if cursor else {})
        return self._get(f"model-uploads?{urlencode(query)}", Page[ModelUpload])

    def list_registered(
        self, *, cursor: str | None, limit: int, filters: Mapping[str, object]
    ) -> Call[Page[RegisteredModel]]:
        """`GET /models/registered`, newest first; filters that are None do not count."""
        wanted = {name: value for name, value in filters.items() if value is not None}
        query = {"limit": limit, **wanted} | ({"cursor": cursor} if cursor else {})
        return self._get(f"models/registered?{urlencode(query, doseq=True)}", Page[RegisteredModel])

    def get_registered(self, air: str) -> Call[RegisteredModel]:
        """`GET /models/{air}`."""
        return self._get(_path("models", air), RegisteredModel)

    def change_registered(self, air: str, said: Mapping[str, object]) -> Call[RegisteredModel]:
        """`PATCH /models/{air}`."""
        content = json.dumps(said, allow_nan=False, separators=(",", ":")).encode()
        headers = {"Content-Type": "application/json"}
        request = self._request("PATCH", _path("models", air), headers=headers, body=content)
        return Call(request=request, read=_reader(RegisteredModel))

    def delete_registered(self, air: str) -> Call[None]:
        """`DELETE /models/{air}`."""
        return Call(request=self._request("DELETE", _path("models", air)), read=lambda _: None)

    def model_file(self, air: str, part: str) -> Call[str]:
        """`GET /models/{air}/files/{part}`: the answer is a redirect; its result is where to."""
        request = self._request("GET", _path("models", air, "files", part))
        return Call(request=request, read=lambda reply: reply.headers.get("location", ""), success=_REDIRECT)

    def compare_models(self, air: str, other: str) -> Call[ModelReuse]:
        """`GET /models/{air}/reuse/{other}`."""
        return self._get(_path("models", air, "reuse", other), ModelReuse)

    def examine(self, head: bytes, declared: Mapping[str, object]) -> Call[Examination]:
        """`POST /models/examinations`; what is declared as None does not count."""
        query = urlencode({name: value for name, value in declared.items() if value is not None})
        headers = {"Content-Type": "application/octet-stream"}
        request = self._request("POST", f"models/examinations?{query}", headers=headers, body=head)
        return Call(request=request, read=_reader(Examination))

    def list_models(self) -> Call[Page[Model]]:
        """`GET /models`."""
        return self._get("models", Page[Model])

    def get_account(self) -> Call[Account]:
        """`GET /account`."""
        return self._get("account", Account)

    def _get(self, path: str, result: type[T]) -> Call[T]:
        return Call(request=self._request("GET", path), read=_reader(result))

    def _create(self, path: str, body: object, result: type[T]) -> Call[T]:
        """A creation is repeatable because it always carries a key of its own (`Idempotency-Key`)."""
        return self._post(path, body, result, headers={"Idempotency-Key": secrets.token_hex(16)})

    def _post(self, path: str, body: object, result: type[T], *, headers: Mapping[str, str] | None = None) -> Call[T]:
        content = json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
        headers = {"Content-Type": "application/json", **(headers or {})}
        return Call(request=self._request("POST", path, headers=headers, body=content), read=_reader(result))

    def _request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"", wait: float = 0.0
    ) -> Request:
        return Request(
            method=method, url=f"{self._url}/{path}", headers={**self._headers, **(headers or {})}, body=body, wait=wait
        )


def api_error(reply: Reply) -> e.PenstockApiError:
    """The error that an answer outside 2xx tells (RFC 9457), also when something else than the API wrote it."""
    problem = _problem(reply.body)
    kind = _BY_STATUS.get(reply.status)
    if kind is None:
        kind = e.ServerError if reply.status >= _FIRST_SERVER_ERROR else e.InvalidRequestError
    if reply.status < _FIRST_CLIENT_ERROR:
        kind = e.UnexpectedAnswerError
    return kind(
        status=reply.status,
        code=_text(problem.get("code")) or "unknown",
        detail=_text(problem.get("detail")) or _quote(reply.body) or "no reason given",
        request_id=_text(problem.get("request_id")) or reply.headers.get("x-request-id"),
        errors=_field_errors(problem.get("errors")),
        retry_after=_seconds(reply.headers.get("retry-after")),
    )


def store_error(reply: Reply) -> tuple[str, str]:
    """Code and message of an S3 error body. Read by pattern: two flat elements are no reason to run an XML parser."""
    text = reply.body.decode("utf-8", "replace")
    code, message = (re.search(rf"<{name}>([^<]*)</{name}>", text) for name in ("Code", "Message"))
    detail = unescape(message[1]) if message else _quote(reply.body)
    return (code[1] if code else ""), detail or f"the object store answered {reply.status}"


def succeeded(reply: Reply) -> bool:
    """Whether the status is 2xx."""
    return reply.status in _SUCCESS


def _reader(result: type[T]) -> Callable[[Reply], T]:
    def read(reply: Reply) -> T:
        try:
            return read_json(result, reply.body)
        except ValidationError as error:
            where = "; ".join(".".join(map(str, found["loc"])) or found["type"] for found in error.errors()[:3])
            raise e.UnexpectedAnswerError(
                status=reply.status,
                code="unexpected_answer",
                detail=f"the answer is not the API's ({where}): {_quote(reply.body)}",
                request_id=reply.headers.get("x-request-id"),
            ) from None

    return read


def _path(*segments: str) -> str:
    return "/".join(quote(segment, safe="") for segment in segments)


def _problem(body: bytes) -> dict[str, Any]:
    try:
        problem = json.loads(body)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _field_errors(listed: object) -> tuple[e.FieldError, ...]:
    if not isinstance(listed, list):
        return ()
    return tuple(
        e.FieldError(pointer=_text(item.get("pointer")), detail=_text(item.get("detail")), code=_text(item.get("code")))
        for item in listed
        if isinstance(item, dict)
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _seconds(header: str | None) -> float | None:
    """Retry-After in seconds (RFC 9110 §10.2.3); its date form is not used by the API."""
    return float(header) if header and header.isdecimal() else None


def _quote(body: bytes) -> str:
    text = " ".join(body[: 4 * _LONGEST_QUOTE].decode("utf-8", "replace").split())
    return text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "…"
