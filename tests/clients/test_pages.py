"""What the page on S3 clients tells a reader to type works, section by section, as it stands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.clients.tools import NODE_FOLDER, environment, library, node_modules, program
from tests.support import pages
from tests.support.stores import embedded_store

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "howto/use-any-s3-client.md"
PROGRAMS = {"AWS CLI": "aws", "s3cmd": "s3cmd", "rclone": "rclone", "curl": "curl", "JavaScript": "node"}
LIBRARIES = {"boto3": "boto3", "minio-py": "minio", "obstore": "obstore"}


@pytest.mark.parametrize("section", [*PROGRAMS, *LIBRARIES])
def test_a_section_works_as_it_stands(section: str, tmp_path: Path) -> None:
    program(PROGRAMS.get(section, "curl"))
    if section in LIBRARIES:
        library(LIBRARIES[section])
    if section == "JavaScript":
        node_modules()
        (tmp_path / "node_modules").symlink_to(NODE_FOLDER / "node_modules")
    data = tmp_path / "penstock-data"
    bucket = "my-files" if section == "obstore" else "penstock"  # the one client that makes none
    with embedded_store(data, bucket=bucket) as place:
        (data / "credentials.json").rename(data / "store-credentials.json")  # as `penstock serve` names it
        pages.save_files(PAGE, tmp_path)
        host = place.endpoint.removeprefix("http://")
        for file in tmp_path.glob("*client*"):
            file.write_text(file.read_text(encoding="utf-8").replace("127.0.0.1:9000", host), encoding="utf-8")
        begin, *_ = pages.commands(PAGE)
        script = (begin + "\n".join(commands_of(section))).replace("127.0.0.1:9000", host)

        pages.run(script, tmp_path, environment(tmp_path))


def test_every_section_with_commands_is_tested() -> None:
    text = (pages.ROOT / "docs" / PAGE).read_text(encoding="utf-8")

    with_commands = {part.partition("\n")[0] for part in text.split("\n## ")[1:] if "\n```sh\n" in part}

    assert with_commands == {*PROGRAMS, *LIBRARIES}


def commands_of(section: str) -> list[str]:
    """The `sh` blocks below one heading."""
    text = (pages.ROOT / "docs" / PAGE).read_text(encoding="utf-8")
    body = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)
