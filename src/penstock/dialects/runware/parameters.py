"""Reading a task's parameters: one error, naming the parameter, for the first that is wrong (RU-14, RU-15).

Limits include their ends. A null is a parameter left out, and unknown parameters are ignored (both inferred).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard

from penstock.domain.errors import InvalidField

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Task = Mapping[str, Any]

_LONGEST = 1000
"""Characters of a text for which the product names no limit (inferred)."""
_MOST_WORDS = 100
_LONGEST_WORD = 400
_BETWEEN = ", "


def missing(name: str) -> NoReturn:
    """Refuse a task without a parameter that it needs."""
    raise InvalidField((name,), "is required", rule="missing")


def invalid(name: str, message: str, **facts: object) -> NoReturn:
    """Refuse a task for one parameter; `message` goes on behind its name, `facts` are those of `InvalidField`."""
    raise InvalidField((name,), message, facts=facts)


def given(task: Task, name: str, *aliases: str) -> object:
    """The parameter's value under the first of its names that has one; None where none has."""
    return next((task[one] for one in (name, *aliases) if task.get(one) is not None), None)


def text(task: Task, name: str, *aliases: str, least: int = 1, most: int = _LONGEST) -> str | None:
    """A string of so many characters."""
    value = given(task, name, *aliases)
    if value is None:
        return None
    if not isinstance(value, str) or not least <= len(value) <= most:
        invalid(name, f"must be a string of {least} to {most} characters", type="string", least=least, most=most)
    return value


def required_text(task: Task, name: str, *aliases: str, most: int = _LONGEST) -> str:
    """A string that must be there."""
    value = text(task, name, *aliases, most=most)
    return value if value is not None else missing(name)


def choice(
    task: Task, name: str, allowed: Sequence[str], *, other_words: Mapping[str, str] | None = None
) -> str | None:
    """One of the words; `other_words` are taken for some of them."""
    value = given(task, name)
    if value is None:
        return None
    word = (other_words or {}).get(value, value) if isinstance(value, str) else None
    if word not in allowed:
        invalid(name, f"must be one of: {', '.join(allowed)}", type="string", allowed=list(allowed))
    return word


def required_choice(task: Task, name: str, allowed: Sequence[str]) -> str:
    """One of the words, which must be there."""
    value = choice(task, name, allowed)
    return value if value is not None else missing(name)


def integer(task: Task, name: str, *, least: int, most: int, default: int | None = None) -> int | None:
    """A whole number; 20.0 is one, as it is in JSON."""
    value = given(task, name)
    if value is None:
        return default
    if not _is_number(value) or value != int(value) or not least <= value <= most:
        invalid(name, f"must be an integer from {least} to {most}", type="integer", least=least, most=most)
    return int(value)


def number(task: Task, name: str, *aliases: str, least: float, most: float) -> float | None:
    """A number."""
    value = given(task, name, *aliases)
    if value is None:
        return None
    if not _is_number(value) or not least <= value <= most:
        invalid(name, f"must be a number from {least:g} to {most:g}", type="number", least=least, most=most)
    return float(value)


def flag(task: Task, name: str) -> bool | None:
    """True or false."""
    value = given(task, name)
    if value is not None and not isinstance(value, bool):
        invalid(name, "must be true or false", type="boolean")
    return value


def texts(task: Task, name: str, *, most: int, longest: int) -> tuple[str, ...] | None:
    """Strings, each once and none empty, in the order given."""
    value = given(task, name)
    if value is None:
        return None
    wanted = f"must be an array of at most {most} different strings, each of 1 to {longest} characters"
    if not isinstance(value, list) or not all(isinstance(one, str) and 1 <= len(one) <= longest for one in value):
        invalid(name, wanted, type="array", most=most)
    different = tuple(dict.fromkeys(value))
    if len(different) > most:
        invalid(name, wanted, type="array", most=most)
    return different


def words(task: Task, name: str) -> tuple[str, ...] | None:
    """One string with commas between the words, or an array of strings."""
    value = given(task, name)
    if not isinstance(value, str):
        return texts(task, name, most=_MOST_WORDS, longest=_LONGEST_WORD)
    found = words_of(value) if value else ()
    if len(found) > _MOST_WORDS or any(len(word) > _LONGEST_WORD for word in found):
        wanted = (
            f"must have at most {_MOST_WORDS} words with ', ' between them, each of at most {_LONGEST_WORD} characters"
        )
        invalid(name, wanted, type="string")
    return found


def words_of(line: str) -> tuple[str, ...]:
    """The words of a line, so that `line_of` gives it again: a comma with a space divides, where none is empty."""
    several = tuple(line.split(_BETWEEN))
    return several if all(several) else (line,)


def line_of(several: Sequence[str]) -> str:
    """The words in one string."""
    return _BETWEEN.join(several)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
