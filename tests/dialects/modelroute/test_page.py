"""Our page of this product: its routes are there, its limits hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.dialects.modelroute import LATER_POLICY, POLICY

if TYPE_CHECKING:
    from tests.dialects.modelroute.client import ModelRoute

PAGE = (Path(__file__).parents[3] / "docs" / "dialects" / "modelroute.md").read_text(encoding="utf-8")
ROUTE = re.compile(r"`(GET|POST|PATCH|DELETE) (/v1/[^`]*)`")


def test_every_route_that_it_names_is_there(acme: ModelRoute) -> None:
    routes = set(ROUTE.findall(PAGE))

    assert len(routes) >= 8
    for method, path in routes:
        answer = acme.call(method, re.sub(r"\{\w+\}", "x", path), b"{}" if method in {"POST", "PATCH"} else None)
        assert answer.status < 300 or "no such route" not in answer.json()["error"]["message"], (method, path)
        assert answer.status != 405, (method, path)


def test_it_tells_the_limits_that_hold() -> None:
    assert f"| a file | {POLICY.max_bytes} bytes |" in PAGE
    assert f"| a file of the later form | {LATER_POLICY.max_bytes} bytes " in PAGE
    assert f"| `upload_url`, `url` | {POLICY.url_ttl.total_seconds():.0f} seconds |" in PAGE
