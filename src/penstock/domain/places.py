"""How many runs may go on at a time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """How many other runs are going on: of the same model, of the same account, of both."""

    model: int
    account: int
    model_of_account: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """How many may; None: as many as the workers have room for."""

    model: int | None = None
    account: int | None = None
    model_of_account: int | None = None

    @property
    def are_limited(self) -> bool:
        """Whether it has to be counted at all."""
        return not self.model is self.account is self.model_of_account is None

    def are_taken(self, running: Running) -> bool:
        """Whether one more run has to wait."""
        pairs = (
            (self.model, running.model),
            (self.account, running.account),
            (self.model_of_account, running.model_of_account),
        )
        return any(most is not None and count >= most for most, count in pairs)
