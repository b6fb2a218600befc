"""Sessions that come at once to empty workers: how much of the time they ask for is given, by us and with hindsight."""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Sequence

import numpy as np

from vivace.cluster.directory import Directory
from vivace.cluster.records import Hello, ModelLoad, Report, Want
from vivace.errors import CapacityError

WEIGHTS = (1.0, 2.0, 4.0)
SHARES = (0.6, 0.3, 0.1)
"""Sessions of each weight, in steps at the default size."""
SLOTS = (3, 5, 8, 12)
"""Sessions of weight 1 that machines of different speed take."""
DEMAND = 1.1
"""Time that is asked for, in what there is."""


def burst(workers: int, seed: int) -> tuple[list[int], list[float]]:
    """Return the slots of some workers and the weights of sessions that ask for more than these have."""
    chance = random.Random(seed)
    slots = [chance.choice(SLOTS) for _ in range(workers)]
    weights: list[float] = []
    while sum(weights) < DEMAND * sum(slots):
        weights += chance.choices(WEIGHTS, SHARES)
    return slots, weights


def accepted_by_directory(slots: Sequence[int], weights: Sequence[float]) -> float:
    """Return the weight that the real directory finds places for, in the order in which sessions come."""
    directory = Directory("simulated", lambda: 0.0)
    for index, count in enumerate(slots):
        name = f"w{index}"
        load = ModelLoad(loaded=True, slots=count, free=count)
        directory.register(Hello(name=name, incarnation="0", version="simulated", url=f"http://{name}"))
        directory.report(Report(name=name, incarnation="0", models={"mini": load}))
    left = {f"w{index}": float(count) for index, count in enumerate(slots)}
    accepted = 0.0
    for weight in weights:
        try:
            place = directory.place(Want(model="mini", area=weight))
        except CapacityError:
            continue
        if left[place.worker] >= weight:  # else it waits in that worker's queue
            left[place.worker] -= weight
            accepted += weight
        else:
            directory.release(place)
    return accepted


def accepted_exactly(slots: Sequence[int], weights: Sequence[float]) -> float:
    """Return the most weight that any assignment gives, with all sessions known before: an integer programme.

    With `n_kw` sessions of class `k` on worker `w`: the largest sum of `weight_k n_kw`, where a worker's slots and the
    sessions of a class are enough.
    """
    from scipy.optimize import LinearConstraint, milp  # with scikit-image, of the extra `bench`

    counts = Counter(weights)
    classes = sorted(counts)
    values = np.repeat(np.asarray(classes), len(slots))
    of_worker = np.hstack([weight * np.eye(len(slots)) for weight in classes])
    of_class = np.kron(np.eye(len(classes)), np.ones(len(slots)))
    solved = milp(
        -values,
        constraints=[
            LinearConstraint(of_worker, ub=np.asarray(slots, float)),
            LinearConstraint(of_class, ub=np.asarray([counts[weight] for weight in classes], float)),
        ],
        integrality=np.ones_like(values),
    )
    return float(-solved.fun)


def accepted_with_hindsight(slots: Sequence[int], weights: Sequence[float]) -> float:
    """Return the weight that is placed where all sessions are known before: the largest first, each where it just fits.

    For sizes at which the exact assignment takes too long.
    """
    left = sorted((float(count), index) for index, count in enumerate(slots))
    accepted = 0.0
    for weight in sorted(weights, reverse=True):
        at = bisect_left(left, (weight, -1))
        if at < len(left):
            free, index = left.pop(at)
            insort(left, (free - weight, index))
            accepted += weight
    return accepted
