"""Shading: from ray hits to colours, for all samples of a picture at once."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vivace.worlds.raycast.atlas import Atlas
from vivace.worlds.raycast.backdrop import Backdrop
from vivace.worlds.raycast.lens import Lens
from vivace.worlds.raycast.light import Light, Shade
from vivace.worlds.raycast.solids import Kind, Pose, Solid
from vivace.worlds.raycast.trace import Shapes, Trace

F32 = NDArray[np.float32]
_BLOCK = 1 << 14
"""Samples shaded at a time, to fit the cache."""
_LIFT_CELLS = 1.6
"""Offset of a point from its surface before the shadow map lookup, map cells."""
_SNOW = (0.86, 0.90, 0.97)


class Materials:
    """Materials of a shot's solids as arrays; row 0 is the backdrop."""

    def __init__(self, solids: list[Solid], rng: np.random.Generator):
        """Load the textures that the solids need."""
        names = sorted({solid.material.texture for solid in solids}) or ["plain"]
        self.atlas = Atlas(names)
        rows = [
            (names.index(s.material.texture), *s.material.tint, *_tile(s), s.material.gloss, s.material.glow, *s.size)
            for s in solids
        ]
        table = np.array([(0.0,) * 11, *rows], np.float32).T
        self._texture = table[0].astype(np.int32)
        self.tint = table[1:4] ** 2
        """Tints `[3 p]`, linear."""
        self._tile, self._around, self._gloss, self._glow = table[4], table[5], table[6], table[7]
        self._size = np.ascontiguousarray(table[8:11])
        # Neighbours of one material show different parts of it; textures that go around once keep their position.
        self._offset = rng.random((2, table.shape[1])).astype(np.float32)
        self._offset[:, self._around == 1] = 0
        fixed = np.array(
            [True, *(s.material.texture in ("facade", "painting", "books", "crate", "carpet") for s in solids)]
        )
        self._offset[:, fixed] = 0

    def shaded(
        self,
        lens: Lens,
        shapes: Shapes,
        to_world: Pose,
        trace: Trace,
        plane: tuple[F32, F32],
        light: Light,
        shade: Shade,
        backdrop: Backdrop,
    ) -> F32:
        """Return the colours of samples at `plane` (see `Lens.plane`), `[3 n]`, 0 to 1."""
        matrices = _matrices(lens, to_world)
        blocks = []
        for start in range(0, len(trace.solid), _BLOCK):
            part = slice(start, start + _BLOCK)
            samples = Trace(trace.solid[part], trace.depth[part])
            x, y = plane[0][part], plane[1][part]
            blocks.append(self._block(lens, shapes, matrices, samples, (x, y), light, shade, backdrop))
        return np.concatenate(blocks, axis=1)

    def _block(
        self,
        lens: Lens,
        shapes: Shapes,
        matrices: tuple[F32, F32],
        trace: Trace,
        plane: tuple[F32, F32],
        light: Light,
        shade: Shade,
        backdrop: Backdrop,
    ) -> F32:
        colours = np.empty((3, len(trace.solid)), np.float32)
        far = np.flatnonzero(trace.solid == 0)
        if far.size:
            colours[:, far] = backdrop.seen(lens, plane[0][far], plane[1][far])
        kinds = np.where(trace.solid > 0, shapes.kind[trace.solid], np.int8(-1))
        groups = [np.flatnonzero(kinds == kind) for kind in Kind]
        order = np.concatenate(groups)
        if not order.size:
            return colours
        solid, depth = trace.solid[order], trace.depth[order]
        ray = [plane[0][order], plane[1][order]]
        at = [ray[0] * depth, ray[1] * depth, depth]

        unit_from_lens, normal_matrix = matrices
        c = unit_from_lens[:, solid]
        p = [c[4 * a] * at[0] + c[4 * a + 1] * at[1] + c[4 * a + 2] * at[2] + c[4 * a + 3] for a in range(3)]
        normal = [np.empty(len(solid), np.float32) for _ in range(3)]
        u, v = np.empty(len(solid), np.float32), np.empty(len(solid), np.float32)
        extra = shapes.extra.astype(np.float32)
        first = 0
        for kind, group in zip(Kind, groups, strict=True):
            here = slice(first, first + len(group))
            first += len(group)
            if not len(group):
                continue
            rows = solid[here]
            sizes = self._size[:, rows]
            parts = _UNFOLD[kind]([q[here] for q in p], extra[rows], sizes, self._around[rows], self._tile[rows])
            u[here], v[here] = parts[:2]
            for axis in range(3):
                normal[axis][here] = parts[2 + axis]
        offset = self._offset[:, solid]
        u += offset[0]
        v += offset[1]
        m = normal_matrix[:, solid]
        n = [m[3 * a] * normal[0] + m[3 * a + 1] * normal[1] + m[3 * a + 2] * normal[2] for a in range(3)]
        scale = np.float32(1) / np.sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2])
        n = [part * scale for part in n]

        # World axes from here on.
        turn = lens.pose.astype(np.float32)
        towards = [turn[a, 0] * ray[0] + turn[a, 1] * ray[1] + turn[a, 2] for a in range(3)]
        place = [towards[a] * depth + turn[a, 3] for a in range(3)]
        scale = np.float32(-1) / np.sqrt(towards[0] * towards[0] + towards[1] * towards[1] + towards[2] * towards[2])
        view = [part * scale for part in towards]
        facing = np.maximum(n[0] * view[0] + n[1] * view[1] + n[2] * view[2], np.float32(0.08))
        footprint = depth * np.float32(1 / lens.focal_px) / (self._tile[solid] * np.sqrt(facing))
        *texture, shine = self.atlas.pick(self._texture[solid], u, v, footprint)
        tint = self.tint[:, solid]
        albedo = [part * part * tint[channel] for channel, part in enumerate(texture)]
        if light.snow > 0:
            lies = np.clip((n[1] - np.float32(0.35) + np.float32(0.5) * (texture[1] - np.float32(0.5))) * 4, 0, 1)
            lies *= np.float32(light.snow)
            grain = np.float32(0.9) + np.float32(0.1) * texture[1]
            albedo = [
                part + (np.float32(white) * grain - part) * lies for part, white in zip(albedo, _SNOW, strict=True)
            ]

        sun = [np.float32(part) for part in shade.towards]
        lit = n[0] * sun[0] + n[1] * sun[1] + n[2] * sun[2]
        lift = np.float32(_LIFT_CELLS / shade.sun.focal_px)
        lifted = [place[a] + n[a] * lift for a in range(3)]
        lit = np.maximum(lit + np.float32(0.06), 0) * np.float32(1 / 1.06)
        facing_sun = np.flatnonzero(lit > 0)
        share = shade.sunlit([part[facing_sun] for part in lifted])
        lit[facing_sun] *= share
        shut = shade.open([place[a] + n[a] * np.float32(0.12) for a in range(3)])
        up = np.float32(0.5) + np.float32(0.5) * n[1]
        sky, ground = up * shut, (1 - up) * (np.float32(0.4) + np.float32(0.6) * shut)
        gleam = np.zeros(len(solid), np.float32)
        strength = self._gloss[solid] * lit
        shiny = np.flatnonzero(strength > np.float32(0.001))
        gleam[shiny] = _gleam([part[shiny] for part in n], [part[shiny] for part in view], sun) * strength[shiny]
        glow = self._glow[solid] + shine * np.float32(light.shine)
        lamps = light.lamps if light.shine > 0 else ()
        lit_by = [(lamp, _lamplight(lamp.place, lamp.reach_m, place, n)) for lamp in lamps]
        through = np.exp(depth * np.float32(-1 / light.haze_m))
        for channel in range(3):
            total = lit * np.float32(light.sun[channel])
            total += sky * np.float32(light.sky[channel])
            total += ground * np.float32(light.ground[channel])
            for lamp, amount in lit_by:
                total += amount * np.float32(lamp.colour[channel] * light.shine)
            total *= albedo[channel]
            total += gleam * np.float32(light.sun[channel])
            total += glow * (
                albedo[channel] if light.shine == 0 else np.maximum(albedo[channel], shine * _WARM[channel])
            )
            total *= np.float32(light.exposure)
            # A shoulder that keeps the colour of highlights, then the display's curve.
            total = total * (1 + total * np.float32(0.16)) / (1 + total * np.float32(0.62))
            haze = np.float32(light.haze[channel])
            colours[channel, order] = np.sqrt(np.clip(haze + (total - haze) * through, 0, 1))
        return colours


_WARM = (1.0, 0.72, 0.36)
"""Linear colour of lights at night."""


def _gleam(n: list[F32], view: list[F32], sun: list[np.float32]) -> F32:
    """Return the strength of highlights where surfaces mirror the sun (Blinn 1977, exponent 32)."""
    half = [part + towards for part, towards in zip(view, sun, strict=True)]
    scale = np.float32(1) / np.sqrt(half[0] * half[0] + half[1] * half[1] + half[2] * half[2])
    gleam: F32 = np.maximum((n[0] * half[0] + n[1] * half[1] + n[2] * half[2]) * scale, 0)
    for _ in range(5):
        gleam *= gleam
    gleam *= np.float32(1.6)
    return gleam


def _lamplight(lamp: tuple[float, float, float], reach_m: float, place: list[F32], n: list[F32]) -> F32:
    away = [np.float32(lamp[a]) - place[a] for a in range(3)]
    square = away[0] * away[0] + away[1] * away[1] + away[2] * away[2]
    facing = (n[0] * away[0] + n[1] * away[1] + n[2] * away[2]) / np.sqrt(square + np.float32(1e-4))
    amount = np.maximum(facing * np.float32(0.85) + np.float32(0.15), 0)
    amount /= 1 + square * np.float32(1 / reach_m**2)
    return amount


def _tile(solid: Solid) -> tuple[float, float]:
    """Return the metres that one tile covers, and its repetitions around the solid."""
    if solid.kind == Kind.BOX:
        return solid.material.scale, 0.0
    around = max(1.0, round(solid.material.scale))
    return 2 * math.pi * max(solid.size[0], solid.size[2]) / around, around


def _matrices(lens: Lens, to_world: Pose) -> tuple[F32, F32]:
    """Return `[12 p]` from lens coordinates to the solids' own, and `[9 p]` from their normals to the world."""
    inverse = np.linalg.inv(to_world[..., :3])
    turn = inverse @ lens.pose[:, :3]
    shift = np.einsum("pij,pj->pi", inverse, lens.position - to_world[..., 3])
    into = np.concatenate([turn, shift[..., None]], axis=2).reshape(-1, 12)
    normals = inverse.transpose(0, 2, 1).reshape(-1, 9)
    return np.ascontiguousarray(into.T, np.float32), np.ascontiguousarray(normals.T, np.float32)


def faces(shapes: Shapes, lens: Lens, to_world: Pose, trace: Trace, plane: tuple[F32, F32]) -> NDArray[np.int32]:
    """Return a number for each sample that differs between the flat sides of one solid."""
    surface = trace.solid * np.int32(4)
    flat = np.flatnonzero((trace.solid > 0) & (shapes.kind[trace.solid] == Kind.BOX))
    if flat.size:
        into, _ = _matrices(lens, to_world)
        c = into[:, trace.solid[flat]]
        depth = trace.depth[flat]
        x, y = plane[0][flat] * depth, plane[1][flat] * depth
        p = [np.abs(c[4 * a] * x + c[4 * a + 1] * y + c[4 * a + 2] * depth + c[4 * a + 3]) for a in range(3)]
        surface[flat] += np.where(p[0] > np.maximum(p[1], p[2]), 0, np.where(p[1] > p[2], 1, 2)).astype(np.int32)
    return surface


_Unfolded = tuple[F32, F32, F32, F32, F32]
_TURN = np.float32(1 / (2 * math.pi))


def _unfold_ellipsoid(p: list[F32], _: F32, __: F32, around: F32, ___: F32) -> _Unfolded:
    u = (np.float32(0.5) + np.arctan2(p[0], p[2]) * _TURN) * around
    v = (np.float32(0.5) - np.arcsin(np.clip(p[1], -1, 1)) * np.float32(1 / math.pi)) * np.maximum(around / 2, 1)
    return u, v, p[0], p[1], p[2]


def _unfold_box(p: list[F32], _: F32, size: F32, __: F32, tile: F32) -> _Unfolded:
    reach = [np.abs(part) for part in p]
    on_x = reach[0] > np.maximum(reach[1], reach[2])
    on_y = ~on_x & (reach[1] > reach[2])
    on_z = ~(on_x | on_y)
    scale = 1 / tile
    metric = [(p[axis] + 1) * size[axis] * scale for axis in range(3)]
    u = np.where(on_x, metric[2], metric[0])
    v = np.where(on_y, metric[2], 2 * size[1] * scale - metric[1])
    return u, v, np.sign(p[0]) * on_x, np.sign(p[1]) * on_y, np.sign(p[2]) * on_z


def _unfold_taper(p: list[F32], k: F32, size: F32, around: F32, tile: F32) -> _Unfolded:
    radius = 1 + k * p[1]
    on_side = np.abs(p[1]) < np.float32(0.9999)
    u = np.where(on_side, np.arctan2(p[0], p[2]) * _TURN * around + np.float32(0.5) * around, p[0] * size[0] / tile)
    v = np.where(on_side, -p[1] * size[1] / tile, p[2] * size[2] / tile)
    return u, v, p[0] * on_side, np.where(on_side, -k * radius, np.sign(p[1])), p[2] * on_side


def _unfold_capsule(p: list[F32], h: F32, size: F32, around: F32, tile: F32) -> _Unfolded:
    u = (np.float32(0.5) + np.arctan2(p[0], p[2]) * _TURN) * around
    return u, -p[1] * size[0] / tile, p[0], p[1] - np.clip(p[1], -h, h), p[2]


_UNFOLD = {
    Kind.ELLIPSOID: _unfold_ellipsoid,
    Kind.BOX: _unfold_box,
    Kind.TAPER: _unfold_taper,
    Kind.CAPSULE: _unfold_capsule,
}
