"""Ray casting: the first solid that each ray of a lens hits, and its depth.

All (solid, pixel) pairs inside the solids' bounding rectangles are tested at once, by kind, in the solid's unit
coordinates: a handful of array operations for any number of solids.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vivace.worlds.raycast.lens import NEAR_M, Lens
from vivace.worlds.raycast.solids import Kind, Pose

F32 = NDArray[np.float32]
_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)
_EDGES = np.array([[0, 1], [2, 3], [4, 5], [6, 7], [0, 2], [1, 3], [4, 6], [5, 7], [0, 4], [1, 5], [2, 6], [3, 7]])
_BLOCK = 1 << 15
"""Pairs tested at a time, to fit the cache."""
_LARGE = 2000
"""Pixels above which a solid is tested separately: its coordinates are then scalars, not arrays."""
_FAR = np.float32(np.inf)


@dataclass(frozen=True, slots=True, eq=False)
class Shapes:
    """Solids of a shot as arrays; row 0 is the backdrop."""

    kind: NDArray[np.int8]
    unit: NDArray[np.float64]
    """Scale of the unit solid, `[p 3]`."""
    extra: NDArray[np.float64]
    """Taper of a TAPER; straight half height in radii of a CAPSULE."""

    def to_world(self, poses: Pose) -> Pose:
        """Return the matrices `[p 3 4]` from unit coordinates to the world."""
        matrices = poses.copy()
        matrices[..., :3] *= self.unit[:, None, :]
        return matrices


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Hits of a lens's rays."""

    solid: NDArray[np.int32]
    """Row of the solid, `[n]`; 0 is the backdrop."""
    depth: F32
    """Depth `[n]`, m; infinite for the backdrop."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Solids and the pixels that may show them, of one kind."""

    kind: Kind
    solid: NDArray[np.int32]
    """Rows of the solids, `[n]`, or `[1]` if the same for all."""
    pixel: NDArray[np.int32]


class Tracer:
    """One lens before solids in given poses."""

    def __init__(self, lens: Lens, shapes: Shapes, to_world: Pose, skip: NDArray[np.bool_] | None = None):
        """Prepare. `to_world`: `Shapes.to_world` of the moment's poses; `skip`: rows of absent solids."""
        self.lens = lens
        self._shapes = shapes
        turn, middle = lens.pose[:, :3], to_world[..., 3] - lens.position
        forward = turn[:, 2]
        inverse = np.linalg.inv(to_world[..., :3])
        shift = np.maximum(middle @ forward, 0.0)
        start = np.einsum("pij,pj->pi", inverse, shift[:, None] * forward - middle)
        along = inverse @ turn
        # Rows: start 0-2, forward 3-5, right 6-8, down 9-11, shift 12, extra 13.
        table = np.concatenate(
            [start, along[..., 2], along[..., 0], along[..., 1], shift[:, None], shapes.extra[:, None]], axis=1
        )
        self._table = np.ascontiguousarray(table.T.astype(np.float32))
        self._rectangles = self._bound(to_world)
        if skip is not None:
            self._rectangles[skip] = 0

    def _bound(self, to_world: Pose) -> NDArray[np.int64]:
        """Return conservative bounds of each solid in the picture, `[p 4]`: left, top, right, bottom, px."""
        reach = np.ones((len(to_world), 1, 3))
        capsule = self._shapes.kind == Kind.CAPSULE
        reach[capsule, 0, 1] += self._shapes.extra[capsule]
        taper = self._shapes.kind == Kind.TAPER
        reach[taper, 0, ::2] += np.abs(self._shapes.extra[taper])[:, None]
        world = np.einsum("pij,pkj->pki", to_world[..., :3], _CORNERS * reach) + to_world[:, None, :, 3]
        local = world @ self.lens.pose[:, :3] - self.lens.position @ self.lens.pose[:, :3]
        scale = self.lens.focal_px
        if self.lens.parallel:
            x, y = local[..., 0] * scale, local[..., 1] * scale
            seen = np.ones(x.shape, bool)
        else:
            # Edges are clipped where they pass behind the lens.
            ends = local[:, _EDGES]
            depth = ends[..., 2]
            other = ends[:, :, ::-1]
            span = other[..., 2] - depth
            behind = depth < NEAR_M
            share = np.where(behind & (span > 0), (NEAR_M - depth) / np.where(span == 0, 1, span), 0.0)
            ends = ends + (other - ends) * np.clip(share, 0, 1)[..., None]
            seen = (~behind | (other[..., 2] >= NEAR_M)).reshape(len(ends), -1)
            depth = np.maximum(ends[..., 2], NEAR_M)
            x, y = (ends[..., axis] / depth * scale for axis in (0, 1))
            x, y = x.reshape(seen.shape), y.reshape(seen.shape)
        width, height = self.lens.size
        big = 4.0 * (width + height)
        result = np.empty((len(x), 4), np.int64)
        for column, (values, middle, limit) in enumerate(((x, width / 2, width), (y, height / 2, height))):
            low = np.where(seen, values, big).min(axis=1) + middle - 1
            high = np.where(seen, values, -big).max(axis=1) + middle + 1
            result[:, column] = np.clip(np.floor(low), 0, limit)
            result[:, column + 2] = np.clip(np.ceil(high), 0, limit)
        result[0] = 0
        return result

    def pairs(self) -> list[Pairs]:
        """Return all pairs of solids and pixels that may show them, in blocks."""
        left, top, right, bottom = self._rectangles.T
        width = np.maximum(right - left, 0)
        count = width * np.maximum(bottom - top, 0)
        found = []
        for kind in Kind:
            rows = np.flatnonzero((self._shapes.kind == kind) & (count > 0))
            for row in rows[count[rows] > _LARGE]:
                found += self._large(kind, int(row))
            rows = rows[count[rows] <= _LARGE]
            while rows.size:
                total = np.cumsum(count[rows])
                block = max(1, int(np.searchsorted(total, _BLOCK, side="right")))
                chosen, rows = rows[:block], rows[block:]
                amounts = count[chosen]
                solid = np.repeat(chosen.astype(np.int32), amounts)
                first = np.cumsum(amounts) - amounts
                place = np.arange(len(solid), dtype=np.int32) - np.repeat(first.astype(np.int32), amounts)
                wide = np.repeat(width[chosen].astype(np.int32), amounts)
                row = place // wide
                stride = self.lens.size[0]
                corner = (top[chosen] * stride + left[chosen]).astype(np.int32)
                pixel = np.repeat(corner, amounts) + place + row * (np.int32(stride) - wide)
                found.append(Pairs(kind, solid, pixel))
        return found

    def _large(self, kind: Kind, solid: int) -> list[Pairs]:
        """Return the pairs of one solid."""
        left, top, right, bottom = self._rectangles[solid].tolist()
        stride = self.lens.size[0]
        rows = max(1, _BLOCK // (right - left))
        return [
            Pairs(
                kind,
                np.array([solid], np.int32),
                (
                    np.arange(first, min(first + rows, bottom), dtype=np.int32)[:, None] * np.int32(stride)
                    + np.arange(left, right, dtype=np.int32)
                ).reshape(-1),
            )
            for first in range(top, bottom, rows)
        ]

    def trace(self, pairs: list[Pairs], x: F32, y: F32, before: F32 | None = None) -> Trace:
        """Return the first hits of the rays through `x, y [n]`.

        Args:
            pairs: solids and the rays that may hit them: `pixel` is the row of the ray.
            x: horizontal position on the lens's plane, see `Lens.plane`.
            y: vertical position.
            before: depths of earlier hits, `[n]`.
        """
        depth = np.full(len(x), _FAR, np.float32) if before is None else before.copy()
        solid = np.zeros(len(x), np.int32)
        for group in pairs:
            met, which = self._meet(group, x[group.pixel], y[group.pixel])
            if not which.size:
                continue
            met_pixel = group.pixel[which]
            nearer = met < depth[met_pixel]
            met, met_pixel = met[nearer], met_pixel[nearer]
            if len(group.solid) == 1:
                depth[met_pixel], solid[met_pixel] = met, group.solid
                continue
            met_solid = group.solid[which[nearer]]
            np.minimum.at(depth, met_pixel, met)
            first = depth[met_pixel] == met
            solid[met_pixel[first]] = met_solid[first]
        return Trace(solid, depth)

    def _meet(self, group: Pairs, x: F32, y: F32) -> tuple[F32, NDArray[np.int64]]:
        """Return the depths of the pairs that hit, and their indices."""
        alone = len(group.solid) == 1
        c = self._table[:, group.solid[0]] if alone else self._table[:, group.solid]
        shift = c[12]
        across = [c[6 + axis] * x + c[9 + axis] * y for axis in range(3)]
        if self.lens.parallel:
            o = [across[axis] + c[axis] for axis in range(3)]
            d = [np.broadcast_to(c[3 + axis], x.shape) for axis in range(3)]
        else:
            o = [c[axis] + shift * across[axis] for axis in range(3)]
            d = [c[3 + axis] + across[axis] for axis in range(3)]
        t, hit = _MEET[group.kind](o, d, c[13])
        t += shift
        hit &= t > NEAR_M
        which = np.flatnonzero(hit)
        return t[which], which


def _root(a: F32, b: F32, c: F32) -> tuple[F32, NDArray[np.bool_]]:
    """Return where a ray enters `a t² + 2 b t + c <= 0`, and whether it does."""
    inside = b * b - a * c
    hit = inside > 0
    t = (-b - np.sqrt(np.maximum(inside, 0))) / a
    return t, hit


def _meet_ellipsoid(o: list[F32], d: list[F32], _: F32 | np.float32) -> tuple[F32, NDArray[np.bool_]]:
    a = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    b = o[0] * d[0] + o[1] * d[1] + o[2] * d[2]
    c = o[0] * o[0] + o[1] * o[1] + o[2] * o[2] - np.float32(1)
    return _root(a, b, c)


def _meet_box(o: list[F32], d: list[F32], _: F32 | np.float32) -> tuple[F32, NDArray[np.bool_]]:
    spans = []
    for axis in range(3):
        # A ray parallel to a side never crosses it; the tiny addend covers that without a special case.
        inverse = np.float32(-1) / (d[axis] + np.float32(1e-12))
        middle, half = o[axis] * inverse, np.abs(inverse)
        spans.append((middle - half, middle + half))
    (a, b), (c, e), (f, g) = spans
    np.maximum(np.maximum(a, c, out=a), f, out=a)
    np.minimum(np.minimum(b, e, out=b), g, out=b)
    return a, a < b


def _meet_taper(o: list[F32], d: list[F32], k: F32 | np.float32) -> tuple[F32, NDArray[np.bool_]]:
    radius, slope = 1 + k * o[1], k * d[1]
    a = d[0] * d[0] + d[2] * d[2] - slope * slope + np.float32(1e-12)
    b = o[0] * d[0] + o[2] * d[2] - radius * slope
    c = o[0] * o[0] + o[2] * o[2] - radius * radius
    side, hit = _root(a, b, c)
    hit &= np.abs(o[1] + side * d[1]) <= 1
    end = -np.copysign(np.float32(1), d[1])
    cap = (end - o[1]) / (d[1] + np.float32(1e-12))
    x, z, rim = o[0] + cap * d[0], o[2] + cap * d[2], 1 + k * end
    on_cap = x * x + z * z < rim * rim
    return np.where(hit, side, cap), hit | on_cap


def _meet_capsule(o: list[F32], d: list[F32], h: F32 | np.float32) -> tuple[F32, NDArray[np.bool_]]:
    a = d[0] * d[0] + d[2] * d[2] + np.float32(1e-12)
    b = o[0] * d[0] + o[2] * d[2]
    c = o[0] * o[0] + o[2] * o[2] - np.float32(1)
    side, hit = _root(a, b, c)
    height = o[1] + side * d[1]
    beyond = np.abs(height) > h
    above = o[1] - np.copysign(h, height)
    a += d[1] * d[1]
    b += above * d[1]
    c += above * above
    end, on_end = _root(a, b, c)
    return np.where(beyond, end, side), hit & (~beyond | on_end)


_MEET = {
    Kind.ELLIPSOID: _meet_ellipsoid,
    Kind.BOX: _meet_box,
    Kind.TAPER: _meet_taper,
    Kind.CAPSULE: _meet_capsule,
}
