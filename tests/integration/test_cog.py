"""A model in a container, from the catalog to the asset that it made."""

from __future__ import annotations

import textwrap
from pathlib import Path

from tests.support.cog import cog_server
from tests.support.native import Native
from tests.support.server import clean_environment, running_server

CAT = (Path(__file__).parents[2] / "examples" / "chelsea.png").read_bytes()
MODEL = """
    [[model]]
    slug = "acme/enhance"
    runner = "cog"
    runner_model = "{address}"
    price = "0.05"

    [[model.input]]
    name = "image"
    type = "file"
    accepts = ["image"]

    [[model.input]]
    name = "what"

    [[model.output]]
    name = "output"
    type = "file"
    kind = "image"
"""


def test_a_run_of_a_container_takes_an_upload_and_makes_an_asset(tmp_path: Path) -> None:
    folder = tmp_path / "container"
    folder.mkdir()
    with cog_server(folder) as address:
        (tmp_path / "catalog.toml").write_text(textwrap.dedent(MODEL).format(address=address))
        own = clean_environment(PENSTOCK_CATALOG=str(tmp_path / "catalog.toml"), PENSTOCK_COG_CALLBACK_PORT="0")
        with running_server(tmp_path / "data", environment=own) as server:
            native = Native(url=server.url, key=server.create_key())
            asset = native.settled(native.upload(CAT))

            run = native.finished(native.start("acme/enhance", {"image": asset["id"]})["id"])
            failed = native.finished(native.start("acme/enhance", {"what": "failure"})["id"])

            made = native.get(f"/assets/{run['output']['asset_id']}").must(200)
            assert (run["state"], made["sha256"], made["content_type"]) == ("succeeded", asset["sha256"], "image/png")
            assert failed["state"] == "failed"
            assert "no such luck" in str(failed["error"])
            assert native.balance() == "99.95"
