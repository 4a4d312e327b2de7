"""`modelUpload` tasks: a good one of each category, what is wrong with others, and what is just inside the limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Task = dict[str, Any]

UUID = "b8c4d952-7f27-4a6e-bc9a-83f01d1c6d59"
COMMON: Task = {
    "taskType": "modelUpload",
    "taskUUID": UUID,
    "architecture": "sdxl",
    "format": "safetensors",
    "air": "acme:1@1",
    "uniqueIdentifier": "sha256-of-it",
    "name": "A model",
    "version": "v1",
    "downloadURL": "https://files.example.com/model.safetensors?token=t",
}
OF_ITS_OWN: dict[str, Task] = {
    "checkpoint": {"type": "base"},
    "lora": {},
    "lycoris": {},
    "controlnet": {},
    "vae": {},
    "embeddings": {"type": "positive"},
}
NAMED_BY_MANY = {
    "downloadURL": ("downloadURL", "downloadUrl"),
    "heroImageURL": ("heroImageURL", "heroImageUrl"),
    "defaultCFG": ("defaultCFG", "defaultGuidanceScale", "defaultCFGScale"),
}
LEFT_OUT = object()
"""In place of a value."""


def task_of(category: str = "checkpoint", changes: Mapping[str, object] | None = None, /, **more: object) -> Task:
    """A good task, but for what the test says; `LEFT_OUT` takes a member away."""
    whole = {**COMMON, "category": category, **OF_ITS_OWN.get(category, {}), **(changes or {}), **more}
    return {name: value for name, value in whole.items() if value is not LEFT_OUT}


REQUIRED = ("category", "type", "architecture", "format", "air", "uniqueIdentifier", "name", "version", "downloadURL")
WRONG: dict[str, tuple[object, ...]] = {
    "checkpoint.category": ("model", "", 7, ["lora"], "Checkpoint"),
    "checkpoint.type": ("positive", "pix2pix", "", 7, True),
    "embeddings.type": ("base", "neutral", 7),
    "checkpoint.architecture": ("sd2x", "SDXL", "", 7, ["sdxl"]),
    "controlnet.conditioning": ("scribble", "Canny", "", 7, ["canny"]),
    "checkpoint.format": ("pickletensor", "ckpt", "", 7),
    "checkpoint.air": (
        *("", "acme", "acme:1", "1@1", "acme:one@1", "acme:1@one", "acme:1@", "acme:@1", ":1@1", "acme:1@1@1"),
        *("acme:1.5@1", "acme:-1@1", "acme: 1@1", "acme:1@1 ", "acme:1:2@1", 7, ["acme:1@1"], "a" * 200 + ":1@1"),
    ),
    "checkpoint.uniqueIdentifier": ("", 7, ["x"], "x" * 1001),
    "checkpoint.name": ("", 7, ["x"], "x" * 1001),
    "checkpoint.version": ("", 7, 1.5, "x" * 401),
    "checkpoint.downloadURL": (
        *("", 7, "words", "ftp://files.example.com/m", "file:///etc/passwd", "https://u:p@files.example.com/m"),
        *("https://files.example.com/a b", "//files.example.com/m", "https://" + "a" * 3000, "javascript:0"),
    ),
    "checkpoint.defaultSteps": (0, 101, -1, 20.5, "20", True, [20]),
    "checkpoint.defaultScheduler": ("", 7, True, ["Default"]),
    "checkpoint.defaultCFG": (-0.01, 30.01, "7", True, [7]),
    "checkpoint.defaultStrength": (-0.01, 1.01, "0.8", True),
    "lora.defaultWeight": (-4.01, 4.01, "1", False),
    "checkpoint.private": ("true", 1, 0, "yes", []),
    "checkpoint.heroImageURL": (7, "", "words", "ftp://files.example.com/p.png", "data:image/png;base64,AA=="),
    "checkpoint.tags": ("a,b", 7, [7], [""], ["x" * 401], [str(n) for n in range(101)], {"a": "b"}, [["a"]]),
    "checkpoint.positiveTriggerWords": (7, True, [7], [""], {"a": "b"}, ["x" * 401], "x" * 401, ", ".join("x" * 101)),
    "lora.negativeTriggerWords": (7, True, [7], {"a": "b"}),
    "checkpoint.shortDescription": ("x", "", "x" * 40_001, 7, ["xx"]),
    "checkpoint.comment": ("x", "", "x" * 1001, 7, ["xx"]),
    "checkpoint.webhookURL": ("", 7, "words", "ftp://files.example.com/hook", "https://u:p@files.example.com/"),
    "checkpoint.deliveryMethod": ("later", "SYNC", "", 7, True),
}
"""By category and parameter: values of the wrong type, not on the list, one below and one above the limits."""
FIT: dict[str, tuple[object, ...]] = {
    "checkpoint.type": ("base", "inpainting", "refiner"),
    "embeddings.type": ("positive", "negative"),
    "checkpoint.air": ("acme:1@0", "ACME:123@08629", "acme:999999999999999999@999999999"),
    "checkpoint.defaultSteps": (1, 100, 20.0, None),
    "checkpoint.defaultScheduler": ("Default", "DPM++ 2M Karras", None),
    "checkpoint.defaultCFG": (0, 30, 7.5, None),
    "checkpoint.defaultStrength": (0, 1, 0.8, None),
    "lora.defaultWeight": (-4, 4, 0.75, None),
    "checkpoint.private": (True, False, None),
    "checkpoint.tags": ([], ["x" * 400] * 3, [f"{n:0400}" for n in range(100)], ["é" * 400], None),
    "checkpoint.positiveTriggerWords": ("one", "one, two", ", ", "a,, ", ["one", "two"], [], "", ["x" * 400], None),
    "lora.negativeTriggerWords": ("one, two", ["one", "two"], None),
    "checkpoint.shortDescription": ("xx", "x" * 40_000, None),
    "checkpoint.comment": ("xx", "x" * 1000, None),
    "checkpoint.deliveryMethod": ("sync", "async", None),
    "checkpoint.retry": (0, 3, "whatever"),
    "checkpoint.defaultWeight": (99, "not for checkpoints"),
    "checkpoint.conditioning": ("not for checkpoints",),
    "vae.type": ("not for a VAE",),
    "vae.positiveTriggerWords": (7,),
    "vae.defaultSteps": ("many",),
    "vae.somethingElse": ({"unknown": ["keys", "are", "ignored"]},),
}
"""Just inside the limits, and what does not apply to the category."""


def wrong_tasks() -> list[tuple[Task, str, str]]:
    """Each wrong task, its error's code, and the parameter that the error names."""
    found = [
        (task_of("checkpoint", {name: nothing}), f"missing{_capital(name)}", name)
        for name in REQUIRED
        for nothing in (None, LEFT_OUT)
    ]
    found.append((task_of("embeddings", type=LEFT_OUT), "missingType", "type"))
    for place, values in WRONG.items():
        category, _, name = place.partition(".")
        for spelling in NAMED_BY_MANY.get(name, (name,)):
            left_out = {name: LEFT_OUT} if spelling != name else {}
            found += [
                (task_of(category, {**left_out, spelling: value}), f"invalid{_capital(name)}", name) for value in values
            ]
    return found


def fit_tasks() -> list[Task]:
    """Tasks that must be accepted."""
    return [
        task_of(category, {name: value})
        for (category, _, name), values in ((place.partition("."), values) for place, values in FIT.items())
        for value in values
    ]


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]
