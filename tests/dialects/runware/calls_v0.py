"""The older official Python SDK (0.x), unchanged but for address and key: makes calls, one after another or at once.

Arguments: address, key, and a JSON list of [method, type of the argument, its members] (a list of such lists is done at
once); without a type, the argument stands in place of the members. The method `heartbeat` waits for the answer to the
client's next ping.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from typing import Any

import runware  # type: ignore[import-untyped]  # the client has no types
from runware.utils import RunwareAPIError  # type: ignore[import-untyped]  # likewise


async def call(
    client: Any,  # noqa: ANN401 - it has no types
    method: str,
    kind: str | None = None,
    argument: Any = None,  # noqa: ANN401 - JSON
) -> object:
    """What came of one call."""
    if method == "heartbeat":
        return {"result": await heartbeat(client)}
    try:
        made = getattr(client, method)
        arguments = [getattr(runware, kind)(**argument) if kind else argument] if argument is not None else []
        result = await made(*arguments)
    except RunwareAPIError as error:
        return {"error": {"code": error.code, "message": str(error)}}
    except (ConnectionError, TimeoutError) as error:
        return {"error": {"code": type(error).__name__, "message": str(error)}}
    return {"result": result}


async def heartbeat(client: Any) -> bool:  # noqa: ANN401 - as above
    """Whether the next ping is answered."""
    before = client._last_pong_time  # noqa: SLF001 - the client tells nobody
    for _ in range(1000):
        await asyncio.sleep(0.02)
        if client._last_pong_time != before:  # noqa: SLF001 - likewise
            return True
    return False


async def main(url: str, key: str, calls: list[Any]) -> None:
    """Print what came of each call."""
    client = runware.Runware(api_key=key, url=url)
    told: list[object] = []
    for step in calls:
        if isinstance(step[0], list):
            # Calls that connect at the same moment get a connection each, and the client then waits for ever for one.
            await client.connect()
            told.append(await asyncio.gather(*(call(client, *one) for one in step)))
        else:
            told.append(await call(client, *step))
    sys.stdout.write(json.dumps(told, default=as_json))
    await client.disconnect()


def as_json(value: object) -> object:
    """The client's own types."""
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else vars(value)  # type: ignore[arg-type]  # an instance


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
