"""Files of tensors: opened, looked at and read one tensor at a time, so that no file is ever in memory as a whole.

safetensors files are read with plain reads and not by mapping them: mapped pages count as the program's memory, and a
network that is filled from several gigabytes would seem to need them. Pickles are opened for tensors alone, which runs
no code of theirs.
"""

from __future__ import annotations

import json
import pickle
import re
import struct
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from vivace.errors import CheckpointError

_T = TypeVar("_T")

_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
# What torch raises on damaged pickles: whatever the first wrong byte led to.
_DAMAGE = (
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
LDM_UNET = "model.diffusion_model."
_WRAPPERS = ("state_dict", "model")
"""Names under which training programs keep the tensors, beside their own notes."""


# The first pattern that any key matches says what a file is.
_KINDS = (
    (r"(lora_te2|text_encoder_2)[._]|lora_unet_(in|out)put_blocks_", "a LoRA for Stable Diffusion XL"),
    (r"(lora_)?transformer[._]|.*(double|single|joint)_blocks[._]", "a LoRA for a transformer, such as Flux"),
    (r"base_model\.", "PEFT's own form of a LoRA, to be saved by diffusers' `save_lora_weights`"),
    (r"bundle_emb\.", "a LoRA together with learned words"),
    (r".*\.on_input$", "an IA3 adapter"),
    (r".*\.b?oft_", "an OFT adapter"),
    (r"lora_.*\.[ab][12]\.weight$", "a GLoRA"),
    (r"lora_.*\.(diff|diff_b|[wb]_norm)$", "whole differences of weights, biases or norms (LyCORIS full)"),
    (r".*[._]lora[._]|lora_", "a LoRA"),
    (r"conditioner\.embedders\.", "a Stable Diffusion XL model"),
    (r"cond_stage_model\.model\.", "a whole Stable Diffusion 2 model in one file"),
    (rf"{re.escape(LDM_UNET)}", "a whole Stable Diffusion model in one file"),
    (r".*flow_conv_in\.", "live2diff.ckpt"),
    (r".*motion_modules\.", "a motion module of another family (AnimateDiff)"),
    (r"add_embedding\.", "the UNet of Stable Diffusion XL"),
    (r"controlnet_|input_hint_block\.", "a ControlNet"),
    (r"time_embedding\.linear_1\.", "the UNet of a Stable Diffusion model"),
    (r"(text_model\.)?embeddings\.token_embedding\.", "a CLIP text encoder"),
    (r"pretrained\.model\.|dpt\.", "a depth detector (MiDaS)"),
    (r".*vace_(blocks|patch_embedding)\.", "a Wan transformer with VACE"),
    (r".*img_emb\.|.*image_embedder\.", "a Wan transformer that begins with a picture (I2V)"),
    (r".*(text_embedding\.0|condition_embedder\.text_embedder)\.", "a Wan transformer"),
    (r"blocks\.\d+\.pos_embedding\.|encoder\.block\.\d+\.layer\.", "a T5 text encoder"),
    (r"encoder\.downsamples\.|decoder\.upsamples\.", "the autoencoder of Wan"),
    (r"decoder\.\d+\.conv\.\d+\.", "a tiny autoencoder (TAEHV)"),
    (r"(encoder\.(conv_in|down_blocks|layers)|decoder\.(conv_in|up_blocks|layers))\.", "an autoencoder"),
)


def describe(keys: Iterable[str]) -> str:
    """Say in words what a file with these keys seems to be."""
    keys = list(keys)
    for pattern, words in _KINDS:
        if any(re.match(pattern, key) for key in keys):
            return words
    return "no kind of file known here"


@dataclass(frozen=True, slots=True)
class TensorFile:
    """An open file of tensors."""

    path: Path
    shapes: Mapping[str, torch.Size]
    """Shape of every tensor, by name."""
    read: Callable[[str], Tensor]
    """Reads one tensor, in the type it is stored in."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Notes of whoever wrote a safetensors file."""

    def tensors(self) -> dict[str, Tensor]:
        """Read all."""
        return {name: self.read(name) for name in self.shapes}


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor of a file, not read yet."""

    file: TensorFile
    name: str

    @property
    def shape(self) -> torch.Size:
        """Its shape in the file."""
        return self.file.shapes[self.name]

    def read(self) -> Tensor:
        """Read it."""
        return self.file.read(self.name)


def file_in(path: Path, names: Sequence[str], what: str) -> Path:
    """Return the file of weights that `path` is, or that lies in the folder it is, under one of `names`.

    Raises:
        CheckpointError: the folder has none.
    """
    if not path.is_dir():
        return path
    found = next((path / name for name in names if (path / name).is_file()), None)
    if found is None:
        raise CheckpointError(f"{path} is not {what}: it has none of {', '.join(names)}")
    return found


def open_tensors(path: Path, containers: Sequence[str] = ()) -> TensorFile:
    """Open a safetensors file, or a pickle whose `state_dict` or `model` is unwrapped.

    Args:
        path: the file.
        containers: names under which a pickle has to have the tensors instead, the best first; a file of tensors that
            are under none is taken as well.

    Raises:
        CheckpointError: missing, damaged, or holding something else than tensors, or in other containers alone.
    """
    if path.suffix == ".safetensors":
        file = _explaining(path, _open_safetensors)
    else:
        content = read_content(path)
        tensors = _contained(content, containers, path) if containers else _tensors_in(content)
        file = TensorFile(path, {name: value.shape for name, value in tensors.items()}, tensors.__getitem__)
    if not file.shapes:
        raise CheckpointError(f"{path} holds no tensors")
    return file


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return all tensors of a file, see `open_tensors`."""
    return open_tensors(path).tensors()


def read_content(path: Path) -> dict[str, Any]:
    """Return what a safetensors file or a pickle holds by name: tensors, and in a pickle also plain values.

    Raises:
        CheckpointError: missing, damaged, or holding something that is opened only by running its code.
    """
    return _explaining(path, load_file if path.suffix == ".safetensors" else _read_pickle)


def _explaining(path: Path, read: Callable[[Path], _T]) -> _T:
    try:
        return read(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged or truncated ({error}); download it again") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error})") from error


def _contained(content: Mapping[str, Any], containers: Sequence[str], path: Path) -> dict[str, Tensor]:
    """Return the tensors of the best container there is, or those outside of any."""
    there = {name: value for name, value in content.items() if isinstance(value, dict)}
    for name in containers:
        if name in there:
            return _tensors_in(there[name])
    if there:
        raise CheckpointError(
            f"{path} has {', '.join(there)}, and not {' or '.join(containers)}: it is another stage of the training, "
            "or another model"
        )
    return _tensors_in(content)


def _tensors_in(content: Mapping[str, Any]) -> dict[str, Tensor]:
    for wrapper in _WRAPPERS:
        if isinstance(wrapped := content.get(wrapper), dict):
            content = wrapped
    return {key: value for key, value in content.items() if isinstance(value, Tensor)}


def _read_pickle(path: Path) -> dict[str, Any]:
    try:
        # Only the newer of torch's two formats can be mapped.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except FileNotFoundError:
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is damaged, or holds more than tensors and is not opened, since that would run its code"
        ) from error
    except _DAMAGE as error:
        problem = str(error).partition(". ")[0]
        raise CheckpointError(f"{path} is damaged or truncated ({problem}); download it again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not tensors by name")
    return content


# -- safetensors -------------------------------------------------------------------------------------------------------


def _open_safetensors(path: Path) -> TensorFile:
    with safe_open(path, "pt"):  # checks the header against the file
        pass
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    metadata = header.pop("__metadata__", {})
    unknown = {entry["dtype"] for entry in header.values()} - _DTYPES.keys()
    if unknown:
        raise CheckpointError(f"{path} has tensors of type {min(unknown)}, which is not read here")

    def read(name: str) -> Tensor:
        entry = header[name]
        begin, end = entry["data_offsets"]
        flat = torch.empty(end - begin, dtype=torch.uint8)
        with path.open("rb") as file:
            file.seek(8 + length + begin)
            if file.readinto(flat.numpy().data) != end - begin:
                raise CheckpointError(f"{path} has become shorter while it was read")
        return flat.view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])

    return TensorFile(path, {name: torch.Size(entry["shape"]) for name, entry in header.items()}, read, metadata)


def convert(file: TensorFile, target: Path) -> None:
    """Write the tensors of a file as safetensors, one after the other; the target appears when it is complete.

    Raises:
        CheckpointError: the file holds types that cannot be written.
        OSError: no room, or no right to write there; nothing is left of the target.
    """
    header, begin = {}, 0
    for name, shape in file.shapes.items():
        dtype = file.read(name).dtype
        if dtype not in _CODES:
            raise CheckpointError(f"{file.path} holds {name} as {dtype}, which safetensors files do not have")
        end = begin + shape.numel() * dtype.itemsize
        header[name] = {"dtype": _CODES[dtype], "shape": list(shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of eight
    part = target.with_name(f"{target.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("wb") as out:
            out.write(len(text).to_bytes(8, "little") + text)
            for name in file.shapes:
                out.write(file.read(name).contiguous().reshape(-1).view(torch.uint8).numpy().data)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
