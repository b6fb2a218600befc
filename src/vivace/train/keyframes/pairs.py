"""Exact examples of key frames: pictures, edits of them, and both seen again under another camera.

An example is a key frame with its edit and two later frames, whose edited renders are known to the px because the same
coordinates sample the picture and its edit. Something may pass in front, move by itself, or be all that was edited;
light and noise change; sometimes the later frames show another scene.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from vivace.errors import SourceNotFoundError
from vivace.models.keyframes.motion import Motion, find, grey, search, still
from vivace.train.clips import read_run
from vivace.train.keyframes.edits import EDITS, Mask, Picture, blob, edited
from vivace.train.looks.material import Material, read_photo
from vivace.train.looks.targets import LOOKS_PER_ITEM, looks_of, read_jpeg, shard_paths

SIDE_PX = 448
"""Larger side of the pictures that views are cut from, px."""
SHARES = {"colour": 0.3, "paint": 0.12, "marks": 0.25, "tint": 0.08, "look": 0.25}
"""Shares of the kinds of edits; `look` is a picture in one of the baked looks."""
FRAMES = 3
"""Frames of an example: the key frame and two later ones."""


@dataclass(slots=True)
class Example:
    """A key frame and two later frames; pictures are `uint8 [h w 3]`."""

    sources: list[NDArray[np.uint8]]
    """Frames as the network sees them, the key frame first."""
    targets: list[NDArray[np.uint8]]
    """Frames after the edit, exactly; the first is the edited key frame."""
    motions: list[Motion]
    """Positions of each later frame's px in the key frame."""
    same: bool
    """False if the later frames show another scene than the key frame."""


class Pool:
    """Pictures to train on, in memory."""

    def __init__(self, material: Material, targets: Path | None, rng: np.random.Generator, photos: int = 700) -> None:
        """Read the pictures; `targets` is a folder of `train looks`, whose looks are edits, too.

        Raises:
            SourceNotFoundError: there is no shard in `targets`.
        """
        self._shards = shard_paths(targets) if targets is not None else []
        if targets is not None and not self._shards:
            raise SourceNotFoundError(f"no baked targets in {targets}; make some with `vivace train looks bake`")
        chosen = rng.permutation(len(material.photos))[:photos]
        self.pictures = [_shrunk(read_photo(material.photos[int(i)], SIDE_PX)) for i in chosen]
        for path in material.clips:
            run = read_run(path, rng, frames=24, max_side_px=SIDE_PX)
            self.pictures += [_shrunk(run[0]), _shrunk(run[-1])]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of edits that there are: looks only where they are baked."""
        return tuple(SHARES) if self._shards else EDITS

    def picture(self, rng: np.random.Generator) -> Picture:
        """Return a random picture."""
        return _floats(self.pictures[int(rng.integers(len(self.pictures)))])

    def pair(self, kind: str, rng: np.random.Generator) -> tuple[Picture, Picture]:
        """Return a picture and its edit of a kind."""
        if kind == "look" and self._shards:
            return self._look(rng)
        picture = self.picture(rng)
        changed = edited(picture, kind if kind in EDITS else "tint", rng)
        if rng.random() < 0.25:
            changed = edited(changed, "marks", rng)
        return picture, changed

    def _look(self, rng: np.random.Generator) -> tuple[Picture, Picture]:
        path = self._shards[int(rng.integers(len(self._shards)))]
        looks = looks_of(path)
        item = int(rng.integers(len(looks)))
        with safe_open(path, "np") as file:
            ends = np.concatenate([[0], file.get_tensor("ends").ravel()])
            jpeg = file.get_slice("jpeg")
            first = item * (1 + LOOKS_PER_ITEM)
            wanted = first, first + 1 + int(rng.integers(LOOKS_PER_ITEM))
            pictures = [read_jpeg(jpeg[int(ends[n]) : int(ends[n + 1])].tobytes())[1] for n in wanted]
        clean, look = (_floats(p.permute(1, 2, 0).numpy()) for p in pictures)
        return clean, look


def _shrunk(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture whose shorter side has at least 288 px, where it was smaller."""
    least = 288 / min(picture.shape[:2])
    if least <= 1:
        return picture
    size = (round(picture.shape[1] * least), round(picture.shape[0] * least))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), np.uint8)


# -- cameras -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Camera:
    """A view of a picture: a similarity, and a smooth bend of it."""

    matrix: NDArray[np.float64]
    """`[2 3]`: from px of the view, from its middle, to px of the picture."""
    bend: NDArray[np.float32] | None = None
    """Displacement `[h w 2]` of the view's px before, px of the view."""

    def coordinates(self, side: int) -> Motion:
        """Return where each px of the view is in the picture."""
        at_rest = still(side, side)
        x, y = at_rest.x - (side - 1) / 2, at_rest.y - (side - 1) / 2
        if self.bend is not None:
            x, y = x + self.bend[..., 0], y + self.bend[..., 1]
        m = self.matrix
        return Motion(
            np.asarray(m[0, 0] * x + m[0, 1] * y + m[0, 2], np.float32),
            np.asarray(m[1, 0] * x + m[1, 1] * y + m[1, 2], np.float32),
        )

    def back(self, coordinates: Motion, side: int) -> Motion:
        """Return the px of this view, without bend, at which coordinates of the picture are seen."""
        inverse = np.linalg.inv(self.matrix[:, :2])
        x, y = coordinates.x - self.matrix[0, 2], coordinates.y - self.matrix[1, 2]
        return Motion(
            np.asarray(inverse[0, 0] * x + inverse[0, 1] * y + (side - 1) / 2, np.float32),
            np.asarray(inverse[1, 0] * x + inverse[1, 1] * y + (side - 1) / 2, np.float32),
        )

    def moved(self, amount: float, side: int, rng: np.random.Generator, bend: float = 0.0) -> Camera:
        """Return this camera after a random motion; 1 is a large one, by a third of the picture."""
        angle = rng.normal(0, 0.15) * amount
        zoom = np.exp(rng.normal(0, 0.18) * amount)
        shift = rng.normal(0, 0.16, 2) * amount * side
        cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
        step = np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]])
        linear = self.matrix[:, :2] @ step[:, :2]
        offset = self.matrix[:, :2] @ step[:, 2] + self.matrix[:, 2]
        field = self.bend
        if bend > 0:
            coarse = rng.normal(0, bend * side, (4, 4, 2)).astype(np.float32)
            more = np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), np.float32)
            field = more if field is None else np.asarray(field + more, np.float32)
        return Camera(np.column_stack([linear, offset]), field)


def first_camera(shape: tuple[int, ...], side: int, rng: np.random.Generator) -> Camera:
    """Return a random view of a picture, from a third of it to all."""
    h, w = shape[:2]
    scale = min(h, w) / side * rng.uniform(0.45, 1.0)
    room = np.maximum(np.array([w, h]) - scale * side, 0) / 2
    middle = np.array([w / 2, h / 2]) + rng.uniform(-1, 1, 2) * room
    return Camera(np.array([[scale, 0, middle[0]], [0, scale, middle[1]]]))


def seen(picture: Picture, at: Motion) -> Picture:
    """Return a picture sampled at coordinates; beyond its border it is mirrored."""
    return np.asarray(cv2.remap(picture, at.x, at.y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101), np.float32)


# -- examples ----------------------------------------------------------------------------------------------------------


class _Layer:
    """A picture with its edit under a moving camera, and the part of it that covers what is behind."""

    def __init__(
        self, pair: tuple[Picture, Picture], side: int, rng: np.random.Generator, alpha: Mask | None, amount: float
    ) -> None:
        picture, changed = pair
        cameras = [first_camera(picture.shape, side, rng)]
        bend = 0.015 * rng.random() if rng.random() < 0.5 else 0.0
        cameras.append(cameras[0].moved(amount, side, rng, bend))
        cameras.append(cameras[1].moved(0.12, side, rng))
        at = [camera.coordinates(side) for camera in cameras]
        self.sources = [seen(picture, each) for each in at]
        self.targets = [seen(changed, each) for each in at]
        self.alphas = None if alpha is None else [seen(alpha, each)[..., None] for each in at]
        self.motions = [cameras[0].back(each, side) for each in at[1:]]


def draw_example(pool: Pool, side: int, rng: np.random.Generator, kind: str | None = None) -> Example:
    """Return an example of `side` px, a multiple of 64."""
    kind = kind or str(rng.choice(list(SHARES), p=list(SHARES.values())))
    amount = float(rng.choice([0.15, 0.5, 1.0], p=[0.3, 0.4, 0.3]))
    pair = pool.pair(kind, rng)
    behind = _Layer(pair, side, rng, None, amount)
    sources, targets, motions = behind.sources, behind.targets, behind.motions
    if rng.random() < 0.45:
        other = pool.picture(rng)
        before = (other, edited(other, "colour", rng)) if rng.random() < 0.4 and kind != "look" else (other, other)
        mask = blob(other.shape[0], other.shape[1], rng)
        front = _Layer(before, side, rng, np.asarray(mask > 0.5, np.float32), float(rng.uniform(0.3, 1.2)))
        assert front.alphas is not None
        # What passes in front is sometimes not there yet in the key frame.
        alphas = [a * float(i > 0 or rng.random() < 0.5) for i, a in enumerate(front.alphas)]
        sources = [s + a * (f - s) for s, f, a in zip(sources, front.sources, alphas, strict=True)]
        targets = [t + a * (f - t) for t, f, a in zip(targets, front.targets, alphas, strict=True)]
        motions = [_merged(b, f, a) for b, f, a in zip(motions, front.motions, alphas[1:], strict=True)]
    same = rng.random() > 0.04
    if not same:
        sources[1:] = targets[1:] = _Layer((pool.picture(rng),) * 2, side, rng, None, amount).sources[1:]
    if rng.random() < 0.35:
        gain = 1 + rng.normal(0, 0.08, (2, 1, 1, 1))
        for n in (1, 2):
            sources[n], targets[n] = (np.clip(x[n] * gain[n - 1], 0, 1) for x in (sources, targets))
    if rng.random() < 0.4:
        sigma = rng.uniform(0, 0.03)
        sources = [s + rng.normal(0, sigma, s.shape) for s in sources]
    return Example([_bytes(s) for s in sources], [_bytes(t) for t in targets], motions, same)


def _merged(behind: Motion, front: Motion, alpha: NDArray[np.float32]) -> Motion:
    covered = alpha[..., 0] > 0.5
    return Motion(np.where(covered, front.x, behind.x), np.where(covered, front.y, behind.y))


def _floats(picture: NDArray[np.uint8]) -> Picture:
    return np.asarray(picture / np.float32(255), np.float32)


def _bytes(picture: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.asarray(np.clip(picture, 0, 1) * 255 + 0.5, np.uint8)


_SEARCH = search()


def known_motion(example: Example, frame: int, rng: np.random.Generator) -> Motion | None:
    """Return the motion of a later frame as a stream would know it: followed, searched for afresh, or lost."""
    exact, pick = example.motions[frame - 1], rng.random()
    if pick < 0.4:
        return None
    luma = [grey(example.sources[n]) for n in (frame, 0)]
    if pick < 0.6:
        return find(_SEARCH, luma[0], luma[1], None)
    side = exact.x.shape[0]
    wrong = cv2.resize(rng.normal(0, 0.008 * side, (4, 4, 2)).astype(np.float32), (side, side))
    return find(_SEARCH, luma[0], luma[1], Motion(exact.x + wrong[..., 0], exact.y + wrong[..., 1]))
