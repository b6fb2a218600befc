"""Scenes with ground truth: depth, flow, identities and visibility follow geometry, and pictures agree with them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from vivace.errors import UsageError
from vivace.worlds import RAYCAST, load_world, make_scene
from vivace.worlds.raycast.lens import Camera, Lens, looking
from vivace.worlds.raycast.light import Light, Reach
from vivace.worlds.raycast.render import RaycastScene
from vivace.worlds.raycast.shot import Edit, Shot
from vivace.worlds.raycast.solids import Bodies, Kind, Material, Solid, at, ball, box, moving, pill, tube
from vivace.worlds.raycast.trace import Shapes, Tracer
from vivace.worlds.raycast.world import RaycastWorld
from vivace.worlds.truth import BACKDROP_ID, View

SIZE = (96, 64)
FRAME_S = 1 / 24
PAINT = Material("stripes", (1, 0.8, 0.7), 0.7)


def scene_of(
    bodies: Bodies,
    camera: Callable[[float], Camera],
    *,
    size: tuple[int, int] = SIZE,
    edits: tuple[Edit, ...] = (),
) -> RaycastScene:
    """Return a world made for a test, in plain light."""
    shot = Shot(bodies, camera, lambda _: Light(), "day", reach=Reach((0, 0, 5), 6, 64))
    return RaycastWorld("", "", "", edits, lambda _: [shot]).scene(size, np.random.default_rng(0))


def focal_px(size: tuple[int, int], focal: float) -> float:
    return Camera((0, 0, 0), (0, 0, 1), focal).lens(size).focal_px


def centres(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return pixel centres relative to the picture's middle."""
    x, y = np.meshgrid(np.arange(size[0]) + 0.5 - size[0] / 2, np.arange(size[1]) + 0.5 - size[1] / 2)
    return x, y


def warped(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Return the picture's values at the targets of the flow, bilinear."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width]
    x = np.clip(x + flow[..., 0], 0, width - 1.001)
    y = np.clip(y + flow[..., 1], 0, height - 1.001)
    left, top = x.astype(int), y.astype(int)
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    upper = picture[top, left] * (1 - fx) + picture[top, left + 1] * fx
    lower = picture[top + 1, left] * (1 - fx) + picture[top + 1, left + 1] * fx
    return upper * (1 - fy) + lower * fy


def grown(mask: np.ndarray, by: int = 2) -> np.ndarray:
    for _ in range(by):
        padded = np.pad(mask, 1)
        mask = padded[1:-1, 1:-1] | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return mask


def wall(z: float) -> tuple[Solid, np.ndarray]:
    return box(50, 50, 0.5, PAINT), at(0, 0, z + 0.5)


# --- the geometry of one frame and the next ---


def test_a_wall_passing_by_flows_as_perspective_says() -> None:
    bodies = Bodies()
    bodies.add("wall", *wall(5.0))
    step = 0.03
    view = scene_of(bodies, lambda t: Camera((step * t / FRAME_S, 0, 0), (step * t / FRAME_S, 0, 9))).view(1.0, FRAME_S)
    shift = focal_px(SIZE, 1.2) * step / 5.0
    assert np.allclose(view.depth, 5.0, atol=1e-4)
    assert np.allclose(view.flow[..., 0], -shift, atol=1e-4)
    assert np.allclose(view.flow_back[..., 0], shift, atol=1e-4)
    assert np.allclose(view.flow[..., 1], 0, atol=1e-4)
    # What leaves the picture on the left is not seen in the next frame; all else is.
    assert not view.visible[:, 0].any()
    assert view.visible[:, 1:].all()


def test_a_zoom_flows_out_of_the_middle_for_near_and_far_alike() -> None:
    bodies = Bodies()
    bodies.add("ball", ball(PAINT, 0.8), at(0, 0, 4))
    view = scene_of(bodies, lambda t: Camera((0, 0, 0), (0, 0, 1), 1.2 * 1.02 ** (t / FRAME_S))).view(1.0, FRAME_S)
    x, y = centres(SIZE)
    assert set(np.unique(view.ids)) == {BACKDROP_ID, 1}
    assert np.allclose(view.flow[..., 0], 0.02 * x, atol=1e-3)
    assert np.allclose(view.flow[..., 1], 0.02 * y, atol=1e-3)


def test_a_pan_moves_the_infinitely_far_by_the_angle_alone() -> None:
    turn = 0.01

    def camera(time_s: float) -> Camera:
        angle = turn * time_s / FRAME_S
        return Camera((time_s, 0, 3), (time_s + math.sin(angle), 0, 3 + math.cos(angle)))

    view = scene_of(Bodies(), camera).view(1.0, FRAME_S)
    x, y = centres(SIZE)
    focal = focal_px(SIZE, 1.2)
    # A turn to the right by `turn`: each direction's angle shrinks by it, its height over the plane stays.
    angle = np.arctan2(x, focal)
    x_after = focal * np.tan(angle - turn)
    y_after = y * np.cos(angle) / np.cos(angle - turn)
    assert np.isinf(view.depth).all()
    assert (view.ids == BACKDROP_ID).all()
    assert np.allclose(view.flow[..., 0], x_after - x, atol=2e-3)
    assert np.allclose(view.flow[..., 1], y_after - y, atol=2e-3)


def test_the_nearer_of_two_is_seen_and_covers_and_uncovers_what_is_behind() -> None:
    bodies = Bodies()
    bodies.add("wall", *wall(6.0))
    bodies.add("ball", ball(PAINT, 0.5), moving(lambda t: at(1.5 * (t - 1), 0, 3), at(0, 0, 0)))
    scene = scene_of(bodies, lambda _: Camera((0, 0, 0), (0, 0, 1)))
    view = scene.view(1.0, FRAME_S)
    assert scene.objects == {1: "wall", 2: "ball"}
    middle = (SIZE[1] // 2, SIZE[0] // 2)
    assert view.ids[middle] == 2
    assert view.depth[middle] == pytest.approx(2.5, abs=0.01)
    assert view.ids[0, 0] == 1
    # The silhouette of a ball at distance d has the half angle asin(r / d).
    radius = focal_px(SIZE, 1.2) * math.tan(math.asin(0.5 / 3))
    assert (view.ids == 2).sum() == pytest.approx(math.pi * radius**2, rel=0.05)
    behind = view.ids == 1
    after, before = scene.view(1 + FRAME_S, FRAME_S), scene.view(1 - FRAME_S, FRAME_S)
    assert not view.visible[behind & (after.ids == 2)].any()
    assert not view.visible_back[behind & (before.ids == 2)].any()
    assert (behind & (after.ids == 2)).sum() > 5
    # Away from the ball the wall is seen throughout, and does not move at all.
    away = behind & ~grown(view.ids == 2, 4)
    assert view.visible[away].all()
    assert (view.flow[behind] == 0).all()


def test_a_point_that_turns_away_is_not_seen() -> None:
    bodies = Bodies()
    bodies.add("cube", box(0.7, 0.7, 0.7, PAINT), moving(lambda t: at(0, 0, 4, yaw=6 * t), at(0, 0, 0)))
    scene = scene_of(bodies, lambda _: Camera((0, 0, 0), (0, 0, 1)))
    # A quarter turn brings other sides to the front: only points near the axis can still be seen.
    view = scene.view(1.0, math.pi / 12)
    assert (view.ids == 1).sum() > 200
    seen = view.visible & (view.ids == 1)
    front = scene.view(1.0 + math.pi / 12, FRAME_S)
    y, x = np.nonzero(seen)
    x_after = np.rint(x + view.flow[y, x, 0]).astype(int)
    y_after = np.rint(y + view.flow[y, x, 1]).astype(int)
    assert (front.ids[y_after, x_after] == 1).all()
    assert seen.sum() < 0.75 * (view.ids == 1).sum()


@pytest.mark.parametrize("kind", list(Kind))
def test_rays_stop_at_the_surface_and_never_inside(kind: Kind) -> None:
    rng = np.random.default_rng(int(kind))
    extra = {Kind.TAPER: -0.6, Kind.CAPSULE: 1.4}.get(kind, 0.0)

    def depth_inside(p: np.ndarray) -> np.ndarray:
        """Return a depth below 0 inside the unit solid, above 0 outside."""
        radial = np.hypot(p[0], p[2])
        if kind is Kind.ELLIPSOID:
            return np.linalg.norm(p, axis=0) - 1
        if kind is Kind.BOX:
            return np.abs(p).max(axis=0) - 1
        if kind is Kind.TAPER:
            return np.maximum(radial - (1 + extra * p[1]), np.abs(p[1]) - 1)
        return np.hypot(radial, p[1] - np.clip(p[1], -extra, extra)) - 1

    lens = Lens(looking((0, 0, 0), (0, 0, 1)), 60.0, (64, 64))
    x, y = lens.plane(
        *(part.ravel().astype(np.float32) for part in np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5))
    )
    for _ in range(4):
        pose = at(
            *rng.uniform(-0.5, 0.5, 2), 6, yaw=rng.uniform(0, 6), pitch=rng.uniform(-1, 1), roll=rng.uniform(0, 6)
        )
        shapes = Shapes(np.array([-1, kind], np.int8), np.array([[1, 1, 1], [0.9, 0.7, 0.8]]), np.array([0, extra]))
        to_world = shapes.to_world(np.stack([np.eye(3, 4), pose]))
        tracer = Tracer(lens, shapes, to_world)
        trace = tracer.trace(tracer.pairs(), x, y)
        ray = np.stack([x, -y, np.ones_like(x)]).astype(np.float64)
        inverse = np.linalg.inv(to_world[1][:, :3])
        steps = np.linspace(3, 9, 241)
        along = np.stack([depth_inside(inverse @ (ray * t - to_world[1][:, 3:])) for t in steps])
        met = trace.solid == 1
        assert 100 < met.sum() < 3000
        # A march along the ray agrees with the formula, except for rays that only graze the solid.
        assert np.array_equal((along < -0.02).any(axis=0) & ~met, np.zeros(len(met), bool))
        assert not ((along > 0.02).all(axis=0) & met).any()
        stop = depth_inside(inverse @ (ray * np.where(met, trace.depth, 6) - to_world[1][:, 3:]))
        assert np.abs(stop[met]).max() < 2e-3
        before = steps[:, None] < trace.depth - 0.01
        assert not ((along < -2e-3) & before)[:, met].any()


# --- laws of every world ---


@pytest.fixture(scope="module", params=RAYCAST)
def pair(request: pytest.FixtureRequest) -> tuple[str, RaycastScene, View, View]:
    """Return two consecutive frames of a world."""
    scene = make_scene(request.param, (128, 96))
    assert isinstance(scene, RaycastScene)
    return request.param, scene, scene.view(1.0, FRAME_S), scene.view(1.0 + FRAME_S, FRAME_S)


def test_a_view_is_complete_and_shows_what_render_shows(pair: tuple[str, RaycastScene, View, View]) -> None:
    name, scene, view, _ = pair
    assert np.array_equal(view.rgb, make_scene(name, (128, 96)).render(1.0))
    assert view.depth.shape == view.ids.shape == view.visible.shape == view.visible_back.shape == (96, 128)
    assert view.flow.shape == view.flow_back.shape == (96, 128, 2)
    assert (view.depth.dtype, view.ids.dtype, view.flow.dtype) == (np.float32, np.uint16, np.float32)
    assert (np.isinf(view.depth) == (view.ids == BACKDROP_ID)).all()
    assert np.isfinite(view.flow).all()
    assert np.isfinite(view.flow_back).all()
    assert set(np.unique(view.ids)) - {BACKDROP_ID} <= set(scene.objects)
    assert load_world(name).subject in scene.objects.values()
    assert view.visible.mean() > 0.6


def test_flow_there_and_back_agree_and_carry_identities(pair: tuple[str, RaycastScene, View, View]) -> None:
    _, _, view, after = pair
    y, x = np.nonzero(view.visible)
    there = view.flow[y, x]
    back = warped(after.flow_back, view.flow)[y, x]
    # The backward flow is interpolated between pixels; it bends a little between them.
    error = np.linalg.norm(there + back, axis=1)
    assert np.percentile(error, 99) < 0.05
    assert error.max() < 0.5
    target_x, target_y = np.rint(x + there[:, 0]).astype(int), np.rint(y + there[:, 1]).astype(int)
    assert np.array_equal(after.ids[target_y, target_x], view.ids[y, x])


@pytest.mark.parametrize("name", ["pan", "zoom", "shake", "chase", "game", "walkers"])
def test_the_flow_explains_the_picture(name: str) -> None:
    scene = make_scene(name, (160, 128))
    assert isinstance(scene, RaycastScene)
    time_s = 2.5
    before, now = scene.view(time_s - FRAME_S, FRAME_S), scene.view(time_s, FRAME_S)
    moved = now.visible_back & (np.abs(now.flow_back).max(axis=-1) > 0.25)
    assert moved.mean() > 0.02
    picture, previous = now.rgb.astype(float), before.rgb.astype(float)
    unexplained = np.abs(picture - warped(previous, now.flow_back))[moved].mean()
    assert unexplained < 0.55 * np.abs(picture - previous)[moved].mean()
    # The right flow explains more than one that is off by half a pixel.
    assert unexplained < 0.85 * np.abs(picture - warped(previous, now.flow_back + 0.5))[moved].mean()


def test_looking_at_other_moments_changes_no_truth() -> None:
    first, second = (make_scene("columns", SIZE) for _ in range(2))
    assert isinstance(first, RaycastScene)
    assert isinstance(second, RaycastScene)
    for index in (3, 40, 7):
        second.view(index * FRAME_S, FRAME_S)
    one, two = first.view(8 * FRAME_S, FRAME_S), second.view(8 * FRAME_S, FRAME_S)
    for part in ("rgb", "depth", "ids", "flow", "flow_back", "visible", "visible_back"):
        assert np.array_equal(getattr(one, part), getattr(two, part)), part


# --- what single worlds promise ---


def test_around_the_mover_not_a_bit_changes() -> None:
    scene, empty = make_scene("mover", (128, 128)), make_scene("mover", (128, 128), edit="remove")
    assert isinstance(scene, RaycastScene)
    assert np.array_equal(empty.render(0.0), empty.render(3.7))
    views = [scene.view(time_s, FRAME_S) for time_s in (2.0, 2.0 + FRAME_S)]
    car = next(identity for identity, name in scene.objects.items() if name == "toy car")
    # The car, its shadow, and its occlusion of the sky's light.
    touched = [(view.rgb != empty.render(2.0)).any(axis=-1) for view in views]
    assert max(part.mean() for part in touched) < 0.2
    assert np.array_equal(views[0].rgb[~(touched[0] | touched[1])], views[1].rgb[~(touched[0] | touched[1])])
    still = views[0].ids != car
    assert (views[0].flow[still] == 0).all()
    assert (views[0].flow[~still] != 0).any()
    assert (views[0].depth[still & (views[1].ids != car)] == views[1].depth[still & (views[1].ids != car)]).all()


def test_a_cut_begins_a_shot_and_nothing_is_seen_across_it() -> None:
    scene = make_scene("cuts", SIZE)
    assert isinstance(scene, RaycastScene)
    # Shots last 15 frames, and there are five in turn.
    views = {index: scene.view(index * FRAME_S, FRAME_S) for index in (0, 1, 14, 15, 16, 30, 75)}
    assert [index for index, view in views.items() if view.begins_shot] == [0, 15, 30, 75]
    assert not views[14].visible.any()
    assert not views[15].visible_back.any()
    assert (views[15].flow_back == 0).all()
    assert views[15].visible.mean() > 0.6
    assert np.abs(views[15].rgb.astype(int) - views[14].rgb).mean() > 20
    assert np.abs(views[16].rgb.astype(int) - views[15].rgb).mean() < 5


def test_the_interface_of_the_game_is_a_still_surface_in_front() -> None:
    scene = make_scene("game", (160, 120))
    assert isinstance(scene, RaycastScene)
    view, later = scene.view(1.0, FRAME_S), scene.view(4.0, FRAME_S)
    interface = next(identity for identity, name in scene.objects.items() if name == "interface")
    there = view.ids == interface
    assert 0.05 < there.mean() < 0.3
    assert np.array_equal(there, later.ids == interface)
    assert (view.depth[there] == 0).all()
    assert (view.depth[~there] > 0).all()
    assert (view.flow[there] == 0).all()
    assert view.visible[~grown(~there)].all()


def test_rain_and_noise_are_of_their_frame_and_no_part_of_the_truth() -> None:
    scene = make_scene("rain", SIZE)
    assert isinstance(scene, RaycastScene)
    one, two = scene.view(1.0, FRAME_S), scene.view(1.0 + FRAME_S, FRAME_S)
    still = one.visible & (np.abs(one.flow).max(axis=-1) < 0.05)
    assert still.mean() > 0.5
    # Two frames of noise: the root of two times its deviation, plus the streaks.
    assert 4 < np.abs(one.rgb.astype(int) - two.rgb)[still].mean() < 20
    assert np.array_equal(one.rgb, make_scene("rain", SIZE).render(1.0))


def test_the_lamp_lights_the_room() -> None:
    scene = make_scene("lights", SIZE)
    brightness = [scene.render(time_s).mean() for time_s in np.arange(0, 16, 0.8)]
    assert max(brightness) > 2 * min(brightness)
    steps = np.abs(np.diff([scene.render(time_s).mean() for time_s in np.arange(0.0, 1.5, FRAME_S)]))
    assert steps.max() > 4 * np.median(steps)


# --- edits ---

EDITED_S = 0.7
EDITS = [(name, change.key) for name in RAYCAST for change in load_world(name).edits]


def plain_and_edited(name: str, key: str) -> tuple[RaycastScene, View, View]:
    plain, view = plain_at(name, EDITED_S)
    edited = make_scene(name, SIZE, edit=key)
    assert isinstance(edited, RaycastScene)
    assert plain.objects == edited.objects
    return plain, view, edited.view(EDITED_S, FRAME_S)


@cache
def plain_at(name: str, time_s: float) -> tuple[RaycastScene, View]:
    scene = make_scene(name, SIZE)
    assert isinstance(scene, RaycastScene)
    return scene, scene.view(time_s, FRAME_S)


def rim_only(differs: np.ndarray, there: np.ndarray) -> bool:
    """Return whether pictures differ only in a region and its rim.

    A part thinner than a pixel may miss every pixel's centre, yet meet a sample beside it: rare and faint.
    """
    outside = differs[~grown(there, 2)]
    return bool((outside > 0).mean() < 0.005 and outside.max() < 60)


@pytest.mark.parametrize(("name", "key"), EDITS)
def test_an_edit_changes_what_it_says_and_nothing_else(name: str, key: str) -> None:
    scene, plain, edited = plain_and_edited(name, key)
    change = next(change for change in load_world(name).edits if change.key == key)
    differs = np.abs(plain.rgb.astype(int) - edited.rgb).max(axis=-1)
    if key != "remove":
        for part in ("depth", "ids", "flow", "flow_back", "visible", "visible_back"):
            assert np.array_equal(getattr(plain, part), getattr(edited, part)), part
    if change.subject is not None:
        subject = next(identity for identity, found in scene.objects.items() if found == change.subject)
        there = plain.ids == subject
        assert there.sum() > 3, "the subject is to be seen at that moment"
        assert differs[there].max() > 20
    if key == "recolour":
        assert rim_only(differs, there)
    elif key == "remove":
        assert not (edited.ids == subject).any()
        assert np.array_equal(plain.ids[~there], edited.ids[~there])
        # Its shadow goes with it: all other changes become lighter. One grey level of rounding.
        lighter = edited.rgb.astype(int) - plain.rgb
        assert lighter[~grown(there, 1)].min() >= -1
    elif key == "background":
        assert differs[plain.ids == BACKDROP_ID].mean() > 8
        assert rim_only(differs, plain.ids == BACKDROP_ID)
    elif key == "night":
        assert edited.rgb.mean() < 0.75 * plain.rgb.mean()
    elif key == "snow":
        white = edited.rgb.min(axis=-1) > 150
        assert white.mean() > 0.3
        assert white.mean() > (plain.rgb.min(axis=-1) > 150).mean() + 0.15


def test_an_edit_that_is_none_names_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"fog.*recolour"):
        make_scene("mover", SIZE, edit="fog")
    with pytest.raises(UsageError, match="city has no edit 'night'; it has none, unlike walkers"):
        make_scene("city", SIZE, edit="night")


def test_tubes_and_pills_are_as_large_as_they_say() -> None:
    assert tube(0.5, 1.0, PAINT).size == (0.5, 1.0, 0.5)
    assert pill(0.5, 1.0, PAINT).size == (0.5, 1.0, 0.5)
    assert ball(PAINT, 0.5).size == (0.5, 0.5, 0.5)
