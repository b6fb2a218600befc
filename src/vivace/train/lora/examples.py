"""Examples to learn from: clips and their captions as latents and text features, encoded once and kept in files.

A clip has its caption beside it, `NAME.txt`, or that of the run. A model that edits learns from pairs: `NAME.mp4` is
the result, `NAME.source.mp4` the source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from vivace.errors import UsageError
from vivace.media.picture import PictureConverter
from vivace.models.wan.codec import CodecState
from vivace.models.wan.components import Components
from vivace.models.wan.vae import FRAMES
from vivace.train.clips import list_videos
from vivace.train.processes import replacing

Size = tuple[int, int]
"""Width and height, px."""


@dataclass(frozen=True, slots=True)
class Example:
    """A piece of a clip."""

    latents: Tensor
    """`[1 f c h w]`, normalised."""
    source: Tensor | None
    """Latents of the source, where the model takes them beside the noise."""
    embeds: Tensor
    """Text features `[1 t d]`."""

    @classmethod
    def read(cls, path: Path, device: torch.device) -> Example:
        """Read what `encode_clips` wrote."""
        tensors = {name: tensor.to(device) for name, tensor in load_file(path).items()}
        return cls(tensors["latents"], tensors.get("source"), tensors["embeds"])


@torch.inference_mode()
def encode_clips(
    folder: Path,
    components: Components,
    out: Path,
    *,
    size: Size,
    latents: int,
    prompt: str | None,
    report: Callable[[str], object] = lambda _: None,
) -> list[Path]:
    """Return the files of the examples in a folder of clips; those that are there already are kept.

    Args:
        folder: of videos, searched recursively.
        components: of the model.
        out: folder of the examples.
        size: of the pictures, which are scaled and cut to it.
        latents: latent frames of an example; a longer clip gives several examples.
        prompt: caption of clips that have none.
        report: told the name of each clip before it is encoded.

    Raises:
        SourceNotFoundError: there is no video.
        UsageError: a clip without a caption, without its source, or too short.
    """
    out.mkdir(parents=True, exist_ok=True)
    frames = 1 + FRAMES * (latents - 1)
    paired = components.checkpoint.source == "channels"
    made: list[Path] = []
    for path in list_videos(folder):
        if path.stem.endswith(".source"):
            continue
        embeds = torch.from_numpy(components.prompts.encode(_caption(path, prompt)).embeds)[None]
        source = path.with_name(f"{path.stem}.source{path.suffix}")
        if paired and not source.is_file():
            raise UsageError(f"{path} has no source beside it, {source.name}: this model learns from pairs")
        report(path.name)
        name = "-".join(path.relative_to(folder).with_suffix("").parts)
        pieces = (pieces_of(each, size, frames) for each in ([path, source] if paired else [path]))
        count = 0
        for number, piece in enumerate(zip(*pieces, strict=False)):
            target, count = out / f"{name}-{number}.safetensors", number + 1
            made.append(target)
            if target.is_file():
                continue
            keys = ("latents", "source") if paired else ("latents",)
            tensors = {key: _encode(components, rgb) for key, rgb in zip(keys, piece, strict=True)}
            with replacing(target) as partial:
                save_file({**tensors, "embeds": embeds}, partial)
        if not count:
            raise UsageError(f"{path} has fewer than the {frames} frames of an example; give fewer --latents")
    return made


def _caption(path: Path, prompt: str | None) -> str:
    own = path.with_suffix(".txt")
    if own.is_file():
        return own.read_text("utf-8").strip()
    if prompt is None:
        raise UsageError(f"{path} has no caption: write it to {own.name} beside it, or give one for all with --prompt")
    return prompt


def _encode(components: Components, rgb: NDArray[np.uint8]) -> Tensor:
    device = components.network.patch_embedding.weight.device
    return components.autoencoder.encode(torch.from_numpy(rgb).to(device), CodecState()).cpu().contiguous()


def pieces_of(path: Path, size: Size, frames: int) -> Iterator[NDArray[np.uint8]]:
    """Yield consecutive pieces of `frames` frames `uint8 [t h w 3]` of a video, scaled and cut to `size`."""
    convert, run = PictureConverter(size=size), []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0) if container.streams.video else ():
            run.append(convert(frame).rgb)
            if len(run) == frames:
                yield np.stack(run)
                run = []
