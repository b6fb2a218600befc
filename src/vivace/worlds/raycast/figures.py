"""Jointed clay figures of people that walk, wave and stand, animated by closed formulas of time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vivace.worlds.raycast.solids import Material, Motion, Pose, Rgb01, Solid, at, ball, carried, pill, tube

Path = Callable[[float], tuple[float, float, float, float]]
"""Function from time to a walker's x, z, heading (radians; 0 looks along z) and distance walked, m."""

SKINS: tuple[Rgb01, ...] = ((1.0, 0.92, 0.86), (0.88, 0.70, 0.56), (0.62, 0.44, 0.34), (1.0, 0.86, 0.76))
HAIRS: tuple[Rgb01, ...] = ((0.22, 0.16, 0.13), (0.52, 0.33, 0.18), (0.86, 0.68, 0.36), (0.14, 0.13, 0.15))


@dataclass(frozen=True, slots=True)
class Outfit:
    """Appearance of a figure."""

    jacket: Rgb01
    trousers: Rgb01 = (0.30, 0.36, 0.50)
    shoes: Rgb01 = (0.24, 0.18, 0.15)
    skin: Rgb01 = SKINS[0]
    hair: Rgb01 = HAIRS[0]
    hat: Rgb01 | None = None
    bag: Rgb01 | None = None
    skirt: bool = False
    cloth: str = "cloth"
    height_m: float = 1.72
    umbrella: Rgb01 | None = None


# Lengths of a figure 1.72 m tall, m.
_HIP, _THIGH, _SHIN = 0.90, 0.42, 0.40
_SHOULDER, _ARM, _FOREARM = 1.36, 0.27, 0.25
_STRIDE = 1.35
"""Length of two steps, m."""


def figure(outfit: Outfit) -> tuple[Solid, ...]:
    """Return the solids of a figure, in the order of `poses_of`."""
    jacket = Material(outfit.cloth, outfit.jacket, 2)
    trousers = Material("cloth", outfit.trousers, 2)
    skin, shoe = Material("skin", outfit.skin, 2), Material("clay", outfit.shoes, 2, gloss=0.2)
    hair = Material("hair", outfit.hair, 2, gloss=0.1)
    legs = skin if outfit.skirt else trousers
    solids = [
        tube(0.165, 0.25, jacket, taper=0.14, depth=0.115),
        ball(jacket, 0.20, 0.10, 0.125),
        tube(0.215, 0.23, jacket, taper=-0.28, depth=0.25) if outfit.skirt else ball(trousers, 0.16, 0.13, 0.125),
        pill(0.055, 0.05, skin),
        ball(Material("face", outfit.skin, 1), 0.125, 0.145, 0.13),
        ball(hair, 0.136, 0.13, 0.137),
        *(pill(0.056, _ARM / 2, jacket) for _ in range(2)),
        *(pill(0.048, _FOREARM / 2, jacket) for _ in range(2)),
        *(ball(skin, 0.055, 0.068, 0.05) for _ in range(2)),
        *(pill(0.082, _THIGH / 2, legs) for _ in range(2)),
        *(pill(0.063, _SHIN / 2, legs) for _ in range(2)),
        *(ball(shoe, 0.062, 0.055, 0.135) for _ in range(2)),
    ]
    if outfit.hat is not None:
        felt = Material("cloth", outfit.hat, 2)
        solids += [tube(0.12, 0.065, felt, taper=-0.15), tube(0.21, 0.012, felt)]
    if outfit.bag is not None:
        solids.append(ball(Material("cloth", outfit.bag, 2), 0.15, 0.20, 0.09))
    if outfit.umbrella is not None:
        solids += [
            tube(0.012, 0.42, Material("clay", (0.2, 0.2, 0.22), 1)),
            tube(0.33, 0.13, Material("cloth", outfit.umbrella, 6, gloss=0.15), taper=-0.98),
        ]
    return tuple(solids)


def walker(outfit: Outfit, path: Path, *, gait: float = 1.0, phase: float = 0.0) -> Motion:
    """Return the motion of a figure that walks along a path. `gait`: swing of the limbs, 1 walking, 1.7 running."""

    def poses(time_s: float) -> Pose:
        x, z, heading, way = path(time_s)
        size = outfit.height_m / 1.72
        step = 2 * math.pi * way / (_STRIDE * size * (0.6 + 0.4 * gait)) + phase
        local = limbs(outfit, step, gait)
        carrier = at(x, 0.0, z, yaw=heading)
        carrier[:, :3] *= size
        return carried(carrier, local)

    return poses


def stander(outfit: Outfit, place: Pose, *, wave_hz: float = 0.0, phase: float = 0.0) -> Motion:
    """Return the motion of a figure that stands, shifts its weight, and waves if `wave_hz` is not 0."""

    def poses(time_s: float) -> Pose:
        sway = math.sin(1.3 * time_s + phase)
        raised = 2.5 + 0.35 * math.sin(2 * math.pi * wave_hz * time_s) if wave_hz else None
        return carried(place, limbs(outfit, 0.12 * sway, 0.25, raised=raised, lean=0.03 * sway))

    return poses


def limbs(outfit: Outfit, step: float, gait: float, *, raised: float | None = None, lean: float = 0.0) -> Pose:
    """Return the poses of a figure's solids, its feet at the origin, looking along z.

    Args:
        outfit: determines which solids there are.
        step: phase of the walk, radians; 2 pi is two steps.
        gait: swing of the limbs.
        raised: angle of the right arm, radians, if it is raised to the side.
        lean: lean to the side, radians.
    """
    bob = 0.022 * gait * math.cos(2 * step) - 0.012 * gait
    forward = 0.10 * (gait - 0.8) if gait > 1 else 0.02
    turn = 0.10 * gait * math.sin(step)
    hip = _HIP + bob
    torso = [
        at(forward * 0.3, hip + 0.24, forward * 0.35, pitch=forward, yaw=turn, roll=-lean),
        at(0, hip + 0.44, forward * 0.8, pitch=forward, yaw=turn, roll=-lean),
        at(0, hip - 0.19, 0.01, yaw=-turn) if outfit.skirt else at(0, hip, 0, yaw=-turn),
        at(0, hip + 0.55, forward * 1.0, pitch=forward),
        at(0, hip + 0.70, forward * 1.2, pitch=0.5 * forward, yaw=0.4 * turn, roll=-lean),
        at(0, hip + 0.745, forward * 1.2 - 0.028, pitch=0.5 * forward, yaw=0.4 * turn, roll=-lean),
    ]
    upper, lower, hands, thighs, shins, feet = ([] for _ in range(6))
    for side, sign in ((0, 1.0), (1, -1.0)):
        swing = sign * math.sin(step)
        # Arms swing against the legs; angles raise a limb forward from hanging down.
        arm, bend = -0.55 * gait * swing, 0.25 + 0.55 * (gait - 0.6) * (1 - 0.3 * swing)
        shoulder = (sign * 0.225, _SHOULDER + bob, forward * 0.7 - sign * 0.03 * math.sin(step))
        if raised is not None and side == 0:
            upper.append(_limb(shoulder, 0.0, 1.9, _ARM))
            elbow = _end(shoulder, 0.0, 1.9, _ARM)
            lower.append(_limb(elbow, 0.0, raised, _FOREARM))
            hands.append(at(*_end(elbow, 0.0, raised, _FOREARM + 0.05)))
        else:
            if outfit.umbrella is not None and side == 0:
                arm, bend = 0.25, 1.9
            upper.append(_limb(shoulder, arm, 0.10 * sign, _ARM))
            elbow = _end(shoulder, arm, 0.10 * sign, _ARM)
            lower.append(_limb(elbow, arm + bend, 0.04 * sign, _FOREARM))
            hands.append(at(*_end(elbow, arm + bend, 0.04 * sign, _FOREARM + 0.05), pitch=-(arm + bend)))
        swing_leg = 0.46 * gait * swing
        lifted = max(0.0, sign * math.cos(step))
        knee_bend = 0.10 * gait + 0.85 * gait * lifted**1.5
        joint = (sign * 0.092, hip, 0.0)
        thighs.append(_limb(joint, swing_leg + 0.3 * knee_bend, 0.02 * sign, _THIGH))
        knee = _end(joint, swing_leg + 0.3 * knee_bend, 0.02 * sign, _THIGH)
        shin = swing_leg - 0.7 * knee_bend
        shins.append(_limb(knee, shin, 0.0, _SHIN))
        ankle = _end(knee, shin, 0.0, _SHIN)
        tip = 0.35 * shin - 0.15 * gait * swing * (1 - lifted)
        feet.append(at(ankle[0], ankle[1] - 0.035, ankle[2] + 0.055, pitch=-tip))
    parts = [*torso, *upper, *lower, *hands, *thighs, *shins, *feet]
    if outfit.hat is not None:
        parts += [at(0, hip + 0.86, forward * 1.2 - 0.02), at(0, hip + 0.80, forward * 1.2 - 0.02, pitch=0.08)]
    if outfit.bag is not None:
        parts.append(at(0, hip + 0.27, forward * 0.3 - 0.17, pitch=forward))
    if outfit.umbrella is not None:
        hand = hands[0][:, 3]
        parts += [
            at(hand[0], hand[1] + 0.38, hand[2], pitch=0.08),
            at(hand[0] - 0.02, hand[1] + 0.86, hand[2] + 0.02, pitch=0.08),
        ]
    return np.stack(parts)


_Point = tuple[float, float, float]


def _end(start: _Point, forward: float, aside: float, length: float) -> _Point:
    """Return the end of a hanging limb that is raised `forward` and `aside` (radians, positive x)."""
    down = length * math.cos(aside)
    return (
        start[0] + length * math.sin(aside),
        start[1] - down * math.cos(forward),
        start[2] + down * math.sin(forward),
    )


def _limb(start: _Point, forward: float, aside: float, length: float) -> Pose:
    end = _end(start, forward, aside, length)
    middle = tuple((a + b) / 2 for a, b in zip(start, end, strict=True))
    return at(*middle, pitch=-forward, roll=aside)


def oval(
    centre: tuple[float, float], reach: tuple[float, float], lap_s: float, *, start: float = 0.0, tilt: float = 0.0
) -> Path:
    """Return a path around an ellipse; a negative `lap_s` reverses it."""
    rate = 2 * math.pi / lap_s
    cos, sin = math.cos(tilt), math.sin(tilt)
    # Mean of the speeds along both axes: exact for a circle, close for moderate ellipses.
    pace = math.sqrt((reach[0] ** 2 + reach[1] ** 2) / 2)

    def place(time_s: float) -> tuple[float, float, float, float]:
        angle = rate * time_s + start
        x, z = reach[0] * math.cos(angle), reach[1] * math.sin(angle)
        dx, dz = -reach[0] * math.sin(angle) * rate, reach[1] * math.cos(angle) * rate
        return (
            centre[0] + cos * x - sin * z,
            centre[1] + sin * x + cos * z,
            math.atan2(cos * dx - sin * dz, sin * dx + cos * dz),
            pace * (abs(rate) * time_s + start),
        )

    return place
