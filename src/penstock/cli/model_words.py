"""What is said of a model that is pushed: the words of the command, of what is there, of the file, and of a person."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from penstock.cli.failures import fail

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.client import Penstock, RegisteredModel

TYPES = {"checkpoint": ("base", "inpainting", "refiner"), "embeddings": ("positive", "negative")}
CATEGORIES = ("checkpoint", "lora", "lycoris", "controlnet", "vae", "embeddings")
DECLARED = ("category", "architecture", "type", "conditioning")
_NEEDED = ("category", "type", "architecture", "name", "version_label")
_KEPT = (*DECLARED, "name", "version_label")
"""What a model that is there already keeps, unless the command says otherwise."""
_OPTIONAL = frozenset(
    {
        *("conditioning", "default_scheduler", "hero_image_url", "tags"),
        *("positive_trigger_words", "negative_trigger_words", "short_description", "comment"),
    }
)
"""What an empty text takes back."""
_CLOSED = frozenset({"category", "type"})
"""Where nothing but one of the choices is an answer."""
_FLAGS = {"version_label": "--version"}
_LONG_TEXT = 60


def said_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given; None for what an empty one takes back."""
    said = {field: value for field, value in given.items() if value is not None}
    return {field: None if field in _OPTIONAL and value in ("", [""]) else value for field, value in said.items()}


def taken(proposal: Mapping[str, Any]) -> str:
    """In one line, what the header says for options that were left out; long values not to their end."""
    texts = {field: ", ".join(value) if isinstance(value, list) else str(value) for field, value in proposal.items()}
    words = ", ".join(
        f"{field} {text if len(text) <= _LONG_TEXT else text[:_LONG_TEXT] + '…'}" for field, text in texts.items()
    )
    return f"the file says {words}" if words else ""


def present(client: Penstock, air: str) -> RegisteredModel | None:
    """The account's own model under that AIR."""
    from penstock.client import NotFoundError

    try:
        model = client.registered_model(air)
    except NotFoundError:
        return None
    return model if model.owned else None


def words_of(model: RegisteredModel | None) -> Mapping[str, Any]:
    """What is said already; nothing where there is no model."""
    return {} if model is None else {field: getattr(model, field) for field in _KEPT}


def completed(
    said: Mapping[str, Any], known: Mapping[str, Any], *, air: str, name: str, architectures: tuple[str, ...] = ()
) -> dict[str, Any]:
    """What is said, what the model or the file's header says, and what somebody at a terminal says to the rest."""
    complete = {field: value for field, value in known.items() if value is not None} | dict(said)
    complete.setdefault("name", name or air)
    complete.setdefault("version_label", air.rpartition("@")[2])
    for field in _NEEDED:
        if field not in complete and (field != "type" or complete.get("category") in TYPES):
            choices = {"category": CATEGORIES, "type": TYPES.get(complete.get("category", ""), ())}
            complete[field] = _asked(field, choices.get(field, architectures), read=bool(architectures))
    if complete["category"] not in TYPES:
        complete.pop("type", None)
    return complete


def agreed(question: str) -> bool:
    """Ask at a terminal whether to go on. Without one nobody agrees."""
    if not at_terminal():
        return False
    return _answer(f"{question} [y/N]").lower() in {"y", "yes"}


def at_terminal() -> bool:
    """Whether somebody is there who can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _asked(field: str, choices: tuple[str, ...], *, read: bool) -> str:
    """Ask at a terminal; elsewhere say which option is missing. `read`: the file's header was looked at."""
    flag = _FLAGS.get(field, f"--{field.replace('_', '-')}")
    likely = f" ({', '.join(choices)})" if choices else ""
    if not at_terminal():
        missing = f"the file does not tell its {field}" if read else f"the model's {field} is needed"
        fail(f"{missing}; say it with {flag}{likely}")
    usual = f" [{choices[0]}]" if choices else ""
    while True:
        answer = _answer(f"{field}{likely}{usual}") or next(iter(choices), "")
        if answer and (field not in _CLOSED or answer in choices):
            return answer


def _answer(question: str) -> str:
    """What is typed. On standard error, for standard output is what the command prints; click writes to both."""
    print(f"{question}: ", end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        print(file=sys.stderr)
        fail("nothing was sent")
    return line.strip()
