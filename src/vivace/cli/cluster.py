"""The commands of `vivace cluster`: look at a cluster through its gateway, empty a worker, move a session."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from vivace.cli.extras import need_serve_extra

if TYPE_CHECKING:
    from vivace.cluster.records import WorkerState

CLUSTER_HELP = """\
Look at a cluster of `vivace serve --cluster`, and move its sessions.

`docs/cluster.md` says how one is set up.
"""

CLUSTER_EXAMPLES = """\
Examples:

- `vivace cluster status`
- `vivace cluster drain w0 --restart`
- `vivace cluster move xYzAbC123456 --to w1`
"""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayFlags:
    """Gateway that is asked."""

    url: str = "http://127.0.0.1:8787"
    """Address of a gateway."""
    token: str | None = None
    """Token with the scope `admin`; VIVACE_TOKEN if not given. A gateway of this machine alone asks for none."""


def cluster_app() -> App:
    """Return `vivace cluster` with its commands."""
    app = App(name="cluster", help=CLUSTER_HELP, help_epilogue=CLUSTER_EXAMPLES, sort_key=3)

    @app.command(help_epilogue="")
    def status(*, gateway: GatewayFlags | None = None) -> None:
        """List the workers: models, slots, sessions, who is drained."""
        from vivace.cluster.records import WorkerState

        answer = _asked(gateway, "GET", "/v1/cluster")
        _show([WorkerState.model_validate(each) for each in answer["workers"]])

    @app.command(help_epilogue="")
    def drain(
        worker: str,
        /,
        *,
        stay: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
        restart: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
        off: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
        gateway: GatewayFlags | None = None,
    ) -> None:
        """Give a worker no new sessions, and have its own go on at others.

        Parameters
        ----------
        worker
            Its name.
        stay
            Let its sessions end in their own time.
        restart
            Start its process anew when they have gone; it takes sessions again after that.
        off
            Let it take sessions again.
        """
        body = {"on": not off, "move": not stay, "restart": restart}
        found = _asked(gateway, "POST", f"/v1/cluster/workers/{worker}/drain", json=body)
        if off:
            print(f"{worker} takes sessions again.")
        else:
            print(
                f"{worker} is drained; sessions that go on elsewhere: {found['moved']}, that stay: {found['stayed']}."
            )

    @app.command(help_epilogue="")
    def move(session: str, /, *, to: str | None = None, gateway: GatewayFlags | None = None) -> None:
        """Have a session go on at another worker, with its controls, seed and look.

        Parameters
        ----------
        session
            Its id.
        to
            A worker's name; the one with most room if not given.
        """
        answer = _asked(gateway, "POST", f"/v1/cluster/sessions/{session}/move", json={"to": to})
        print(f"{session} goes on at {answer['worker']}.")

    return app


def _asked(flags: GatewayFlags | None, method: str, path: str, **what: Any) -> Any:
    """Return what a gateway answers.

    Raises:
        ServerError: it refuses, or nobody answers.
    """
    need_serve_extra("the way to a gateway")
    from vivace.client import connect

    flags = flags or GatewayFlags()
    token = flags.token or os.environ.get("VIVACE_TOKEN") or None

    async def ask() -> Any:
        async with connect(flags.url, token=token) as client:
            return (await client.request(method, path, **what)).json()

    return asyncio.run(ask())


def _show(workers: list[WorkerState]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("worker", "state", "model", "slots", "free", "waits", "sessions", "region")
    table.add_column("at", overflow="fold")
    for worker in workers:
        state = "drained" if worker.draining else "up" if worker.silent_s < 1 else f"silent {worker.silent_s:.0f} s"
        for model, load in worker.models.items() or [("starting", None)]:
            figures = ["", "", ""] if load is None else [str(load.slots), f"{load.free:.1f}", str(load.waiting)]
            table.add_row(worker.name, state, model, *figures, str(worker.sessions), worker.region, worker.url)
    Console().print(table)
