"""Lifetimes as asked for."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, Field

from penstock.dialects.native.wire.common import Request

LEAST_SECONDS = 60
MOST_SECONDS = 10 * 365 * 24 * 3600


class SetLifetime(Request):
    """How long an asset shall live from now."""

    expires_in: int | None = Field(
        ge=LEAST_SECONDS, le=MOST_SECONDS, description="Seconds from now; null: until it is deleted."
    )


def chosen(body: BaseModel, name: str, *, default: timedelta | None) -> timedelta | None:
    """The span that a field asks for in seconds: null means without end, and only an absent field the default."""
    return lifetime_of(getattr(body, name)) if name in body.model_fields_set else default


def lifetime_of(seconds: int | None) -> timedelta | None:
    """Seconds as a span; None stays None."""
    return None if seconds is None else timedelta(seconds=seconds)
