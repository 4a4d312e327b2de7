"""What a look into a file has brought so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Found:
    """Facts by their names in `MediaFacts`, and the thumbnail. What is here stays when the rest cannot be seen."""

    facts: dict[str, Any] = field(default_factory=dict)
    thumbnail: bytes | None = None

    def add(self, **facts: float | str | None) -> None:
        """Keep what is known of these; one that is not known does not replace what was."""
        self.facts.update({name: fact for name, fact in facts.items() if fact is not None})
