"""The page on the S3 API names what is served, and the list of failing conformance tests is one of known tests."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from penstock.store.metering import _OPERATIONS
from penstock.store.routes import Routes

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "s3.md").read_text(encoding="utf-8")
SUITE = ROOT / "tools" / "s3tests"
CORE = [line.partition("::")[2] for line in (SUITE / "core.txt").read_text(encoding="utf-8").split()]
EXPECTED: dict[str, dict[str, str]] = tomllib.loads((SUITE / "expected.toml").read_text(encoding="utf-8"))
GATE = re.compile(
    r"test_post_object|test_object_raw|test_object_presigned|test_cors_presigned|test_ranged|.*multipart|.*c(?:heck|k)sum"
)


class AnyRoutes:
    def __getattr__(self, name: str) -> str:
        return name


def served() -> set[str]:
    there: Any = AnyRoutes()
    routes = Routes(there, there, there, there, public_acls=False)
    levels = (("service", routes._service), ("bucket", routes._bucket), ("object", routes._object))  # noqa: SLF001
    return {_OPERATIONS[level, method, names - {"versionId"}] for level, table in levels for method, names in table}


def test_every_operation_that_is_served_stands_on_the_page_and_no_other() -> None:
    table = PAGE.partition("## Operations")[2].partition("Any other operation")[0]
    named = set(re.findall(r"`([A-Z][A-Za-z0-9]+)`", table)) - {"KEY"}

    assert named - {"PUT", "HEAD", "GET", "DELETE"} == served() | {"CopyObject", "UploadPartCopy", "PostObject"}


def test_only_known_tests_may_fail_and_each_with_a_reason() -> None:
    assert set(EXPECTED) <= set(CORE)
    assert all(entry["reason"].endswith(".") for entry in EXPECTED.values())


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_no_test_of_forms_signed_urls_multipart_ranges_or_checksums_may_fail(name: str) -> None:
    assert not GATE.match(name)
