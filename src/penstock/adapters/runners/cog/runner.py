"""`ports.runners.Runner` over Cog's HTTP API. A model's name is its container's address; files travel as URLs."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.adapters.runners.cog.container import BrokeOffError, Container, NotReachedError, StoppedError
from penstock.adapters.runners.cog.outputs import OutputLimits, Outputs
from penstock.adapters.runners.cog.words import Words, printable
from penstock.domain.errors import RunnerFailed, Unavailable
from penstock.ports.runners import FileInput, RunCancelledError, RunImpossibleError, WeightsInput

if TYPE_CHECKING:
    from penstock.adapters.runners.cog.callbacks import CogCallbacks
    from penstock.adapters.runners.cog.container import Reply
    from penstock.ports.clock import Entropy
    from penstock.ports.fetch import Fetcher
    from penstock.ports.runners import JsonLike, RunContext

_BUSY = frozenset({409, 503})
"""All places taken, or the model not loaded yet: the prediction was not begun."""
_UNFIT = 422
_OK = 200
_WAIT_SECONDS = 0.5
_LOOK_SECONDS = 0.05
_BROKE_OFF_TWICE = "the model's server broke off twice in the middle of the run"


@dataclass(frozen=True, slots=True, kw_only=True)
class CogLimits:
    """`answer_bytes`: an answer, files as data URLs included. `file_bytes`, `file_within`: a file that it names."""

    answer_bytes: int = 128 << 20
    file_bytes: int = 5 << 30
    file_within: timedelta = timedelta(minutes=30)


class CogRunner:
    """Runs predictions, each to its end over one connection. With `callbacks` their words are heard meanwhile."""

    def __init__(
        self,
        fetcher: Fetcher,
        entropy: Entropy,
        *,
        callbacks: CogCallbacks | None = None,
        limits: CogLimits | None = None,
    ) -> None:
        self._fetcher = fetcher
        self._entropy = entropy
        self._callbacks = callbacks
        self._limits = limits or CogLimits()

    def run(self, model: str, inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        """The prediction's output, files brought into the run.

        Raises as the port says; `Unavailable` when the container cannot be reached.
        """
        try:
            container = Container(model, max_bytes=self._limits.answer_bytes)
        except ValueError as error:
            msg = "this model has no address at which its container could be asked"
            raise RunImpossibleError(msg) from error
        words = Words(context)
        with self._callbacks.listening(words.hear) if self._callbacks else nullcontext("") as webhook:
            reply = self._predicted(container, inputs, context, webhook)
        body = reply.body if isinstance(reply.body, dict) else {}
        logs = body.get("logs")
        words.hear(logs if isinstance(logs, str) else "", ended=True)
        return self._output(container, reply.status, body, context)

    def _predicted(
        self, container: Container, inputs: Mapping[str, JsonLike], context: RunContext, webhook: str
    ) -> Reply:
        """The answer to the one prediction that was begun."""
        tell = {"webhook": webhook, "webhook_events_filter": ["logs"]} if webhook else {}
        broke_off = False
        while True:
            # Anew each time: the URLs of files are short-lived, and waiting for a free place may take long.
            request = {"input": {name: _sent(value, context) for name, value in inputs.items()}, **tell}
            try:
                reply = container.predict(self._new_id(), request, context.cancelled)
            except StoppedError:
                raise RunCancelledError from None
            except NotReachedError:
                raise Unavailable("the model's server cannot be reached") from None
            except BrokeOffError:
                if broke_off:
                    raise RunImpossibleError(_BROKE_OFF_TWICE) from None
                broke_off = True
                continue
            if reply.status not in _BUSY:
                return reply
            _require_hope(container)
            _wait(context)

    def _new_id(self) -> str:
        """As Cog recommends: 16 bytes in base32, 26 characters."""
        return base64.b32encode(self._entropy.random_bytes(16)).decode("ascii").lower().rstrip("=")

    def _output(self, container: Container, status: int, body: Mapping[str, object], context: RunContext) -> JsonLike:
        if status == _UNFIT:
            raise RunnerFailed(_misfit(body))
        if status != _OK or not body:
            raise RunnerFailed(f"the model's server gave no answer that can be used (HTTP {status})")
        match body.get("status"):
            case "succeeded":
                limits = OutputLimits(max_bytes=self._limits.file_bytes, within=self._limits.file_within)
                has_urls = container.makes_files()
                return Outputs(context, self._fetcher, limits, has_urls=has_urls).convert(body.get("output"))
            case "canceled":
                raise RunnerFailed("the model's server ended the run")
            case _:
                raise RunnerFailed(_text(body.get("error")) or "the model failed without saying why")


def _sent(value: JsonLike, context: RunContext) -> object:
    """Files and weights as URLs, wherever they stand."""
    if isinstance(value, FileInput | WeightsInput):
        return context.url(value)
    if isinstance(value, Mapping):
        return {name: _sent(item, context) for name, item in value.items()}
    if isinstance(value, list):
        return [_sent(item, context) for item in value]
    return value


def _require_hope(container: Container) -> None:
    """Raises when waiting is in vain: a model that failed to load stays so, a defunct container needs a new one.

    Cog's words for how it stands: docs/http.md, `GET /health-check`.
    """
    health = container.health()
    if health == "SETUP_FAILED":
        msg = "the model's server could not load its model"
        raise RunImpossibleError(msg)
    if health == "DEFUNCT":
        raise Unavailable("the model's server is defunct")


def _wait(context: RunContext) -> None:
    ends = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < ends:
        if context.cancelled():
            raise RunCancelledError
        time.sleep(_LOOK_SECONDS)


def _misfit(body: Mapping[str, object]) -> str:
    """What does not fit, from `{"detail": [{"loc": ["body", "input", NAME], "msg": …}]}` or `{"error": …}`."""
    details = body.get("detail")
    found = []
    for item in details if isinstance(details, list) else ():
        place = item.get("loc") if isinstance(item, dict) else None
        if isinstance(place, list) and place:
            found.append(f"{place[-1]}: {item.get('msg')}")
    return _text("; ".join(found)) or _text(body.get("error")) or "the model does not take this input"


def _text(value: object) -> str:
    return printable(value) if isinstance(value, str) else ""
