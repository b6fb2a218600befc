"""Following a key frame through one stream's pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vivace.models.keyframes.config import (
    EDIT,
    INPUT_CHANNELS,
    KEY,
    NOW,
    PAST,
    TOKEN_PX,
    TRUST,
    Size,
    motion_size,
    working_size,
)
from vivace.models.keyframes.load import REMEMBERED, Networks
from vivace.models.keyframes.locate import Locator
from vivace.models.keyframes.motion import Motion, carry, find, grey, search, still, trust
from vivace.models.mini2.blocks import to_picture
from vivace.models.mini2.config import BLOCK_PX, PICTURE_CHANNELS

Rgb = NDArray[np.uint8]
ALIKE_TRUST = 0.4
"""Mean trust in the motion from the key frame from which a picture is of its scene: it was 0.48 and more within six
scenes of video, and 0.35 and less between them."""
UNLIKE_TRUST, UNLIKE_FRAMES = 0.05, 24
"""Mean trust below which a picture that is followed is unlike the key frame, and frames in which it must be so until it
is given up, and until a note says so."""
UNLIKE_NOTE = "the picture no longer resembles the key frame; give another one, edited from a frame of now"
THUMBNAIL_PX, NEARER = 12, 0.8
"""Side of the pictures by which the most similar key frame is chosen, and share of the leading one's distance from
which another one takes over."""
UNCHANGED = 3
"""Largest change of a block's px, levels, that counts as none: the source's bytes stay."""


def resized(picture: Rgb, size: Size) -> Rgb:
    """Return a picture at `(width, height)` px."""
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    smaller = picture.shape[1] > size[0]
    return np.asarray(
        cv2.resize(picture, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR), np.uint8
    )


class KeyFrame:
    """A key frame as the network remembers it, at one working size."""

    def __init__(self, networks: Networks, key: Rgb, edit: Rgb, size: Size) -> None:
        """Read a key frame and its edit, `uint8 [h w 3]` of the stream's size `(width, height)`."""
        self.key, self.edit = (resized(picture, working_size(size)) for picture in (key, edit))
        pair = np.concatenate([to_blocks(self.key), to_blocks(self.edit)], -1)[None]
        found = networks.remember.executor({"pair": pair}).run()
        self.memory = {name: np.array(found[name], np.float32) for name in REMEMBERED}
        self.small = resized(self.key, motion_size(size))
        self.locator = Locator(self.small, resized(self.edit, motion_size(size)))
        self.thumbnail = thumbnail(self.small)


def thumbnail(small: Rgb) -> NDArray[np.float32]:
    """Return a picture by which the most similar key frame is chosen, `[12 12 3]`."""
    return cv2.resize(small, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA).astype(np.float32)


def to_blocks(picture: Rgb) -> Rgb:
    """Return a picture `[h w 3]` in blocks `[h/4 w/4 48]`, in the order row, column, colour."""
    h, w = picture.shape[0] // BLOCK_PX, picture.shape[1] // BLOCK_PX
    grid = picture.reshape(h, BLOCK_PX, w, BLOCK_PX, 3)
    return np.ascontiguousarray(grid.transpose(0, 2, 1, 3, 4)).reshape(h, w, PICTURE_CHANNELS)


class Follower:
    """Follows key frames through one stream; the most similar one leads. Deterministic; for one thread at a time."""

    def __init__(self, networks: Networks, size: Size) -> None:
        """Follow in pictures of `(width, height)` px."""
        self.attends = self.moves = self.recognises = True
        """Switches of the ways from the key frame, for ablations."""
        self._networks, self._size = networks, size
        self._working, self._small = working_size(size), motion_size(size)
        width, height = self._working
        tokens = (1, height // TOKEN_PX, width // TOKEN_PX)
        self._blocks = np.zeros((1, height // BLOCK_PX, width // BLOCK_PX, INPUT_CHANNELS), np.uint8)
        self._by_token = {name: np.zeros(tokens, np.float32) for name in ("rows", "columns", "trust")}
        self._frames: list[KeyFrame] = []
        self._lead = 0
        """Number of the key frame that leads."""
        self._memory: dict[str, NDArray[np.float32]] = {}
        """Memory of the key frame that leads, as the network's inputs."""
        self._executor: Any = None
        self._search = search()
        self._before: Rgb | None = None
        """The last picture, small."""
        self._past: Rgb | None = None
        """The last output, at the working size."""
        self._attached = False
        """True while the pictures are taken to be of the key frame's scene."""
        self._unlike = 0
        """Frames in a row that were too unlike the key frame."""

    def take(self, *pairs: tuple[Rgb, Rgb]) -> None:
        """Follow other key frames from now on, each with what became of it, `uint8 [h w 3]` of the stream's size."""
        self._frames = [KeyFrame(self._networks, key, edit, self._size) for key, edit in pairs]
        self._memory = {name: np.array(array) for name, array in self._frames[0].memory.items()}
        self._executor = self._networks.follow.executor({"blocks": self._blocks, **self._by_token, **self._memory})
        self._lead = 0
        # The previous output shows the former edit.
        self.forget()

    @property
    def note(self) -> str:
        """Note for people, if the picture has been unlike the key frame for a while."""
        return UNLIKE_NOTE if self._unlike >= UNLIKE_FRAMES else ""

    def forget(self) -> None:
        """Forget the frames before, as after a cut; the key frames stay."""
        for frame in self._frames:
            frame.locator.motion = None
        self._before = self._past = None
        self._attached, self._unlike = False, 0

    def follow(self, now: Rgb) -> Rgb:
        """Return the next picture `uint8 [h w 3]` with the edit carried to it; what does not change keeps its bytes."""
        small = resized(now, self._small)
        luma, before = grey(small), self._before
        frame = self._leading(small)
        step = None if before is None else find(self._search, luma, grey(before), None)
        found = frame.locator.locate(small, luma, step, recognise=self.recognises)
        self._before = small
        if not self._resembles(found.likeness):
            self._past = None
            return now
        motion, certain = (found.motion, found.trust) if self.moves else (None, None)
        picture = resized(now, self._working)
        self._blocks[0, :, :, NOW] = to_blocks(picture)
        self._put(KEY, EDIT, motion, (frame.key, frame.edit), certain, 0)
        if self._past is None or before is None or step is None:
            self._put(PAST, None, None, (), None, 1)
        else:
            self._put(PAST, None, step, (self._past,), trust(step, small, before), 1)
        self._locate_tokens(motion, certain)
        if not self.attends:
            self._memory["values"][...] = 0
        painted = to_picture(np.asarray(self._executor.run()["picture"], np.uint8), self._working)
        self._past = np.ascontiguousarray(painted)
        return self._changed(now, picture, painted)

    def _leading(self, small: Rgb) -> KeyFrame:
        """Return the key frame that is most similar to a picture; the one that leads goes on until one is far nearer.

        Another one is searched for afresh, while the previous output, which shows the same edit, is kept.
        """
        if len(self._frames) > 1:
            now = thumbnail(small)
            far = [float(np.abs(frame.thumbnail - now).mean()) for frame in self._frames]
            nearest = int(np.argmin(far))
            if far[nearest] < (NEARER if self._attached else 1.0) * far[self._lead]:
                self._lead_by(nearest)
        return self._frames[self._lead]

    def _lead_by(self, number: int) -> None:
        self._lead = number
        frame = self._frames[number]
        frame.locator.motion = None
        for name, array in frame.memory.items():
            self._memory[name][...] = array

    def _resembles(self, certain: float) -> bool:
        """Return whether the picture is of the key frame's scene, given the mean trust in the motion between them.

        A new scene has to be alike to be taken for it; one that is followed may change much before it is given up.
        """
        needed = UNLIKE_TRUST if self._attached else ALIKE_TRUST
        self._unlike = self._unlike + 1 if certain < needed else 0
        self._attached = self._unlike < UNLIKE_FRAMES if self._attached else self._unlike == 0
        return self._attached

    def _put(
        self,
        first: slice,
        second: slice | None,
        motion: Motion | None,
        pictures: tuple[Rgb, ...],
        certain: NDArray[np.float32] | None,
        number: int,
    ) -> None:
        """Write pictures carried along a motion, and the trust in it; without a motion the picture itself."""
        parts = [part for part in (first, second) if part is not None]
        channel = self._blocks[0, :, :, TRUST.start + number]
        if motion is None or certain is None:
            for part in parts:
                self._blocks[0, :, :, part] = self._blocks[0, :, :, NOW]
            channel[...] = 0
            return
        width, height = self._working
        fine = enlarged(motion, self._working)
        for part, picture in zip(parts, pictures, strict=True):
            self._blocks[0, :, :, part] = to_blocks(carry(fine, picture))
        by_block = cv2.resize(certain, (width // BLOCK_PX, height // BLOCK_PX), interpolation=cv2.INTER_AREA)
        channel[...] = np.round(by_block * 255)

    def _locate_tokens(self, motion: Motion | None, certain: NDArray[np.float32] | None) -> None:
        """Write the positions of the tokens in the key frame, from its middle."""
        columns, rows = self._working[0] // TOKEN_PX, self._working[1] // TOKEN_PX
        if motion is None or certain is None:
            for field in self._by_token.values():
                field[...] = 0
            return
        for name, values, small, tokens in (
            ("rows", motion.y, self._small[1], rows),
            ("columns", motion.x, self._small[0], columns),
        ):
            centred = (values - (small - 1) / 2) * (tokens / small)
            self._by_token[name][0] = cv2.resize(centred, (columns, rows), interpolation=cv2.INTER_AREA)
        self._by_token["trust"][0] = cv2.resize(certain, (columns, rows), interpolation=cv2.INTER_AREA)

    def _changed(self, now: Rgb, picture: Rgb, painted: Rgb) -> Rgb:
        """Return the picture with what was painted where it differs, the change enlarged to the picture's size."""
        change = painted.astype(np.int16) - picture
        w, h = self._working
        largest = np.abs(change).reshape(h // BLOCK_PX, BLOCK_PX, w // BLOCK_PX, BLOCK_PX * 3).max((1, 3))
        touched = cv2.dilate((largest > UNCHANGED).astype(np.uint8), np.ones((3, 3), np.uint8))
        mask = cv2.resize(touched, self._size, interpolation=cv2.INTER_NEAREST)[..., None] > 0
        if (now.shape[1], now.shape[0]) == self._working:
            return np.where(mask, painted, now)
        larger = cv2.resize(change, self._size, interpolation=cv2.INTER_LINEAR)
        return np.where(mask, np.clip(now + larger, 0, 255), now).astype(np.uint8)

    def save(self) -> dict[str, NDArray[Any]]:
        """Return copies of all that the next frame depends on, but for the network's memory of the key frames."""
        kept: dict[str, NDArray[Any]] = {"counts": np.array([self._attached, self._unlike, self._lead])}
        if self._frames:
            kept |= {"keys": np.stack([frame.key for frame in self._frames])}
            kept |= {"edits": np.stack([frame.edit for frame in self._frames])}
            if (motion := self._frames[self._lead].locator.motion) is not None:
                kept["motion"] = np.stack(motion)
        kept |= {
            name: picture.copy()
            for name, picture in (("before", self._before), ("past", self._past))
            if picture is not None
        }
        return kept

    def restore(self, kept: Mapping[str, NDArray[Any]]) -> None:
        """Take what `save` returned."""
        attached, unlike, lead = (int(count) for count in kept["counts"])
        if "keys" in kept:
            self.take(*zip(kept["keys"], kept["edits"], strict=True))
            self._lead_by(lead)
            self._frames[lead].locator.motion = Motion(*kept["motion"]) if "motion" in kept else None
        self._before, self._past = kept.get("before"), kept.get("past")
        self._attached, self._unlike = bool(attached), unlike


def enlarged(motion: Motion, size: Size) -> Motion:
    """Return a motion field at another size `(width, height)`, px of which its values become, too."""
    height, width = motion.x.shape
    if (width, height) == size:
        return motion
    rest, at_rest = still(height, width), still(size[1], size[0])
    across, down = size[0] / width, size[1] / height
    x, y = (
        cv2.resize(field - start, size, interpolation=cv2.INTER_LINEAR) * scale
        for field, start, scale in ((motion.x, rest.x, across), (motion.y, rest.y, down))
    )
    return Motion(np.asarray(x + at_rest.x, np.float32), np.asarray(y + at_rest.y, np.float32))
