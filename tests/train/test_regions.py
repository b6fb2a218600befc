"""Laws of hand masks, scores and conversions of region finders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from vivace.errors import CheckpointError
from vivace.regions.names import REGIONS
from vivace.regions.networks import FOLDER, FORMAT, NETWORKS
from vivace.runtime.exported.files import read_graph
from vivace.train.regions import packages
from vivace.train.regions.hand import (
    HandFrame,
    drawn,
    read_frame,
    read_hand_frames,
    sha256_of,
    shown,
    tighten,
    write_hand_frames,
)
from vivace.train.regions.networks import SOURCES
from vivace.train.regions.score import jitter, noisy, score

HAND_MASKS = Path(__file__).parents[1] / "golden" / "regions.toml"
SQUARE = [(20.0, 20.0), (60.0, 20.0), (60.0, 50.0), (20.0, 50.0)]


def test_every_network_says_what_it_is_made_of() -> None:
    notice = (FOLDER.parent / "NOTICE").read_text("utf-8")
    assert SOURCES.keys() == NETWORKS.keys()
    for name, source in SOURCES.items():
        files = read_graph(FOLDER, name, FORMAT)
        assert files.metadata["source_sha256"] == packages.SHA256[source]
        assert "Apache-2.0" in files.metadata["licence"]
        assert packages.SHA256[source] in notice
        assert source.rsplit("/", 1)[1] in notice


def test_another_file_than_the_one_looked_at_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"mediapipe==0\.10\.21"):
        packages.find(tmp_path, packages.PERSON)
    path = tmp_path / packages.PERSON
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something else")
    with pytest.raises(CheckpointError, match="sha256"):
        packages.find(tmp_path, packages.PERSON)


def test_hand_masks_are_kept_as_they_were_drawn(tmp_path: Path) -> None:
    frame = HandFrame(
        "a.png", 3, "0" * 64, {"person": (SQUARE, [(0, 0), (9.5, 0), (0, 9)]), "face": (), "person_not": ()}, True
    )
    write_hand_frames([frame, frame], tmp_path / "masks.toml")
    (read, again) = read_hand_frames(tmp_path / "masks.toml")
    assert read == again == frame
    assert read.regions == ("person", "face")
    assert not read.mask("face", (80, 80)).any()


def test_what_is_cut_out_is_not_of_a_region() -> None:
    hole = [(30.0, 30.0), (40.0, 30.0), (40.0, 40.0), (30.0, 40.0)]
    frame = HandFrame("a.png", 0, "", {"sky": (SQUARE,), "sky_not": (hole,)})
    mask = frame.mask("sky", (80, 80))
    assert mask[25, 25]
    assert not mask[35, 35]


def test_outlines_are_pulled_to_the_edge_beside_them() -> None:
    rgb = np.full((80, 100, 3), (40, 90, 60), np.uint8)
    rgb[20:51, 20:61] = 220, 180, 40
    rgb += np.random.default_rng(0).integers(0, 12, rgb.shape, dtype=np.uint8)
    sloppy = [(22.0, 17.0), (62.0, 22.0), (58.0, 53.0), (18.0, 48.0)]
    wanted = drawn([SQUARE], (100, 80))

    def iou(polygons: list[list[tuple[float, float]]]) -> float:
        mask = drawn(polygons, (100, 80))
        return float((mask & wanted).sum() / (mask | wanted).sum())

    assert iou(list(tighten(rgb, [sloppy], 4))) > max(0.95, iou([sloppy]))


def test_the_committed_masks_are_of_known_regions_inside_of_their_frames() -> None:
    frames = read_hand_frames(HAND_MASKS)
    assert len({(frame.file, frame.index) for frame in frames}) == len(frames)
    for frame in frames:
        assert set(frame.regions) <= set(REGIONS)
        assert len(frame.sha256) == 64
        for polygons in frame.outlines.values():
            assert all(len(line) >= 3 for line in polygons)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    Image.fromarray(data.astronaut()).save(tmp_path / "a.png")
    return tmp_path


def test_a_score_is_of_the_frame_that_was_drawn_over(photographs: Path) -> None:
    rgb = read_frame(photographs, "a.png", 0)
    oval = [(200.0, 80.0), (245.0, 78.0), (268.0, 95.0), (266.0, 130.0), (245.0, 170.0), (222.0, 180.0), (195.0, 160.0)]
    frame = HandFrame("a.png", 0, sha256_of(rgb), {"face": (oval,), "sky": ()})
    face, sky = score(photographs, [frame])
    assert 0.5 < face.iou < 1
    assert sky.iou == 1
    with pytest.raises(CheckpointError, match="another one"):
        list(score(photographs, [HandFrame("a.png", 0, "0" * 64, {"sky": ()})]))


def test_a_still_person_is_found_steadily_in_a_noisy_stream() -> None:
    """The limit: at most half a percent of the area per frame."""
    pictures = noisy(np.ascontiguousarray(data.astronaut()[::2, ::2]), 20)
    changes = jitter(pictures, ("person", "face", "sky"), settle=8)
    assert changes.keys() == {"person", "face"}
    assert changes["person"].max() < 0.005
    assert changes["face"].mean() < 0.005


def test_noise_is_what_a_camera_has() -> None:
    still = np.ascontiguousarray(data.astronaut()[:128, 128:256])
    frames = list(noisy(still, 4))
    assert len(frames) == 4
    assert 0 < np.abs(frames[1].astype(int) - frames[2]).mean() < 6
    assert np.abs(frames[3].astype(int) - still).mean() < 12


def test_a_frame_is_shown_under_a_grid(photographs: Path) -> None:
    picture = shown(read_frame(photographs, "a.png", 0), 50, (100, 0, 300, 200), 400)
    assert picture.size == (400, 400)
