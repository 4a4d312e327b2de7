"""Writes what the reference pages say of the code: `python -m tools.reference` (`./dev docs`).

A page is written by hand, except between `<!-- generated: NAME -->` and `<!-- end -->`: what stands there comes from
the code. A test fails while a page holds anything else, so a setting, command, error, event or route that is new or
changed cannot stay undocumented.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import tomllib
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import typer

from penstock.adapters.system import SystemClock
from penstock.cli.program import program
from penstock.dialects.native import DIALECT
from penstock.dialects.native.errors import ERRORS
from penstock.domain.accounts import Scope
from penstock.domain.catalog_parsing import parse_catalog
from penstock.domain.events import MEANINGS, EventKind
from penstock.domain.media_types import Kind, MediaType, types_of
from penstock.domain.model_uploads import PHASE_TABLE, Phase
from penstock.domain.rates import RateLimits
from penstock.domain.runs import RUN_TABLE, RunState
from penstock.domain.uploads import UPLOAD_TABLE, UploadState
from penstock.services.rates import Rates
from penstock.settings import Settings
from penstock.sigv4.errors import SignatureError
from penstock.store import faults
from penstock.store.metering import OPERATIONS
from penstock.telemetry import EVENTS, METRICS, Log, Metric
from penstock.weights import families, verdict
from penstock.weights.identify import Found

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pydantic.fields import FieldInfo
    from starlette.types import Message

    from penstock.dialects.base import Services
    from penstock.domain.catalog import Model

ROOT = Path(__file__).parents[1]
S3_TESTS = ROOT / "tools" / "s3tests"
PAGES = sorted((ROOT / "docs").rglob("*.md"))
BLOCK = re.compile(r"^<!-- generated: (?P<name>[a-z-]+) -->\n.*?^<!-- end -->$", re.MULTILINE | re.DOTALL)
TERMINAL_COLUMNS = 100
RULE_NUMBERS = re.compile(r" \([PFS]\d+(?:, [PFS]\d+)*\)")
Schema = dict[str, Any]
S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


def main() -> None:
    """Bring every page up to date, and name those that were not."""
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = with_blocks(before)
        if after != before:
            page.write_text(after, encoding="utf-8")
            print(f"wrote {page.relative_to(ROOT)}")


def with_blocks(text: str) -> str:
    """A page with what the code says now. Raises `KeyError` for a block that nothing here writes."""
    return BLOCK.sub(
        lambda block: f"<!-- generated: {block['name']} -->\n\n{BLOCKS[block['name']]().strip()}\n\n<!-- end -->", text
    )


# --- settings ---------------------------------------------------------------------------------------------------------


def settings() -> str:
    """Every setting: its name in `penstock.toml`, its environment variable, its default, its meaning."""
    rows = [
        (f"`{name}`", f"`{_variable(name, field)}`", _default(field), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    return _table(("setting", "environment", "default", "meaning"), rows)


def _variable(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    return alias if isinstance(alias, str) else f"{Settings.model_config['env_prefix']}{name}".upper()


def _default(field: FieldInfo) -> str:
    value = field.default
    text = value.get_secret_value() if hasattr(value, "get_secret_value") else value
    if text is None or text in ("", {}):
        return ""
    return f"`{json.dumps(text)}`" if isinstance(text, bool) else f"`{text}`"


# --- commands ---------------------------------------------------------------------------------------------------------


def commands() -> str:
    """The help of every command, as the terminal shows it."""
    return "\n\n".join(
        f"## `{name}`\n\n```text\n{_help(command, name)}\n```"
        for name, command in _leaves("penstock", typer.main.get_command(program))
    )


def command_names() -> list[str]:
    """Every command that does something, such as `penstock keys create`."""
    return [name for name, _ in _leaves("penstock", typer.main.get_command(program))]


def _leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - typer keeps its own classes private
    inside: Mapping[str, Any] = getattr(command, "commands", {})
    if not inside:
        yield name, command
    for word, one in inside.items():
        yield from _leaves(f"{name} {word}", one)


def _help(command: Any, name: str) -> str:  # noqa: ANN401 - as above
    context = typer.Context(command, info_name=name, terminal_width=TERMINAL_COLUMNS)
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


def scopes() -> str:
    """What a key may be allowed."""
    return ", ".join(f"`{scope.value}`" for scope in Scope)


# --- errors -----------------------------------------------------------------------------------------------------------


def errors() -> str:
    """Every error of the native API: its code, its status, what it means."""
    rows = [
        (f"`{row.code}`", str(row.status), _sentence(inspect.getdoc(error) or ""))
        for error, row in sorted(ERRORS.items(), key=lambda item: (item[1].status, item[1].code))
    ]
    return _table(("code", "status", "meaning"), rows)


def _sentence(docstring: str) -> str:
    """The first paragraph on one line, without the numbers of rules, which are for readers of the code."""
    return RULE_NUMBERS.sub("", " ".join(docstring.partition("\n\n")[0].split()))


# --- events -----------------------------------------------------------------------------------------------------------


def events() -> str:
    """What is told about uploads and runs."""
    return _table(("event", "meaning and `data`"), [(f"`{kind.value}`", MEANINGS[kind]) for kind in EventKind])


def log_events() -> str:
    """What is written to standard error."""
    return _table(("event", "meaning (fields)"), [(f"`{name}`", meaning) for name, meaning in EVENTS.items()])


# --- metrics ----------------------------------------------------------------------------------------------------------


def metrics() -> str:
    """What can be scraped, by the names of the samples."""
    rows = [
        (f"`{_sample(name, metric)}`", metric.kind, ", ".join(f"`{label}`" for label in metric.labels), metric.meaning)
        for name, metric in METRICS.items()
    ]
    return _table(("metric", "kind", "labels", "meaning"), rows)


def _sample(name: str, metric: Metric) -> str:
    return f"{name}_total" if metric.kind == "counter" else name


def store_operations() -> str:
    """The values of the label `operation`."""
    return ", ".join(f"`{name}`" for name in OPERATIONS)


# --- the embedded store as an S3 --------------------------------------------------------------------------------------


def store_errors() -> str:
    """Every error code of the store, with its status and its usual message."""
    refusals = [fault for fault in vars(faults).values() if isinstance(fault, faults.Fault)]
    signatures: list[type[SignatureError]] = [SignatureError, *SignatureError.__subclasses__()]
    meanings: dict[tuple[str, int], list[str]] = {}
    for fault in refusals:
        meanings.setdefault((fault.code, fault.status), []).append(fault.message)
    for error in signatures:
        meanings.setdefault((error.code, error.status), [_sentence(error.__doc__ or "")])
    rows = [(f"`{code}`", str(status), " Or: ".join(meanings[code, status])) for code, status in sorted(meanings)]
    return _table(("code", "status", "meaning"), rows)


def conformance() -> str:
    """The tests of the conformance suite that fail, with the reason of each."""
    core = (S3_TESTS / "core.txt").read_text(encoding="utf-8").split()
    expected = tomllib.loads((S3_TESTS / "expected.toml").read_text(encoding="utf-8"))
    rows = [(f"`{name}`", entry["reason"]) for name, entry in expected.items()]
    return f"{len(core) - len(rows)} of {len(core)} pass.\n\n{_table(('test', 'why it fails'), rows)}"


# --- life cycles ------------------------------------------------------------------------------------------------------


def upload_states() -> str:
    """The life of an upload, drawn from its table."""
    return f"```text\n{drawn(UPLOAD_TABLE, UploadState.PENDING)}\n```"


def run_states() -> str:
    """The life of a run, drawn from its table."""
    return f"```text\n{drawn(RUN_TABLE, RunState.QUEUED)}\n```"


def model_upload_phases() -> str:
    """The phases of a model upload, drawn from their table."""
    return f"```text\n{drawn(PHASE_TABLE, Phase.VALIDATED)}\n```"


def drawn(table: Mapping[tuple[S, E], S], first: S) -> str:
    """A transition table as a tree from its first state; a state that was drawn above, or here, is only named."""
    seen = {first}

    def branches(state: S, indent: str) -> Iterator[str]:
        ways = [(event, following) for (origin, event), following in table.items() if origin is state]
        widest = max((len(event) for event, _ in ways), default=0)
        for number, (event, following) in enumerate(ways, start=1):
            last = number == len(ways)
            line = f"{indent}{'└' if last else '├'}─ {event} ─{'─' * (widest - len(event))}▶ {following}"
            if following in seen:
                yield line
                continue
            seen.add(following)
            yield line
            yield from branches(following, f"{indent}{' ' if last else '│'}{' ' * (widest + 6)}")

    return "\n".join([str(first), *branches(first, "")])


# --- rooms ------------------------------------------------------------------------------------------------------------


def rooms() -> str:
    """What each room may import of ours, as the contracts in `pyproject.toml` say."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    rows = []
    for contract in contracts:
        if contract["type"] == "forbidden" and contract["forbidden_modules"] == ["penstock.*"]:
            [room] = contract["source_modules"]
            rows.append((f"`{_short(room)}`", _allowed(room, contract.get("ignore_imports", []))))
    return _table(("room", "may import"), rows)


def _allowed(room: str, exceptions: Sequence[str]) -> str:
    """`ports, domain; objects also sigv4` of `penstock.adapters.** -> penstock.ports.**` and so on."""
    allowed: dict[str, list[str]] = {}
    for exception in exceptions:
        importer, _, imported = exception.partition(" -> ")
        part, name = _short(importer).removeprefix(_short(room)).strip("."), _short(imported)
        if name not in allowed.setdefault(part, []):
            allowed[part].append(name)
    everyone = ", ".join(f"`{name}`" for name in allowed.pop("", [])) or "nothing of ours"
    further = [f"`{part}` also {', '.join(f'`{name}`' for name in names)}" for part, names in allowed.items()]
    return "; ".join([everyone, *further])


def _short(module: str) -> str:
    return module.removeprefix("penstock.").removesuffix(".**")


# --- routes -----------------------------------------------------------------------------------------------------------


def openapi() -> Schema:
    """The native API's own description, as the server answers it at `/v1/openapi.json`."""
    services = cast("Services", _NoServices())
    answer: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        answer.append(message.get("body", b""))

    scope = {"type": "http", "method": "GET", "path": "/openapi.json", "headers": [], "query_string": b""}

    async def ask() -> None:
        await DIALECT.build(services, DIALECT.mount)(scope, receive, send)

    asyncio.run(ask())
    described: Schema = json.loads(b"".join(answer))
    return described


class _NoServices:
    """What it takes to describe the routes without serving them."""

    log = Log("docs", None)
    rates = Rates(RateLimits(), clock=SystemClock())


def operations(document: Schema) -> Iterator[tuple[str, str, Schema]]:
    """Method, path below the server's address, and description of every operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), DIALECT.mount + path, operation


def routes() -> str:
    """Every operation, by subject: what it takes, and what it answers."""
    document = openapi()
    parts: list[str] = []
    subjects: dict[str, list[str]] = {}
    for method, path, operation in operations(document):
        subjects.setdefault(operation["tags"][0], []).append(_operation(method, path, operation))
    for subject, described in subjects.items():
        parts += [f"## {subject.capitalize()}", *described]
    return "\n\n".join(parts)


def _operation(method: str, path: str, operation: Schema) -> str:
    parts = [f"### `{method} {path}`", operation["description"]]
    parameters = [one for one in operation.get("parameters", []) if one["in"] != "path"]
    if parameters:
        rows = [
            (f"`{_spelled(one)}`", one["in"], _type(one["schema"]), one.get("description", "")) for one in parameters
        ]
        parts.append(_table(("parameter", "in", "type", "meaning"), rows))
    body = operation.get("requestBody")
    if body:
        content = body["content"]
        taken = (
            _link(content["application/json"]["schema"])
            if "application/json" in content
            else f"`{next(iter(content))}`"
        )
        parts.append(f"Takes {taken}.")
    parts.append(_answer(operation))
    return "\n\n".join(parts)


def _spelled(parameter: Schema) -> str:
    name: str = parameter["name"]
    return "-".join(word.capitalize() for word in name.split("-")) if parameter["in"] == "header" else name


def _answer(operation: Schema) -> str:
    status, response = next((key, value) for key, value in operation["responses"].items() if key.startswith(("2", "3")))
    schema = response.get("content", {}).get("application/json", {}).get("schema")
    if schema:
        return f"Answers {status} with {_link(schema)}."
    return (
        f"Answers {status}{' with server-sent events' if 'text/event-stream' in response.get('content', {}) else ''}."
    )


def shapes() -> str:
    """Every object of the native API: its fields, their types, their meanings."""
    schemas: Mapping[str, Schema] = openapi()["components"]["schemas"]
    return "\n\n".join(_shape(name, schema) for name, schema in sorted(schemas.items()) if not name.startswith("HTTP"))


def _shape(name: str, schema: Schema) -> str:
    required = set(schema.get("required", ()))
    takes = schema.get("additionalProperties") is False  # only requests refuse what they do not know
    rows = [
        (
            f"`{field}`",
            _type(value) + ("" if not takes or field in required else ", optional"),
            value.get("description", ""),
        )
        for field, value in schema["properties"].items()
    ]
    return f"### {name}\n\n{schema['description']}\n\n{_table(('field', 'type', 'meaning'), rows)}"


def _link(schema: Schema) -> str:
    return " or ".join(f"[{name}](#{name.lower()})" for name in _names(schema))


def _names(schema: Schema) -> list[str]:
    choices = schema.get("anyOf", [schema])  # several shapes, or a body that may be left out: the shape, or nothing
    return [one["$ref"].rpartition("/")[2] for one in choices if "$ref" in one]


def _type(schema: Schema) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return _link(schema)
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "const" in schema:
        return f'`"{schema["const"]}"`'
    words: str = schema.get("type", "any JSON value")
    if words == "array":
        words = f"list of {_type(schema['items'])}"
    elif words == "object" and isinstance(schema.get("additionalProperties"), dict):
        words = f"object of {_type(schema['additionalProperties'])}"
    return words + "".join(_bounds(schema))


def _bounds(schema: Schema) -> Iterator[str]:
    lengths, values = (schema.get("minLength"), schema.get("maxLength")), (schema.get("minimum"), schema.get("maximum"))
    for (least, most), unit in ((lengths, " characters"), (values, "")):
        if least is not None and most is not None:
            yield f", {least:g} to {most:g}{unit}"
        elif least is not None:
            yield f", at least {least:g}{unit}"
    if schema.get("default") not in {None, ""} and "const" not in schema:
        yield f", default {schema['default']}"


# --- media types ------------------------------------------------------------------------------------------------------


def demo_models() -> str:
    """Every model of the demo catalog, as the catalog has it."""
    text = resources.files("penstock").joinpath("demo_catalog.toml").read_text("utf-8")
    return "\n\n".join(_demo_model(model) for model in parse_catalog(tomllib.loads(text)).models)


def _demo_model(model: Model) -> str:
    rows = [
        (
            f"`{field.name}`",
            _listed(field.choices) or ("a file: " + ", ".join(field.accepts) if field.accepts else field.type.value),
            "needed" if field.required else "" if field.default is None else f"`{field.default}`",
            field.description,
            _listed(field.synonyms),
        )
        for field in model.inputs
    ]
    names = f"Also called {_listed(model.aliases)}. " if model.aliases else ""
    made = "; ".join(f"`{output.name}`: {output.description}" for output in model.outputs)
    table = _table(("input", "takes", "default", "meaning", "other names"), rows)
    return f"### {model.slug}\n\n{model.description}\n\n{names}{model.price} USD a run. Output: {made}\n\n{table}"


def media_types() -> str:
    """Every type that the bytes can show, by kind."""
    return "\n\n".join(f"### {kind.value.capitalize()}\n\n{_types_of(kind)}" for kind in Kind)


def _types_of(kind: Kind) -> str:
    rows = [
        (f"`{one.name}`", one.title, _listed(one.extensions), "yes" if one.inline else "", _other_names(one))
        for one in types_of(kind)
    ]
    return _table(("type", "is", "files", "shown in place", "other names, and types that fit"), rows)


def _other_names(one: MediaType) -> str:
    return "; fit: ".join(part for part in (_listed(one.synonyms) or "none", _listed(one.related)) if part)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in lines)


def model_declarations() -> str:
    """What a file of each category and family may be declared as."""
    return _table(("category", "structure", "architecture", "let through with a warning"), [*_declarations()])


def _declarations() -> Iterator[tuple[str, ...]]:
    for category, family, facts, words in MODEL_STRUCTURES:
        found = Found(category=category, family=family, facts=dict.fromkeys(facts, True))
        label = families.LABELS[family] + (f", {words}" if words else "")
        names = _listed(families.acceptable(found))
        categories = ("lora", "lycoris") if category == "lora" else (category,)
        yield _listed(categories), label, names, _listed([*families.tolerable(found)])


def model_relatives() -> str:
    """Families that are recognised and that no architecture covers, in words."""
    covered = {*families.CHECKPOINTS, *families.ADAPTERS, *families.VAES}
    labels = (label for family, label in families.LABELS.items() if family not in covered)
    return "; ".join(dict.fromkeys(label for label in labels if label != families.ANOTHER)) + "."


def model_verdicts() -> str:
    """How a file can fit its declaration."""
    return _table(("verdict", "means"), [(f"`{kind}`", meaning) for kind, meaning in verdict.MEANINGS.items()])


MODEL_STRUCTURES = (
    *(("checkpoint", family, (), "") for family in families.CHECKPOINTS),
    ("checkpoint", "sd1", ("cond_proj",), "distilled with LCM (`time_embedding.cond_proj`)"),
    ("checkpoint", "sdxl", ("cond_proj",), "distilled with LCM (`time_embedding.cond_proj`)"),
    ("checkpoint", "flux1", ("guidance",), "with guidance"),
    ("checkpoint", "flux1", (), "without guidance"),
    *(("lora", family, (), "") for family in families.ADAPTERS),
    ("lora", "flux1", ("guidance",), "that changes the guidance, or takes a control image"),
    *(("controlnet", family, (), "") for family in families.GUIDES),
    ("controlnet", "flux1", ("guidance",), "with guidance"),
    ("controlnet", "flux1", (), "without guidance"),
    *(("vae", family, (), "") for family in families.VAES),
    *(("embeddings", family, (), "") for family in ("sd1", "sdxl", "sd3", "flux1")),
)
"""Category and family, the facts that a row stands for, and these in words."""

BLOCKS: Mapping[str, Callable[[], str]] = {
    "settings": settings,
    "commands": commands,
    "scopes": scopes,
    "errors": errors,
    "events": events,
    "log-events": log_events,
    "metrics": metrics,
    "store-operations": store_operations,
    "store-errors": store_errors,
    "conformance": conformance,
    "upload-states": upload_states,
    "run-states": run_states,
    "model-upload-phases": model_upload_phases,
    "rooms": rooms,
    "routes": routes,
    "shapes": shapes,
    "demo-models": demo_models,
    "media-types": media_types,
    "model-declarations": model_declarations,
    "model-relatives": model_relatives,
    "model-verdicts": model_verdicts,
}

if __name__ == "__main__":
    main()
