"""What the pages tell a reader to type works, word for word, against a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support import pages

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.server import Server

PNG = b"\x89PNG\r\n\x1a\n"


def test_the_tutorial_works_from_its_first_command_to_its_last(server: Server, tmp_path: Path) -> None:
    begin, *rest = pages.commands("tutorial/first-upload.md")
    pages.save_files("tutorial/first-upload.md", tmp_path)

    said = pages.run("\n".join(_at(server, command) for command in rest), tmp_path, _environment(server))

    assert begin == "penstock serve\n"
    assert (tmp_path / "cut-out.png").read_bytes().startswith(PNG)
    assert (tmp_path / "drawing.png").read_bytes().startswith(PNG)
    assert "event: run.succeeded" in said
    assert '"code":"missing"' in said.replace(" ", "")
    assert "refused, and nothing was charged: " in said


def test_the_native_api_is_used_as_its_page_says(server: Server, api_key: str, tmp_path: Path) -> None:
    pages.save_files("reference/native.md", tmp_path)

    said = pages.run("\n".join(pages.commands("reference/native.md")), tmp_path, _environment(server, api_key))

    assert '"object":"upload"' in said
    assert '"object":"asset"' in said


def _at(server: Server, command: str) -> str:
    """The command with this server's address in place of the usual one."""
    return command.replace("http://127.0.0.1:8000", server.url)


def _environment(server: Server, api_key: str = "") -> dict[str, str]:
    environment = {**server.environment, "PENSTOCK_DATA": str(server.data), "PENSTOCK_URL": server.url}
    return {**environment, "PENSTOCK_API_KEY": api_key} if api_key else environment
