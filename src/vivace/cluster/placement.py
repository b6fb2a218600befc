"""Placement of sessions on workers: who has the model loaded and room for it, near if that can be had.

Sessions are spread, since one that has a device to itself is painted with more effort. Where only few workers could
still take a large session, small ones go where they just fit, so that large ones find a place.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict, deque
from collections.abc import Collection, Iterator
from typing import NamedTuple

KEPT_SHARE = 0.25
"""Share of the workers that is kept able to take a large session. With a twentieth, 20 workers gave 2.4 % less of their
time than the best assignment would; with a quarter, as much (`vivace bench scale`)."""
LATELY = 256
"""Sessions of which the largest says what a large one is."""


class Offer(NamedTuple):
    """Room for sessions of one model on one worker."""

    loaded: bool
    free: float
    """Sessions of weight 1 that still fit."""
    queued: float
    """Sessions that wait there for each of its slots."""
    region: str


class _Ranks:
    """Workers by a figure, from the least; finds, adds and removes in the time of a binary search."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, value: float, name: str) -> None:
        insort(self._entries, (value, name))

    def remove(self, value: float, name: str) -> None:
        del self._entries[bisect_left(self._entries, (value, name))]

    def from_least(self, least: float) -> Iterator[str]:
        for index in range(bisect_left(self._entries, (least, "")), len(self._entries)):
            yield self._entries[index][1]

    def from_most(self, least: float) -> Iterator[str]:
        first = bisect_left(self._entries, (least, ""))
        for index in range(len(self._entries) - 1, first - 1, -1):
            yield self._entries[index][1]

    def count(self, least: float) -> int:
        return len(self._entries) - bisect_left(self._entries, (least, ""))


EVERYWHERE = ""
"""Region of the lists that hold all workers."""


class _Pool:
    """Workers that offer one model and have it loaded, or have not; all of them, and those of each region."""

    def __init__(self) -> None:
        self.by_free: defaultdict[str, _Ranks] = defaultdict(_Ranks)
        self.by_queue: defaultdict[str, _Ranks] = defaultdict(_Ranks)

    def _regions(self, offer: Offer) -> set[str]:
        return {EVERYWHERE, offer.region}

    def add(self, name: str, offer: Offer) -> None:
        for region in self._regions(offer):
            self.by_free[region].add(offer.free, name)
            self.by_queue[region].add(offer.queued, name)

    def remove(self, name: str, offer: Offer) -> None:
        for region in self._regions(offer):
            self.by_free[region].remove(offer.free, name)
            self.by_queue[region].remove(offer.queued, name)

    def fitting(self, weight: float, large: float, region: str) -> Iterator[str]:
        """Yield workers with room for a session, the best first."""
        ranks = self.by_free[region]
        if ranks.count(large) > KEPT_SHARE * len(ranks):
            return ranks.from_most(weight)
        return ranks.from_least(weight)


class Placement:
    """Index of the offers of all workers. Not thread-safe."""

    def __init__(self) -> None:
        self._offers: dict[tuple[str, str], Offer] = {}
        """By worker and model."""
        self._pools: defaultdict[tuple[str, bool], _Pool] = defaultdict(_Pool)
        """By model, and whether it is loaded."""
        self._weights: deque[float] = deque(maxlen=LATELY)

    def put(self, worker: str, model: str, offer: Offer | None) -> None:
        """Take what a worker offers of a model now; None: nothing."""
        before = self._offers.get((worker, model))
        if before == offer:
            return
        if before is not None:
            self._pools[model, before.loaded].remove(worker, before)
            del self._offers[worker, model]
        if offer is not None:
            self._pools[model, offer.loaded].add(worker, offer)
            self._offers[worker, model] = offer

    def expect(self, weight: float) -> None:
        """Note the weight of a session that has come: others like it may follow."""
        self._weights.append(weight)

    def choose(self, model: str, weight: float, region: str = EVERYWHERE, avoid: Collection[str] = ()) -> str | None:
        """Return the worker for a session: with the model loaded, then with room, then in the region.

        None where no worker has room.
        """
        large = max(self._weights, default=weight)
        for loaded in (True, False):
            pool = self._pools[model, loaded]
            for where in dict.fromkeys((region, EVERYWHERE)):
                found = next((name for name in pool.fitting(weight, large, where) if name not in avoid), None)
                if found is not None:
                    return found
        return None

    def shortest_queue(self, model: str, region: str = EVERYWHERE, avoid: Collection[str] = ()) -> str | None:
        """Return the worker in whose queue a session moves up first; None where no worker offers the model."""
        for loaded in (True, False):
            for where in dict.fromkeys((region, EVERYWHERE)):
                ranks = self._pools[model, loaded].by_queue[where]
                found = next((name for name in ranks.from_least(0.0) if name not in avoid), None)
                if found is not None:
                    return found
        return None
