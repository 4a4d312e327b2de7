"""Our page of this product: its routes are there and take no other methods, its limits hold."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.dialects.modelrunner import POLICY
from penstock.dialects.modelrunner.callbacks import policy as callback_policy
from penstock.domain.parts import LEAST_PART_BYTES, MOST_PARTS
from penstock.domain.runs import HISTORY

if TYPE_CHECKING:
    from tests.dialects.modelrunner.client import ModelRunner

PAGE = (Path(__file__).parents[3] / "docs" / "dialects" / "modelrunner.md").read_text(encoding="utf-8")
ROUTE = re.compile(r"`((?:GET|HEAD|POST|PUT|DELETE)(?:, (?:GET|HEAD))?) (/[^`?]*)[^`]*`")
VALUES = {"{owner}/{model}": "acme/unknown", "{id}": "A" * 21, "{key}": "0" * 32 + "-input.png"}


def test_every_route_that_it_names_is_there_and_takes_no_other_method(acme: ModelRunner) -> None:
    methods: defaultdict[str, set[str]] = defaultdict(set)
    for named, path in ROUTE.findall(PAGE):
        methods[path] |= set(named.split(", "))

    assert len(methods) >= 16
    for template, named in methods.items():
        path = template
        for name, value in VALUES.items():
            path = path.replace(name, value)
        other = acme.call("PATCH", path)
        # A model's name may go deeper, so that whatever is below one may be a model to POST to.
        every = named | ({"POST"} if template.startswith("/{owner}") else set())
        assert (other.status, set(other.headers["allow"].split(", "))) == (405, every), template
        for method in named - {"HEAD"}:
            if template != "/requests/stream":  # has no end
                answer = acme.call(method, path, {} if method == "POST" else None)
                code = answer.json()["details"]["code"] if answer.status >= 400 else None
                assert code not in {"NOT_FOUND", "METHOD_NOT_ALLOWED"}, (method, template)


def test_it_tells_the_limits_that_hold() -> None:
    assert f"| a file | {POLICY.max_bytes} bytes " in PAGE
    assert f"| a file in parts | {POLICY.max_multipart_bytes} bytes " in PAGE
    assert f"| a part | {LEAST_PART_BYTES} bytes (5 MiB) or more, but for the last; numbers 1 to {MOST_PARTS}," in PAGE
    assert f"| an upload in parts | {POLICY.multipart_ttl.days} days " in PAGE
    assert f"| `upload_url` | {POLICY.url_ttl.total_seconds():.0f} seconds " in PAGE
    assert f"at an account's newest\n{HISTORY} requests" in PAGE
    plan = callback_policy("http://127.0.0.1").plan
    told = [f"{pause.seconds} s" if pause.seconds < 60 else f"{pause.seconds // 60}" for pause in plan.delays]
    assert f"{', '.join(told[:-1])} and {told[-1]} minutes" in PAGE
    assert f"has {plan.within.seconds} seconds to answer" in PAGE
