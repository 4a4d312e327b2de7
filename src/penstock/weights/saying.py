"""How a file's own words may stand in a sentence about it."""

from __future__ import annotations

_SHOWN_CHARACTERS = 100


def quoted(text: str) -> str:
    """A text of the file's in quotes, as `brief`."""
    return f'"{brief(text)}"'


def brief(text: str) -> str:
    """A text of the file's: short, and of printable characters."""
    shown = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    return shown if shown.isprintable() else "".join(letter if letter.isprintable() else "\ufffd" for letter in shown)


def shown(value: object) -> str:
    """A value of its JSON, where objects are tuples of pairs."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        few = ", ".join("[…]" if isinstance(inner, list) else shown(inner) for inner in value[:8])
        return f"[{few}, …]" if len(value) > 8 else f"[{few}]"  # noqa: PLR2004 - as above
    if isinstance(value, int):
        return str(value) if abs(value) < 2**64 else "a number beyond 64 bits"
    return str(value) if isinstance(value, float) else "an object"
