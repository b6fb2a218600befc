"""A model that is ready to run, from a profile and its files.

Pickles are converted once; tensors are read one by one, straight to their device and type. LongLive's LoRA is merged
for good on the way, LoRAs of the user can be weighed anew at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from vivace.checkpoints.converted import kept_as_safetensors
from vivace.checkpoints.files import Places, locate
from vivace.checkpoints.filling import empty, fill
from vivace.checkpoints.lora import UNET_PREFIX, LoraStack, Merge
from vivace.checkpoints.random_weights import randomise
from vivace.checkpoints.tensors import Stored, TensorFile
from vivace.errors import BackendUnavailableError, UsageError
from vivace.models.base import RuntimeInfo, StreamModel
from vivace.models.loading import LoadOptions
from vivace.models.user_loras import given_loras
from vivace.models.wan.checkpoint import TAEHV, check_name, find_named, find_transformer, find_vae
from vivace.models.wan.codec import Autoencoder, FullCodec, TinyCodec
from vivace.models.wan.components import Checkpoint, Components
from vivace.models.wan.family import FAMILY
from vivace.models.wan.lora import open_lora, read_wan_lora
from vivace.models.wan.model import WanModel
from vivace.models.wan.network import Block, WanConfig, WanNetwork
from vivace.models.wan.profile import WanProfile, WanStyle
from vivace.models.wan.stream_state import WanStream
from vivace.models.wan.taehv import Taehv, TaehvConfig
from vivace.models.wan.text import HashText, TextEncoder, WanPrompts
from vivace.models.wan.vae import VaeConfig, WanVae
from vivace.runtime.torch.choose import choose_mode
from vivace.runtime.torch.device import TorchDevice, open_device
from vivace.runtime.torch.graphs import Mode
from vivace.runtime.torch.packed import PACKED, Packed, pack
from vivace.runtime.torch.precision import DTYPES, choose_precision

if TYPE_CHECKING:
    from transformers import UMT5Config

UMT5_XXL: Mapping[str, Any] = {
    "vocab_size": 256384, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64
}  # fmt: skip


class Widths:
    """Widths and depths of every part; the defaults are those of the published files."""

    def __init__(self, profile: WanProfile, style: WanStyle | None = None) -> None:
        """Read a profile's `[network]` tables.

        Raises:
            UsageError: a part or a width that does not exist.
        """
        width = style.width if style is not None and style.width is not None else "transformer"
        known = {"transformer", "text", "vae", "taehv", width}
        if unknown := {name for name in profile.network if not name.startswith("transformer")} - known:
            raise UsageError(f"profile {profile.name!r}: network has no part {min(unknown)!r}")
        channels = {"in_channels": 32} if profile.source == "channels" else {}
        self.transformer = profile.widths(WanConfig, width, **channels)
        self.vae = profile.widths(VaeConfig, "vae")
        self.taehv = profile.widths(TaehvConfig, "taehv")
        self._profile = profile

    @property
    def text(self) -> UMT5Config:
        """Widths of the text encoder."""
        from transformers import UMT5Config

        return self._profile.widths(UMT5Config, "text", **UMT5_XXL)


def load(
    profile: WanProfile, *, runtime: str | None, threads: int | None, options: LoadOptions
) -> StreamModel[WanStream]:
    """Load a model of this family.

    Raises:
        UsageError: a style, a role or a number of steps that does not exist.
        CheckpointError: a file is missing, damaged, or not what it should be.
        BackendUnavailableError: the device is not there.
    """
    device = open_device(options.device)
    return device.call(_load, profile, runtime, threads, options, device)


def _load(
    profile: WanProfile, runtime: str | None, threads: int | None, options: LoadOptions, device: TorchDevice
) -> WanModel:
    if threads is not None:
        torch.set_num_threads(threads)
    precision = choose_precision(device.torch, on_cuda="bf16", asked=options.precision, int8=True)
    runtime, mode, notes = choose_runtime(runtime, device.torch, precision, changes=bool(options.loras))
    # Beside the layers of integers the rest is in the type that the device is fast in.
    dtype = DTYPES[choose_precision(device.torch, on_cuda="bf16") if precision == "int8" else precision]
    layer = PACKED[precision] if runtime == "packed" else None
    components = load_components(profile, options, device.torch, dtype, packed=layer)
    name = device.name if device.torch.type == "cuda" else f"{device.name}, {torch.get_num_threads()} threads"
    return WanModel(components, device, info=RuntimeInfo(runtime, name, precision, notes), mode=mode)


def choose_runtime(
    runtime: str | None, device: torch.device, precision: str, *, changes: bool
) -> tuple[str, Mode, tuple[str, ...]]:
    """Return the runtime, the mode of programs and notes for people; the fastest that works if None is asked for.

    Args:
        runtime: one of the family's, or None.
        device: of the weights.
        precision: of the weights.
        changes: true where LoRAs may be weighed anew, which packed weights cannot follow.

    Raises:
        BackendUnavailableError: the runtime asked for does not work here.
    """
    packs = device.type == "cpu" and precision in ("bf16", "int8") and not changes
    if runtime == "packed" and not packs:
        raise BackendUnavailableError(
            "the runtime packed takes bf16 or int8 on a CPU without LoRAs of your own; take the runtime eager for all "
            "else"
        )
    if precision == "int8" and (runtime not in (None, "packed") or changes):
        raise BackendUnavailableError(
            "int8 needs the runtime packed, which takes no LoRAs of your own; give another precision for them"
        )
    if runtime == "packed" or (runtime is None and packs):
        return "packed", "eager", ()
    mode, notes = choose_mode(runtime, device)
    return "eager" if mode == "eager" else "compiled", mode, notes


def load_components(
    profile: WanProfile,
    options: LoadOptions,
    device: torch.device,
    dtype: torch.dtype,
    places: Places | None = None,
    *,
    packed: type[Packed] | None = None,
) -> Components:
    """Load the weights of a model onto a device.

    Args:
        profile: of the model.
        options: of the user.
        device: of the weights.
        dtype: of the weights, those of packed integers apart.
        places: of files; this machine's if None.
        packed: layer that the blocks' linear layers become, block by block while they are loaded; None is none.

    Raises:
        UsageError: a style, a role or a number of steps that does not exist.
        CheckpointError: a file is missing, damaged, or not what it should be.
    """
    style = profile.chosen(options.style)
    options = replace(options, controls=FAMILY.settle(options.controls))
    options.check_files()
    checkpoint, widths = _checkpoint(profile, style, options), Widths(profile, style)
    if options.random_weights:
        return _random_components(profile, options, checkpoint, widths, device, dtype, packed)
    places = places or Places.of_this_machine()
    also = ("autoencoder",) if options.controls["autoencoder"] == "full" else ()
    paths = locate(profile, style, given=options.files, also=also, places=places)
    files = _Files(profile, widths, paths, places, device, dtype)
    network = files.transformer(packed)
    stack = LoraStack(network, UNET_PREFIX)
    for name, (path, weight) in given_loras(options.loras).items():
        stack.add(name, read_wan_lora(open_lora(path), network), weight=weight)
    autoencoder = files.tiny_autoencoder() if options.controls["autoencoder"] == "tiny" else files.full_autoencoder()
    loras = (stack,) if stack.weights else ()
    return Components(network, autoencoder, WanPrompts(files.text_encoder()), checkpoint, loras)


def _checkpoint(profile: WanProfile, style: WanStyle | None, options: LoadOptions) -> Checkpoint:
    licences = sorted({spec.licence for spec in (style.files if style else ())})
    return Checkpoint(
        name=profile.name if style is None else f"{profile.name}/{style.name}",
        summary=profile.summary if style is None else style.summary,
        licence="; ".join([profile.licence, *(f"files of the style: {each}" for each in licences)]),
        source=profile.source,
        sampling=profile.sampling_of(style, options.steps),
        normalised_in=profile.pictures.normalised_in,
    )


@dataclass(frozen=True, slots=True)
class _Files:
    """The files of a model, read into networks on a device."""

    profile: WanProfile
    widths: Widths
    paths: Mapping[str, Path]
    places: Places
    device: torch.device
    dtype: torch.dtype

    def transformer(self, packed: type[Packed] | None) -> WanNetwork:
        profile, path = self.profile, self.paths.get("base") or self.paths["generator"]
        check_name(path, profile.weights)
        network = empty(WanNetwork, self.widths.transformer, self.device, self.dtype)

        def find(file: TensorFile) -> dict[str, Stored]:
            return find_transformer(file, network, f"the transformer of {profile.name}")

        file = kept_as_safetensors(path, self.places.folder, find, containers=profile.weights.containers)
        merges = []
        if (lora := self.paths.get("lora")) is not None:
            merges.append(Merge(lora.name, read_wan_lora(open_lora(lora), network)))
        stored = find(file)
        for prefix, part in _parts(network):
            own = {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)}
            fill(part, own, merges=merges, prefix=UNET_PREFIX + prefix.replace(".", "_"))
            _pack(part, packed)
        return network

    def tiny_autoencoder(self) -> TinyCodec:
        taehv = empty(Taehv, self.widths.taehv, self.device, self.dtype, torch.channels_last)
        self._fill(taehv, "tiny_autoencoder", lambda file: find_named(file, taehv, TAEHV))
        return TinyCodec(taehv, self.profile.pictures.pixel_range)

    def full_autoencoder(self) -> FullCodec:
        vae = empty(WanVae, self.widths.vae, self.device, self.dtype)
        self._fill(vae, "autoencoder", lambda file: find_vae(file, vae))
        return FullCodec(vae, self.profile.pictures.pixel_range)

    def text_encoder(self) -> TextEncoder:
        # transformers takes seconds and 220 MiB, which random weights go without.
        from transformers import UMT5EncoderModel

        from vivace.models.wan.umt5 import find_text, load_umt5

        with torch.device("meta"):
            expected = UMT5EncoderModel(self.widths.text)
        file = kept_as_safetensors(
            self.paths["text_encoder"], self.places.folder, lambda file: find_text(file, expected)
        )
        # bf16 as published: slow on a CPU without it, but otherwise it would take twice the memory.
        return load_umt5(
            file,
            self.paths["tokenizer"],
            self.widths.text,
            device=self.device,
            dtype=torch.bfloat16,
            length=self.widths.transformer.text_len,
        )

    def _fill(self, module: nn.Module, role: str, find: Callable[[TensorFile], dict[str, Stored]]) -> None:
        fill(module, find(kept_as_safetensors(self.paths[role], self.places.folder, find)))


def _parts(network: WanNetwork) -> Iterator[tuple[str, nn.Module]]:
    """Yield the parts of a transformer, each block by itself, with the prefix of its keys."""
    for name, child in network.named_children():
        if isinstance(child, nn.ModuleList):
            yield from ((f"{name}.{number}.", block) for number, block in enumerate(child))
        else:
            yield f"{name}.", child


def _pack(part: nn.Module, packed: type[Packed] | None) -> None:
    if packed is not None and isinstance(part, Block):
        pack(part, packed)


def _random_components(
    profile: WanProfile,
    options: LoadOptions,
    checkpoint: Checkpoint,
    widths: Widths,
    device: torch.device,
    dtype: torch.dtype,
    packed: type[Packed] | None,
) -> Components:
    """Return components of full size with random weights: as fast as the real ones, and good for nothing else."""
    cfg, pixel_range = widths.transformer, profile.pictures.pixel_range
    network = empty(WanNetwork, cfg, device, dtype)
    for number, (_, part) in enumerate(_parts(network)):
        _pack(randomise(part, options.seed + number), packed)
    autoencoder: Autoencoder
    if options.controls["autoencoder"] == "tiny":
        autoencoder = TinyCodec(
            randomise(empty(Taehv, widths.taehv, device, dtype, torch.channels_last), options.seed), pixel_range
        )
    else:
        autoencoder = FullCodec(randomise(empty(WanVae, widths.vae, device, dtype), options.seed), pixel_range)
    return Components(network, autoencoder, WanPrompts(HashText(cfg.text_dim, cfg.text_len)), checkpoint)
