"""`vivace bench prefer`: finds the pairs, makes their videos, serves the page, and prints the result."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import uvicorn

from vivace.bench.prefer.app import Poll, create_app
from vivace.bench.prefer.ballots import read_ballots
from vivace.bench.prefer.pairs import Pair, Side, digest, find_pairs, write_pair
from vivace.bench.prefer.votes import votes_command
from vivace.bench.suite import make_folder, progress_bar
from vivace.errors import UsageError

HOST = "127.0.0.1"
MAX_PORT = 65535


def prefer_command(a: Path, b: Path, source: Path, out: Path, port: int) -> None:
    """Serve the page of two systems' outputs until Ctrl-C, then print the preferences.

    Args:
        a: outputs of one system.
        b: outputs of the other.
        source: clips that both were given.
        out: folder for the ballots.
        port: port on this machine.

    Raises:
        UsageError: the folders do not match, `out` holds votes on other pairs, or the port is taken.
        MediaError: clips that cannot be read or shown together.
    """
    pairs = find_pairs(a, b, source)
    told_apart = digest(pairs)
    make_folder(out)
    if any(out.glob("*.json")):
        ballots = read_ballots(out)
        if ballots[0].pairs != told_apart:
            raise UsageError(
                f"{out} holds votes on other pairs, of {ballots[0].a} and {ballots[0].b}; name another folder with "
                "--out, or bring back the clips as they were"
            )
    with _listen(port) as listening, tempfile.TemporaryDirectory(prefix="vivace-prefer-") as folder:
        videos = _write_videos(pairs, Path(folder))
        poll = Poll((str(a), str(b)), {pair.name: pair for pair in pairs}, videos, told_apart, out)
        server = uvicorn.Server(uvicorn.Config(create_app(poll), access_log=False, log_level="warning"))
        print(f"{len(pairs)} pairs are at http://{HOST}:{listening.getsockname()[1]}  (Ctrl-C ends it)", flush=True)
        with suppress(KeyboardInterrupt):  # raised again once everything is closed
            server.run(sockets=[listening])
    if any(out.glob("*.json")):
        votes_command(out)


def _listen(port: int) -> socket.socket:
    if not 0 <= port <= MAX_PORT:
        raise UsageError(f"--port is {port}; give 0 (any that is free) to {MAX_PORT}")
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise UsageError(f"cannot listen on port {port} ({error.strerror}); choose another with --port") from error


def _write_videos(pairs: Sequence[Pair], folder: Path) -> Mapping[tuple[str, Side], Path]:
    videos: dict[tuple[str, Side], Path] = {}
    with progress_bar() as report:
        for place, pair in enumerate(pairs):
            report(place, len(pairs), pair.name)
            left: dict[Side, Path] = {"a": folder / f"{place}-a.mp4", "b": folder / f"{place}-b.mp4"}
            write_pair(pair, left)
            videos |= {(pair.name, side): path for side, path in left.items()}
    return videos
