"""The process of the embedded store. Imports neither the settings' library nor the command line's."""

from __future__ import annotations

import json
import sys
from functools import partial

from penstock import app
from penstock.cli.parts import Part, live


def main(arguments: list[str]) -> None:
    """Serve after the plan, a JSON object (`serving`)."""
    told = json.loads(arguments[0])
    live(Part(**told["part"]), partial(app.serve_store, app.StorePlan(**told["plan"])))


if __name__ == "__main__":
    main(sys.argv[1:])
