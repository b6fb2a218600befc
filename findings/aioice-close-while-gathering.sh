#!/usr/bin/env bash
# aioice 0.13.0: `Connection.close()` while `gather_candidates()` runs leaves UDP sockets open. The sockets of a component are noted
# down only when those of all host addresses have been made: `close` does not see them, and what is noted afterwards belongs to a
# connection that has been closed already. A server whose clients leave early loses a descriptor each time, until the garbage
# collector comes by.
#
# Expected: after `close()` returns and the gathering has ended, no socket of the connection is open.
# Remedy: let the gathering end, shielded from cancellation, before `close()` is called.
#
# Seen, sockets open afterwards, of a machine with one address or more:
#   gathered, then closed                0
#   closed while gathering               1 or more
#   gathering let go on, then closed     0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q "aioice==0.13.0"
env/bin/python - <<'PYTHON'
import asyncio
import os
from collections.abc import Awaitable, Callable

from aioice import Connection


def sockets() -> int:
    """Return how many sockets this process has open."""
    paths = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    return sum(os.path.exists(path) and os.readlink(path).startswith("socket:") for path in paths)


async def left_open(leave: Callable[[Connection, asyncio.Task[None]], Awaitable[None]]) -> int:
    before = sockets()
    connection = Connection(ice_controlling=True)
    gathering = asyncio.ensure_future(connection.gather_candidates())
    await leave(connection, gathering)
    await asyncio.gather(gathering, return_exceptions=True)
    await asyncio.sleep(0.1)
    return sockets() - before


async def in_order(connection: Connection, gathering: asyncio.Task[None]) -> None:
    await gathering
    await connection.close()


async def meanwhile(connection: Connection, gathering: asyncio.Task[None]) -> None:
    await asyncio.sleep(0)  # the gathering has begun
    await asyncio.sleep(0)
    await connection.close()


async def when_it_has_ended(connection: Connection, gathering: asyncio.Task[None]) -> None:
    await asyncio.sleep(0)
    await asyncio.wait([gathering])
    await connection.close()


async def main() -> None:
    found = {leave.__name__: await left_open(leave) for leave in (in_order, meanwhile, when_it_has_ended)}
    print(found)
    assert found["in_order"] == 0 and found["when_it_has_ended"] == 0, "closing in order is no longer clean"
    assert found["meanwhile"] > 0, "aioice closes them now"


asyncio.run(main())
PYTHON
echo "as described"
