"""Settings as the flags of a command, the environment and `penstock.toml` give them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.cli.failures import fail

if TYPE_CHECKING:
    from penstock.settings import Settings


def load_settings(*, dev: bool = False, **flags: object) -> Settings:
    """Settings with the flags that were given (not None) in front. One line and exit status 1 when they do not fit."""
    from tomllib import TOMLDecodeError

    from pydantic import ValidationError

    from penstock.settings import LOOPBACK, Settings

    given = {name: value for name, value in flags.items() if value is not None}
    if dev:
        given["allow_private_networks"] = LOOPBACK
    try:
        return Settings(**given)  # type: ignore[arg-type]  # the fields check their own types
    except ValidationError as error:
        found = [(".".join(map(str, e["loc"])), e["msg"].removeprefix("Value error, ")) for e in error.errors()]
        fail("; ".join(f"setting {name}: {message}" if name else message for name, message in found))
    except TOMLDecodeError as error:
        fail(f"penstock.toml: {error}")
