"""The flags of `vivace serve --cluster`, and what they start."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from vivace.errors import BackendUnavailableError, UsageError, install_extra
from vivace.settings import state_folder

if TYPE_CHECKING:
    from vivace.serve.settings import ServeSettings

CLUSTER = Group("Cluster", sort_key=4)
MAX_WORKERS = 1_000
_WORKERS = re.compile(r"(\d{1,5})(?:\.\.(\d{1,5}))?")
REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,31}")


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFlags:
    """Flags of a gateway, and of the workers that it starts."""

    cluster: Annotated[bool, Parameter(group=CLUSTER, negative=(), show_default=False)] = False
    """Serve as the gateway of a cluster: sessions run on workers that Ray starts, on this machine or on many."""
    ray: Annotated[str | None, Parameter(group=CLUSTER)] = None
    """Address of the Ray to join, `auto` for that of this machine; `RAY_ADDRESS` or one of its own if not given."""
    workers: Annotated[str | None, Parameter(group=CLUSTER)] = None
    """Workers to start, such as 2, or 2..8 for as many as the sessions that wait need; one for each graphics card or,
    without any, for each machine, if not given."""
    region: Annotated[str | None, Parameter(group=CLUSTER)] = None
    """Label of where this gateway's clients and workers are; sessions stay there if there is room."""
    state: Annotated[Path | None, Parameter(group=CLUSTER)] = None
    """File of the directory's checkpoint; in the user's state folder if not given."""

    def check_alone(self) -> None:
        """Refuse flags of a cluster where none is asked for.

        Raises:
            UsageError: names the flag.
        """
        given = [name for name in ("ray", "workers", "region", "state") if getattr(self, name) is not None]
        if given and not self.cluster:
            raise UsageError(f"--{given[0]} is for a cluster; add --cluster, or leave it out")

    def serve(self, settings: ServeSettings) -> int:
        """Serve as a gateway; return the exit code.

        Raises:
            UsageError: a flag that cannot be used.
            BackendUnavailableError: Ray is not installed.
        """
        if importlib.util.find_spec("ray") is None:
            raise BackendUnavailableError(f"a cluster needs ray, which is not installed; {install_extra('cluster')}")
        if self.region is not None and not REGION.fullmatch(self.region):
            shown = self.region[:40]
            raise UsageError(f"--region {shown!r} is no label; give letters, digits, dots and dashes, up to 32")
        bounds = None if self.workers is None else _bounds(self.workers)
        from vivace.cluster.main import ClusterOptions, serve_cluster
        from vivace.cluster.scaling import Bounds

        workers = None if bounds is None else Bounds(*bounds)
        state = self.state or state_folder() / "cluster" / "directory.sqlite"
        return serve_cluster(settings, ClusterOptions(state.absolute(), self.ray, workers, self.region or ""))


def _bounds(text: str) -> tuple[int, int]:
    """Return least and most of `2` or `2..8`.

    Raises:
        UsageError: anything else.
    """
    found = _WORKERS.fullmatch(text.strip())
    least = int(found[1]) if found else -1
    most = int(found[2]) if found and found[2] else least
    if not 0 <= least <= most <= MAX_WORKERS:
        raise UsageError(
            f"--workers is {text[:20]!r}; give a number such as 2, a range such as 2..8, or 0 to start none; "
            f"{MAX_WORKERS} at most"
        )
    return least, most
