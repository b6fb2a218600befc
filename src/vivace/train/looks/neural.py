"""Neural teachers: paintings, any picture as the style, anime. Pictures are float `[b 3 h w]` in [0, 1]."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vivace.runtime.exported.openvino import import_openvino
from vivace.train.looks import packages

PAINTING_STYLES = 26
CODE_NUMBERS = 100
"""Length of the picture-as-style network's code."""
_CODE_PX = 256
_PICTURE_PX = 384
_ANIME_SHARE = 0.75
"""Side at which the anime network works, relative to the working size: small enough for bold lines."""
_ANIME_PASSES = 3


class NeuralTeachers:
    """Three teachers, read from a folder of packages."""

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        """Read the networks.

        Raises:
            CheckpointError: a file is missing or another one.
        """
        ov = import_openvino()
        self._core = ov.Core()
        self._shape = ov.PartialShape
        self._config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        self._paintings = packages.find(folder, packages.PAINTINGS)
        self._painters: dict[tuple[int, int], Any] = {}
        exact = {**self._config, "INFERENCE_PRECISION_HINT": "f32"}
        self._encode, self._transform = (
            self._core.compile_model(str(packages.find(folder, name)), "CPU", exact)
            for name in (packages.PICTURE_CODE, packages.PICTURE_PAINTER)
        )
        self._anime = read_anime(packages.find(folder, packages.ANIME))

    def painting(self, x: Tensor, style: int, scale: int) -> Tensor:
        """Paint in style 0 to 25. The network sees twice the working size, at which faces survive."""
        large = x if scale == 2 else resize(x, 2 * x.shape[-1])
        size = (large.shape[-2], large.shape[-1])
        if size not in self._painters:
            model = self._core.read_model(str(self._paintings))
            model.reshape({"image": [1, 3, *size], "style_weights": [PAINTING_STYLES]})
            self._painters[size] = self._core.compile_model(model, "CPU", self._config)
        weights = np.eye(PAINTING_STYLES, dtype=np.float32)[style]
        painter = self._painters[size]
        out = [torch.from_numpy(np.array(painter([frame[None].numpy(), weights])[0], np.float32)) for frame in large]
        return resize(torch.cat(out), x.shape[-1]).clamp(0, 1)

    def code(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the code `[100]` of a picture `uint8 [h w 3]`."""
        x = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
        x = F.interpolate(x, size=(_CODE_PX, _CODE_PX), mode="bilinear", antialias=True, align_corners=False)
        return np.array(self._encode([x.permute(0, 2, 3, 1).contiguous().numpy()])[0], np.float32).reshape(CODE_NUMBERS)

    def picture(self, x: Tensor, code: NDArray[np.float32]) -> Tensor:
        """Paint in the style of a picture's code."""
        out = []
        for frame in resize(x, _PICTURE_PX):
            content = frame.permute(1, 2, 0)[None].contiguous().numpy()
            painted = np.array(self._transform([content, code.reshape(1, 1, 1, -1)])[0], np.float32)
            out.append(torch.from_numpy(painted).permute(0, 3, 1, 2))
        return resize(torch.cat(out), x.shape[-1]).clamp(0, 1)

    @torch.no_grad()
    def anime(self, x: Tensor, scale: int) -> Tensor:
        """Paint as anime: the upscaler three times, with shrinking in between."""
        small = round(x.shape[-1] / scale * _ANIME_SHARE / 4) * 4
        y = x
        for _ in range(_ANIME_PASSES):
            y = self._anime(resize(y, small)).clamp(0, 1)
        return resize(y, x.shape[-1]).clamp(0, 1)


def resize(x: Tensor, side: int) -> Tensor:
    """Resize square pictures `[b 3 s s]`."""
    if x.shape[-1] == side:
        return x
    return F.interpolate(x, size=(side, side), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


# -- the anime upscaler ------------------------------------------------------------------------------------------------

_HALF_TAG = 0x01306B47
"""Tag before 16-bit convolution weights in an ncnn file."""
_WIDTH, _LAYERS, _UP = 64, 17, 4


class AnimeUpscaler(nn.Module):
    """Real-ESRGAN's SRVGG: 17 convolutions with PReLU, one to 48 channels, shuffled to 4x, plus the picture; halved."""

    def __init__(self) -> None:
        super().__init__()
        widths = [3, *[_WIDTH] * _LAYERS]
        self.hidden = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.PReLU(b)) for a, b in zip(widths, widths[1:], strict=False)
        )
        self.last = nn.Conv2d(_WIDTH, 3 * _UP**2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the picture at twice its size."""
        y = x
        with torch.autocast("cpu", torch.bfloat16):
            for layer in self.hidden:
                y = layer(y)
            y = self.last(y)
        y = F.pixel_shuffle(y.float(), _UP) + F.interpolate(x, scale_factor=_UP, mode="nearest")
        return F.avg_pool2d(y, 2)


def read_anime(path: Path) -> AnimeUpscaler:
    """Read the upscaler's ncnn weights: a tag, 16-bit weights padded to 4 bytes, 32-bit biases, 32-bit slopes."""
    raw = path.read_bytes()
    at = 0

    def take(count: int, dtype: type[np.generic]) -> Tensor:
        nonlocal at
        data = np.frombuffer(raw, dtype, count, at)
        at += (data.nbytes + 3) // 4 * 4
        return torch.from_numpy(data.astype(np.float32))

    net = AnimeUpscaler()
    state = net.state_dict()
    for name, value in state.items():
        if value.dim() == 4:
            half = int(np.frombuffer(raw, np.uint32, 1, at)[0]) == _HALF_TAG
            at += 4
            state[name] = take(value.numel(), np.float16 if half else np.float32).view(value.shape)
        else:
            state[name] = take(value.numel(), np.float32)
    if at != len(raw):
        raise ValueError(f"{path} has {len(raw)} bytes, of which the network's layers take {at}")
    net.load_state_dict(state)
    return net.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
