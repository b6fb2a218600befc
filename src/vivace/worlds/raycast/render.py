"""Rendering of shots: pictures, and their exact ground truth."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vivace.media.frame import Rgb
from vivace.media.size import Size
from vivace.worlds.raycast.backdrop import Backdrop
from vivace.worlds.raycast.lens import NEAR_M, Lens
from vivace.worlds.raycast.light import Shader
from vivace.worlds.raycast.shot import Shot
from vivace.worlds.raycast.solids import Pose, Solid
from vivace.worlds.raycast.surface import Materials, faces
from vivace.worlds.raycast.trace import Pairs, Shapes, Trace, Tracer
from vivace.worlds.truth import BACKDROP_ID, View

F32 = NDArray[np.float32]
_TICKS_PER_S = 1_000_000
"""Time resolution: times equal to the microsecond are the same moment, so that neighbouring frames share geometry."""
_KEPT = 3
"""Moments whose geometry is cached: a view also needs its neighbours'."""
_SUBSAMPLES = ((-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125))
_INTERFACE = -1
"""Row of the user interface in place of a solid's."""


@dataclass(frozen=True, slots=True, eq=False)
class _Geometry:
    """Geometry at one moment."""

    shot_index: int
    setup: _Setup
    lens: Lens
    to_world: Pose
    tracer: Tracer
    pairs: list[Pairs]
    plane: tuple[F32, F32]
    trace: Trace
    surface: NDArray[np.int32]
    """Row of the solid that the truth refers to, `[h w]`."""


class _Setup:
    """A shot prepared for rendering."""

    def __init__(self, shot: Shot, rng: np.random.Generator, names: dict[str, int]):
        self.shot = shot
        solids: list[Solid] = []
        identities = [BACKDROP_ID]
        absent, casts, moves = [False], [False], [False]
        for body in shot.bodies.bodies:
            identity = names.setdefault(body.name, len(names) + 1)
            solids += body.solids
            identities += [identity] * len(body.solids)
            absent += [body.name in shot.absent] * len(body.solids)
            casts += [body.casts and body.name not in shot.absent] * len(body.solids)
            moves += [callable(body.poses)] * len(body.solids)
        # The last row, -1, is the user interface.
        identities.append(names.setdefault("interface", len(names) + 1) if shot.interface else BACKDROP_ID)
        self.identity = np.array(identities, np.uint16)
        self.absent = np.array(absent)
        units, extras = [(1.0, 1.0, 1.0)], [0.0]
        for solid in solids:
            radius, half, _ = solid.size
            capsule = solid.kind == 3
            units.append((radius, radius, radius) if capsule else solid.size)
            extras.append(half / radius if capsule else solid.taper)
        kinds = np.array([-1, *(int(solid.kind) for solid in solids)], np.int8)
        self.shapes = Shapes(kinds, np.array(units), np.array(extras))
        self.materials = Materials(solids, rng)
        self.shader = Shader(shot.reach, self.shapes, np.array(casts), np.array(moves))
        self.backdrop = Backdrop(shot.backdrop, shot.turn)

    def poses(self, time_s: float) -> Pose:
        """Return the poses `[p 3 4]` at a time."""
        bodies = self.shot.bodies.bodies
        placed = [body.poses(time_s) if callable(body.poses) else body.poses for body in bodies]
        return np.concatenate([np.eye(3, 4)[None], *placed])


class RaycastScene:
    """Shots rendered at one size, at any moment in any order."""

    def __init__(self, shots: Sequence[Shot], size: Size, seed: int, *, shot_s: float = 0.0):
        """Prepare the shots.

        Args:
            shots: shown in turn, endlessly.
            size: `(width, height)`, px.
            seed: seed of random surfaces and weather.
            shot_s: duration of each, s; 0 shows only the first.
        """
        self.size = size
        self._shot_s = shot_s
        names: dict[str, int] = {}
        self._setups = [_Setup(shot, np.random.default_rng([seed, 1]), names) for shot in shots]
        self.objects: Mapping[int, str] = {identity: name for name, identity in names.items()}
        self._seed = seed
        width, height = size
        self._columns = np.tile(np.arange(width, dtype=np.float32) + np.float32(0.5), height)
        self._rows = np.repeat(np.arange(height, dtype=np.float32) + np.float32(0.5), width)
        self._geometries: OrderedDict[int, _Geometry] = OrderedDict()
        self._masks = [s.shot.interface.mask(size) if s.shot.interface else None for s in self._setups]

    def render(self, time_s: float) -> Rgb:
        """Return the picture at `time_s`."""
        return self._picture(round(time_s * _TICKS_PER_S))

    def view(self, time_s: float, frame_s: float) -> View:
        """Return the picture at `time_s` with its truth; see `vivace.worlds.truth`."""
        here = self._geometry(round(time_s * _TICKS_PER_S))
        after = self._geometry(round((time_s + frame_s) * _TICKS_PER_S))
        ticks_before = round((time_s - frame_s) * _TICKS_PER_S)
        before = self._geometry(ticks_before) if ticks_before >= 0 else None
        width, height = self.size
        depth = here.trace.depth.reshape(height, width).copy()
        mask = self._masks[here.shot_index % len(self._setups)]
        if mask is not None:
            depth[mask] = 0
        flow, visible = self._flow(here, after)
        begins = before is None or before.shot_index != here.shot_index
        flow_back, visible_back = self._flow(here, here if before is None else before)
        if begins:
            flow_back[:], visible_back[:] = 0, False
        return View(
            rgb=self.render(time_s),
            depth=depth,
            ids=here.setup.identity[here.surface],
            flow=flow,
            flow_back=flow_back,
            visible=visible,
            visible_back=visible_back,
            begins_shot=begins,
        )

    def _shot_index(self, time_s: float) -> int:
        return int(time_s / self._shot_s + 1e-7) if self._shot_s else 0

    def _geometry(self, ticks: int) -> _Geometry:
        known = self._geometries.get(ticks)
        if known is not None:
            self._geometries.move_to_end(ticks)
            return known
        time_s = ticks / _TICKS_PER_S
        shot_index = self._shot_index(time_s)
        setup = self._setups[shot_index % len(self._setups)]
        lens = setup.shot.camera(time_s).lens(self.size)
        to_world = setup.shapes.to_world(setup.poses(time_s))
        tracer = Tracer(lens, setup.shapes, to_world, setup.absent)
        pairs = tracer.pairs()
        plane = lens.plane(self._columns, self._rows)
        trace = tracer.trace(pairs, *plane)
        width, height = self.size
        surface = trace.solid.reshape(height, width)
        mask = self._masks[shot_index % len(self._setups)]
        if mask is not None:
            surface = np.where(mask, np.int32(_INTERFACE), surface)
        geometry = _Geometry(shot_index, setup, lens, to_world, tracer, pairs, (plane[0], plane[1]), trace, surface)
        self._geometries[ticks] = geometry
        while len(self._geometries) > _KEPT:
            self._geometries.popitem(last=False)
        return geometry

    def _picture(self, ticks: int) -> Rgb:
        geometry = self._geometry(ticks)
        setup, shot, time_s = geometry.setup, geometry.setup.shot, ticks / _TICKS_PER_S
        width, height = self.size
        surface = faces(setup.shapes, geometry.lens, geometry.to_world, geometry.trace, geometry.plane)
        edge = self._edges(surface.reshape(height, width)).reshape(-1)
        inner, outline = np.flatnonzero(~edge), np.flatnonzero(edge)
        fine, fine_plane = self._outline(geometry, edge, outline)
        # A pixel inside a surface is one sample, one on an outline the mean of several.
        samples = Trace(
            np.concatenate([geometry.trace.solid[inner], fine.solid]),
            np.concatenate([geometry.trace.depth[inner], fine.depth]),
        )
        x, y = (np.concatenate([whole[inner], part]) for whole, part in zip(geometry.plane, fine_plane, strict=True))
        light = shot.light(time_s)
        shade = setup.shader.shade(light, geometry.to_world)
        colours = setup.materials.shaded(
            geometry.lens, setup.shapes, geometry.to_world, samples, (x, y), light, shade, setup.backdrop
        )
        picture = np.empty((3, height * width), np.float32)
        picture[:, inner] = colours[:, : len(inner)]
        picture[:, outline] = colours[:, len(inner) :].reshape(3, len(_SUBSAMPLES), -1).mean(axis=1)
        rows = (picture * 255 + np.float32(0.5)).T.reshape(height, width, 3)
        canvas: Rgb = np.ascontiguousarray(rows, np.uint8)
        if shot.weather is not None:
            canvas = shot.weather(canvas, np.random.default_rng([self._seed, ticks]), time_s)
        if shot.interface is not None:
            shot.interface.draw(canvas, time_s)
        return canvas

    def _outline(
        self, geometry: _Geometry, edge: NDArray[np.bool_], outline: NDArray[np.int64]
    ) -> tuple[Trace, tuple[F32, F32]]:
        """Return the hits of several rays through each outline pixel, and their positions on the lens's plane."""
        count, several = len(outline), len(_SUBSAMPLES)
        x = np.concatenate([self._columns[outline] + np.float32(dx) for dx, _ in _SUBSAMPLES])
        y = np.concatenate([self._rows[outline] + np.float32(dy) for _, dy in _SUBSAMPLES])
        x, y = geometry.lens.plane(x, y)
        place = np.zeros(edge.size, np.int32)
        place[outline] = np.arange(count, dtype=np.int32)
        # Rays of an outline pixel may hit whatever its centre may hit.
        pairs = []
        for group in geometry.pairs:
            kept = edge[group.pixel]
            pixel = place[group.pixel[kept]]
            rays = np.concatenate([pixel + np.int32(index * count) for index in range(several)])
            alone = len(group.solid) == 1
            pairs.append(Pairs(group.kind, group.solid if alone else np.tile(group.solid[kept], several), rays))
        return geometry.tracer.trace(pairs, x, y), (x, y)

    @staticmethod
    def _edges(surface: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Return the pixels with another surface in them or next to them."""
        edge = np.zeros(surface.shape, bool)
        across, down = surface[:, 1:] != surface[:, :-1], surface[1:] != surface[:-1]
        edge[:, 1:] |= across
        edge[:, :-1] |= across
        edge[1:] |= down
        edge[:-1] |= down
        return edge

    def _flow(self, here: _Geometry, there: _Geometry) -> tuple[F32, NDArray[np.bool_]]:
        """Return each pixel's flow to another frame, and whether its point is visible there."""
        width, height = self.size
        flow = np.zeros((height * width, 2), np.float32)
        surface = here.surface.reshape(-1)
        if there.shot_index != here.shot_index:
            return flow.reshape(height, width, 2), np.zeros((height, width), bool)
        same_lens = bool(np.array_equal(here.lens.pose, there.lens.pose)) and here.lens.focal_px == there.lens.focal_px
        still = np.zeros(len(here.to_world) + 1, bool)
        if same_lens:
            still[:-1] = (here.to_world == there.to_world).all(axis=(1, 2))
        still[_INTERFACE] = True
        moved = np.flatnonzero(~still[surface])
        rows = surface[moved]
        matrix = _moved(here, there)[:, rows]
        depth = here.trace.depth[moved]
        depth = np.where(rows == 0, np.float32(1), depth)
        x, y = here.plane[0][moved], here.plane[1][moved]
        at = [x * depth, y * depth, depth]
        to = [
            matrix[4 * a] * at[0] + matrix[4 * a + 1] * at[1] + matrix[4 * a + 2] * at[2] + matrix[4 * a + 3]
            for a in range(3)
        ]
        ahead = to[2] > NEAR_M
        scale = np.float32(there.lens.focal_px) / np.where(ahead, to[2], 1)
        # Relative to this frame's plane, to keep precision for small motion.
        zoom = np.float32(there.lens.focal_px / here.lens.focal_px)
        for axis, before in enumerate((x, y)):
            shift = (to[axis] - before * to[2]) * scale + before * np.float32(here.lens.focal_px) * (zoom - 1)
            flow[moved, axis] = np.where(ahead, shift, 0)
        in_front = np.ones(height * width, bool)
        in_front[moved] = ahead
        target_depth = here.trace.depth.copy()
        target_depth[moved] = np.where(rows == 0, np.float32(np.inf), to[2])
        visible = in_front & self._seen(surface, target_depth, flow, there)
        return flow.reshape(height, width, 2), visible.reshape(height, width)

    def _seen(self, surface: NDArray[np.int32], depth: F32, flow: F32, there: _Geometry) -> NDArray[np.bool_]:
        """Return whether all four pixels around each target show the same solid, at that depth."""
        width, height = self.size
        x, y = self._columns + flow[:, 0] - np.float32(0.5), self._rows + flow[:, 1] - np.float32(0.5)
        inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        left, top = np.where(inside, x, 0).astype(np.int32), np.where(inside, y, 0).astype(np.int32)
        right, bottom = (
            np.where(inside, np.ceil(x), 0).astype(np.int32),
            np.where(inside, np.ceil(y), 0).astype(np.int32),
        )
        seen = inside
        nearest, farthest = np.full(len(x), np.inf, np.float32), np.zeros(len(x), np.float32)
        shown, deep = there.surface.reshape(-1), there.trace.depth
        for row in (top * width, bottom * width):
            for column in (left, right):
                cell = row + column
                seen = seen & (shown[cell] == surface)
                there_depth = deep[cell]
                nearest, farthest = np.minimum(nearest, there_depth), np.maximum(farthest, there_depth)
        slack = np.float32(1e-3)
        fits = (depth <= farthest * (1 + slack)) & (depth >= nearest * (1 - slack))
        return seen & (fits | (surface <= 0))


def _moved(here: _Geometry, there: _Geometry) -> F32:
    """Return matrices `[12 p]` from lens coordinates here to those of the same point there; row 0 only rotates."""
    into = there.lens.from_world()
    inverse = np.linalg.inv(here.to_world[..., :3])
    turn = there.to_world[..., :3] @ inverse
    shift = there.to_world[..., 3] - np.einsum("pij,pj->pi", turn, here.to_world[..., 3])
    turn[0], shift[0] = np.eye(3), 0
    # Lens here, world here, world there, lens there.
    combined = into[:, :3] @ turn @ here.lens.pose[:, :3]
    offset = (np.einsum("pij,j->pi", turn, here.lens.position) + shift) @ into[:, :3].T + into[:, 3]
    offset[0] = 0
    matrices = np.concatenate([combined, offset[..., None]], axis=2).reshape(-1, 12)
    # One more row for the user interface, which never moves.
    matrices = np.concatenate([matrices, np.eye(3, 4).reshape(1, 12)])
    return np.ascontiguousarray(matrices.T, np.float32)
