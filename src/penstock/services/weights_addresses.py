"""Where a runner reads the weights of a registered model: a short-lived URL that takes ranges."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.domain.media_types import OCTET_STREAM

if TYPE_CHECKING:
    from penstock.domain.models import ModelFile
    from penstock.ports.clock import Clock
    from penstock.ports.objects import Presigner

_LIFE = timedelta(hours=1)


class WeightsAddresses:
    """Signs what is served of a model file: the optimised object."""

    def __init__(self, presigner: Presigner, *, clock: Clock) -> None:
        self._presigner = presigner
        self._clock = clock

    def url(self, file: ModelFile) -> str:
        """A URL on the store's public address, for GET with or without a range."""
        return self._presigner.get(
            file.optimized_key,
            expires_in=_LIFE,
            now=self._clock.now(),
            content_type=OCTET_STREAM,
            disposition="attachment",
        )
