"""The newer official Python SDK (1.x), unchanged but for address and key: makes calls, one after another.

Runs in an environment of its own. Arguments: transport, address, key, and a JSON list of [method, argument].
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from runware import Runware, RunwareError  # type: ignore[import-untyped]  # another one is seen here


async def main(transport: str, url: str, key: str, calls: list[tuple[str, dict[str, Any]]]) -> None:
    """Print what came of each call."""
    address = {"http_base_url": url} if transport == "rest" else {"ws_base_url": "ws" + url.removeprefix("http")}
    client = Runware(api_key=key, transport=transport, max_retries=0, **address)
    told: list[object] = []
    for method, argument in calls:
        try:
            made = getattr(client, method)
            told.append({"result": await (made(argument) if argument else made())})
        except RunwareError as error:
            told.append({"error": {"code": error.code, "message": str(error), "taskUUID": error.task_uuid}})
    await client.close()
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])))
