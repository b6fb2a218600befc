"""From a profile and files to a model that is ready to run.

Pickles are converted once and read tensor by tensor, straight to their device and type. LongLive's LoRA is merged for
good on the way; LoRAs of the user can be weighed anew at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from transformers import UMT5Config

from vivace.checkpoints.converted import kept_as_safetensors
from vivace.checkpoints.files import Places, locate
from vivace.checkpoints.filling import fill
from vivace.checkpoints.lora import UNET_PREFIX, LoraStack, Merge
from vivace.checkpoints.tensors import TensorFile
from vivace.errors import UsageError
from vivace.models.base import RuntimeInfo, StreamModel
from vivace.models.loading import LoadOptions
from vivace.models.user_loras import given_loras
from vivace.models.wan.checkpoint import TAEHV, VAE, check_name, find_named, find_transformer
from vivace.models.wan.codec import Autoencoder, FullCodec, TinyCodec
from vivace.models.wan.components import Checkpoint, Components
from vivace.models.wan.lora import open_lora, read_wan_lora
from vivace.models.wan.model import WanModel
from vivace.models.wan.network import WanConfig, WanNetwork
from vivace.models.wan.profile import WanProfile, WanStyle
from vivace.models.wan.randomise import randomise
from vivace.models.wan.stream_state import WanStream
from vivace.models.wan.taehv import Taehv, TaehvConfig
from vivace.models.wan.text import HashText, TextEncoder, WanPrompts, find_text, load_umt5
from vivace.models.wan.vae import VaeConfig, WanVae
from vivace.runtime.torch.device import TorchDevice, open_device
from vivace.runtime.torch.precision import choose_precision

ModuleT = TypeVar("ModuleT", bound=nn.Module)
ConfigT = TypeVar("ConfigT")
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
UMT5_XXL: Mapping[str, Any] = {
    "vocab_size": 256384, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64
}  # fmt: skip


class Networks:
    """The parts of a model, without weights, at a profile's widths."""

    def __init__(self, profile: WanProfile, style: WanStyle | None = None) -> None:
        """Read a profile's `[network]` tables.

        Raises:
            UsageError: a part or a width that does not exist.
        """
        width = "transformer" if style is None or style.width is None else style.width
        known = {"transformer", "text", "vae", "taehv", width}
        if unknown := {name for name in profile.network if not name.startswith("transformer")} - known:
            raise UsageError(f"profile {profile.name!r}: network has no part {min(unknown)!r}")
        channels = {"in_channels": 32} if profile.source == "channels" else {}
        tables = {**profile.network, width: {**channels, **profile.network.get(width, {})}}
        self.transformer = _config(WanConfig, profile, tables, width)
        self.vae = _config(VaeConfig, profile, tables, "vae")
        self.taehv = _config(TaehvConfig, profile, tables, "taehv")
        self.text = UMT5Config(**{**UMT5_XXL, **profile.network.get("text", {})})


def _config(
    kind: Callable[..., ConfigT], profile: WanProfile, tables: Mapping[str, Mapping[str, Any]], part: str
) -> ConfigT:
    table = {key: tuple(value) if isinstance(value, list) else value for key, value in tables.get(part, {}).items()}
    try:
        return kind(**table)
    except TypeError as error:
        raise UsageError(f"profile {profile.name!r}, network.{part}: {error}") from error


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
    precision = options.precision or choose_precision(device.torch, on_cuda="bf16")
    components = load_components(profile, options, device.torch, DTYPES[precision])
    name = device.name if device.torch.type == "cuda" else f"{device.name}, {torch.get_num_threads()} threads"
    return WanModel(components, device, info=RuntimeInfo(runtime or "eager", name, precision))


def load_components(
    profile: WanProfile,
    options: LoadOptions,
    device: torch.device,
    dtype: torch.dtype,
    places: Places | None = None,
) -> Components:
    """Load the weights of a model onto a device.

    Raises:
        UsageError: a style, a role or a number of steps that does not exist.
        CheckpointError: a file is missing, damaged, or not what it should be.
    """
    style = profile.chosen(options.style)
    networks = Networks(profile, style)
    checkpoint = _checkpoint(profile, style, options)
    tiny = options.controls.get("autoencoder", "tiny") == "tiny"
    unused = "autoencoder" if tiny else "tiny_autoencoder"
    if unused in options.files:
        raise UsageError(f"a file is given as {unused}, and the {'tiny' if tiny else 'full'} autoencoder is chosen")
    if options.random_weights:
        if options.files or options.loras:
            raise UsageError("random weights take no files and no LoRAs")
        return _random(profile, networks, checkpoint, options, device, dtype)
    places = places or Places.of_this_machine()
    paths = locate(profile, style, given=options.files, also=() if tiny else ("autoencoder",), places=places)
    network = _transformer(profile, networks, paths, places, device, dtype)
    stack = LoraStack(network, UNET_PREFIX)
    for name, (path, weight) in given_loras(options.loras).items():
        stack.add(name, read_wan_lora(open_lora(path), network), weight=weight)
    return Components(
        network,
        _autoencoder(profile, networks, paths, places, device, dtype, tiny=tiny),
        WanPrompts(_text(networks, paths, places, device)),
        checkpoint,
        (stack,) if stack.weights else (),
    )


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


def _transformer(
    profile: WanProfile,
    networks: Networks,
    paths: Mapping[str, Path],
    places: Places,
    device: torch.device,
    dtype: torch.dtype,
) -> WanNetwork:
    path = paths.get("base") or paths["generator"]
    check_name(path, profile.weights)
    network = empty(WanNetwork, networks.transformer, device, dtype)

    def find(file: TensorFile) -> Any:
        return find_transformer(file, network, f"the transformer of {profile.name}")

    file = kept_as_safetensors(path, places.folder, find, containers=profile.weights.containers)
    merges = []
    if "lora" in paths:
        merges.append(Merge(paths["lora"].name, read_wan_lora(open_lora(paths["lora"]), network)))
    fill(network, find(file), merges=merges, prefix=UNET_PREFIX)
    return network


def _autoencoder(
    profile: WanProfile,
    networks: Networks,
    paths: Mapping[str, Path],
    places: Places,
    device: torch.device,
    dtype: torch.dtype,
    *,
    tiny: bool,
) -> Autoencoder:
    pixel_range = profile.pictures.pixel_range
    if tiny:
        taehv = empty(Taehv, networks.taehv, device, dtype)
        _fill_named(taehv, paths["tiny_autoencoder"], places, TAEHV)
        return TinyCodec(taehv, pixel_range)
    vae = empty(WanVae, networks.vae, device, dtype)
    _fill_named(vae, paths["autoencoder"], places, VAE)
    return FullCodec(vae, pixel_range)


def _fill_named(module: nn.Module, path: Path, places: Places, what: str) -> None:
    file = kept_as_safetensors(path, places.folder, lambda file: find_named(file, module, what))
    fill(module, find_named(file, module, what))


def _text(networks: Networks, paths: Mapping[str, Path], places: Places, device: torch.device) -> TextEncoder:
    with torch.device("meta"):
        wanted = _umt5(networks.text)
    file = kept_as_safetensors(paths["text_encoder"], places.folder, lambda file: find_text(file, wanted))
    # On a CPU without bf16 it is slow, and still read in twice the memory otherwise.
    return load_umt5(
        file,
        paths["tokenizer"],
        networks.text,
        device=device,
        dtype=torch.bfloat16,
        length=networks.transformer.text_len,
    )


def _umt5(cfg: UMT5Config) -> Any:
    from transformers import UMT5EncoderModel

    return UMT5EncoderModel(cfg)


def _random(
    profile: WanProfile,
    networks: Networks,
    checkpoint: Checkpoint,
    options: LoadOptions,
    device: torch.device,
    dtype: torch.dtype,
) -> Components:
    """Return components of full size with random weights: as fast as the real ones, and good for nothing else."""
    cfg = networks.transformer
    network = randomise(empty(WanNetwork, cfg, device, dtype), options.seed)
    autoencoder: Autoencoder
    if options.controls.get("autoencoder", "tiny") == "tiny":
        taehv = randomise(empty(Taehv, networks.taehv, device, dtype), options.seed)
        autoencoder = TinyCodec(taehv, profile.pictures.pixel_range)
    else:
        vae = randomise(empty(WanVae, networks.vae, device, dtype), options.seed)
        autoencoder = FullCodec(vae, profile.pictures.pixel_range)
    return Components(network, autoencoder, WanPrompts(HashText(cfg.text_dim, cfg.text_len)), checkpoint)


def empty(kind: Callable[[ConfigT], ModuleT], cfg: ConfigT, device: torch.device, dtype: torch.dtype) -> ModuleT:
    """Return a network with memory of its own on its device and in its type, and nothing in it yet."""
    with torch.device("meta"):
        module = kind(cfg)
    return module.to(dtype=dtype).to_empty(device=device).requires_grad_(False).eval()
