"""Loading: from a profile and files to a model that is ready to run.

The UNet comes from Stable Diffusion 1.5 (diffusers' file, or a whole model in one file, as DreamBooth styles are
published), its motion modules from live2diff.ckpt. LCM-LoRA is merged permanently while the weights are read; the LoRAs
of a style and of the user can be reweighted at any time. Weights are loaded directly in their type on their device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch

from vivace.checkpoints.converted import kept_as_safetensors
from vivace.checkpoints.files import Places, locate
from vivace.checkpoints.filling import empty, fill
from vivace.checkpoints.lora import (
    TEXT_PREFIX,
    UNET_PREFIX,
    LoraStack,
    Merge,
    lora_targets,
    own_layers,
    read_lora,
)
from vivace.checkpoints.profile import LoraScaling, check_conventions
from vivace.checkpoints.tensors import Stored, TensorFile, open_tensors
from vivace.diffusion import lcm
from vivace.errors import CheckpointError, UsageError
from vivace.models.base import RuntimeInfo, StreamModel
from vivace.models.live2diff import autoencoder as autoencoders
from vivace.models.live2diff import motion, window
from vivace.models.live2diff.autoencoder import FullConfig, TinyConfig, load_full, load_tiny
from vivace.models.live2diff.checkpoint import find_motion, find_text, find_unet, has_text
from vivace.models.live2diff.choose import steps_of
from vivace.models.live2diff.components import Components, StyleInfo
from vivace.models.live2diff.controls import Guidance
from vivace.models.live2diff.depth import DETECTOR_SIDE_PX
from vivace.models.live2diff.detector import DepthDetector, DetectorConfig, load_detector
from vivace.models.live2diff.family import FAMILY
from vivace.models.live2diff.folder import check_config, folder_files
from vivace.models.live2diff.model import Live2DiffModel
from vivace.models.live2diff.profile import Live2DiffProfile, Live2DiffStyle
from vivace.models.live2diff.prompts import ClipPrompts, ClipTokenizer, HashTokenizer, read_inversion
from vivace.models.live2diff.randomise import randomise_unet
from vivace.models.live2diff.ring import HEADS
from vivace.models.live2diff.stream_state import StreamState
from vivace.models.live2diff.text import ClipText, TextConfig
from vivace.models.live2diff.unet import Live2DiffUNet, UNetConfig
from vivace.models.loading import LoadOptions
from vivace.models.user_loras import given_loras
from vivace.runtime.torch.choose import choose_mode
from vivace.runtime.torch.device import TorchDevice, open_device
from vivace.runtime.torch.precision import DTYPES, choose_precision

COMPUTED: dict[str, Any] = {
    "beta_schedule": "linear",
    "beta_start": lcm.BETA_START,
    "beta_end": lcm.BETA_END,
    "train_timesteps": lcm.TRAIN_TIMESTEPS,
    "lcm_steps": lcm.ORIGINAL_STEPS,
    "timestep_scaling": lcm.TIMESTEP_SCALING,
    "sigma_data": lcm.SIGMA_DATA,
    "anchors": window.ANCHORS,
    "rolling": window.ROLLING,
    "position_entries": motion.POSITION_ENTRIES,
    "motion_groups": motion.MOTION_GROUPS,
    "motion_heads": HEADS,
    "latent_scaling": autoencoders.SCALING,
    "detector_side_px": DETECTOR_SIDE_PX,
}
"""Conventions that this version implements."""


@dataclass(frozen=True, slots=True)
class Widths:
    """Widths and depths of every part; the defaults are those of the published files."""

    unet: UNetConfig
    text: TextConfig
    tiny: TinyConfig
    full: FullConfig
    detector: DetectorConfig

    @classmethod
    def of(cls, profile: Live2DiffProfile) -> Widths:
        """Return the widths in a profile's `[network]` tables.

        Raises:
            UsageError: a part or a width that does not exist.
        """
        parts = {"unet": UNetConfig, "text": TextConfig, "tiny": TinyConfig, "full": FullConfig}
        parts |= {"detector": DetectorConfig}
        if unknown := profile.network.keys() - parts.keys():
            raise UsageError(f"profile {profile.name!r}: network has no part {min(unknown)!r}")
        return cls(**{name: profile.widths(kind, name) for name, kind in parts.items()})


# -- the family --------------------------------------------------------------------------------------------------------


def load(
    profile: Live2DiffProfile, *, runtime: str | None, threads: int | None, options: LoadOptions
) -> StreamModel[StreamState]:
    """Load a model of this family.

    Raises:
        UsageError: a style, a role or a number of steps that does not exist.
        CheckpointError: a file is missing, damaged, or another network; or the profile is for another version.
        BackendUnavailableError: the device does not exist.
    """
    check_conventions(profile, COMPUTED)
    device = open_device(options.device)
    return device.call(_load, profile, runtime, threads, options, device)


def _load(
    profile: Live2DiffProfile, runtime: str | None, threads: int | None, options: LoadOptions, device: TorchDevice
) -> Live2DiffModel:
    if threads is not None:
        torch.set_num_threads(threads)
    precision = choose_precision(device.torch, on_cuda="f16", asked=options.precision)  # f16 as published
    mode, notes = choose_mode(runtime, device.torch)
    components = load_components(profile, options, device.torch, DTYPES[precision])
    name = device.name if device.torch.type == "cuda" else f"{device.name}, {torch.get_num_threads()} threads"
    info = RuntimeInfo("eager" if mode == "eager" else "compiled", name, precision, notes)
    if mode == "compiled":
        # On a CPU, compiling whole steps takes minutes; only one part gains from it.
        components.unet.compile_ring()
        mode = "eager"
    return Live2DiffModel(components, device, info=info, mode=mode)


def load_components(
    profile: Live2DiffProfile,
    options: LoadOptions,
    device: torch.device,
    dtype: torch.dtype,
    places: Places | None = None,
) -> Components:
    """Return the weights of a model, loaded onto a device.

    Raises:
        UsageError: a style, a role or a number of steps that does not exist.
        CheckpointError: a file is missing, damaged, or another network.
    """
    style = profile.style(options.style)
    widths = Widths.of(profile)
    options = replace(options, controls=FAMILY.settle(options.controls))
    _check_options(options)
    if options.random_weights:
        return _random_components(profile, style, options, widths, device, dtype)
    places = places or Places.of_this_machine()
    given, words = _given(options)
    if "unet" in given:
        # A user's own folder or file replaces the style's base.
        style = style.model_copy(update={"base": None})
    also = ["autoencoder"] if options.controls["autoencoder"] == "full" and not (style.base or "base" in given) else []
    paths = locate(profile, style, given=given, also=also, places=places)
    words |= {word: paths[spec.role] for word, spec in style.words.items()}

    base = open_tensors(paths["base"]) if "base" in paths else None
    if "unet_config" in paths:
        check_config(paths["unet_config"], widths.unet)
    unet = empty(Live2DiffUNet, widths.unet, device, dtype, torch.channels_last)
    stored = find_unet(base or open_tensors(paths["unet"]), unet, layers=widths.unet.layers)
    stored |= open_motion(paths["motion"], unet, places)
    # float32: a prompt is encoded once, and its rounding error would affect every frame.
    encoder = empty(ClipText, widths.text, device, torch.float32)
    few_steps = Merge(paths["lcm_lora"].name, read_lora(open_tensors(paths["lcm_lora"])))
    stored_text = find_text(_text_file(base, paths, profile, places), encoder)
    for module, files, prefix in ((unet, stored, UNET_PREFIX), (encoder, stored_text, TEXT_PREFIX)):
        own_layers(few_steps.layers, lora_targets(module, prefix), prefix, few_steps.name)
        fill(module, files, merges=[few_steps], prefix=prefix)
    stacks = (LoraStack(unet, UNET_PREFIX), LoraStack(encoder, TEXT_PREFIX))
    for name, (path, weight) in _loras(style, options, paths).items():
        layers = read_lora(open_tensors(path))
        for stack in stacks:
            stack.add(name, layers, weight=weight, scaling=cast(LoraScaling, options.controls["lora_scaling"]))

    prompts = ClipPrompts(
        ClipTokenizer(_tokenizer_folder(paths)),
        encoder.eval(),
        template=style.prompt,
        clip_skip=_clip_skip(style, options),
        inversions={word: read_inversion(path)[1] for word, path in words.items()},
    )
    return Components(
        unet=unet,
        autoencoder=_autoencoder(paths, options, widths).place(device, dtype),
        detector=load_detector(paths["detector"], widths.detector).place(device, dtype),
        prompts=prompts,
        style=_style_info(profile, style, options),
        loras=stacks,
    )


def _random_components(
    profile: Live2DiffProfile,
    style: Live2DiffStyle,
    options: LoadOptions,
    widths: Widths,
    device: torch.device,
    dtype: torch.dtype,
) -> Components:
    """Return components of full size with random weights, as fast as real ones, for speed measurements."""
    unet = randomise_unet(empty(Live2DiffUNet, widths.unet, device, dtype, torch.channels_last), options.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        encoder = ClipText(widths.text).to(device).requires_grad_(False).eval()
        full = options.controls["autoencoder"] == "full"
        autoencoder = autoencoders.FullAutoencoder(widths.full) if full else autoencoders.TinyAutoencoder(widths.tiny)
        detector = DepthDetector(widths.detector)
    return Components(
        unet=unet,
        autoencoder=autoencoder.place(device, dtype),
        detector=detector.place(device, dtype),
        prompts=ClipPrompts(
            HashTokenizer(widths.text.vocabulary),
            encoder,
            template=style.prompt,
            clip_skip=_clip_skip(style, options),
        ),
        style=_style_info(profile, style, options),
        loras=(LoraStack(unet, UNET_PREFIX), LoraStack(encoder, TEXT_PREFIX)),
    )


# -- choices -----------------------------------------------------------------------------------------------------------


def _style_info(profile: Live2DiffProfile, style: Live2DiffStyle, options: LoadOptions) -> StyleInfo:
    return StyleInfo(
        name=f"{profile.name}/{style.name}",
        summary=style.summary,
        licence="; ".join([profile.licence, *sorted({f"files of the style: {spec.licence}" for spec in style.files})]),
        t_index=steps_of(style, options.steps),
        guidance=cast(Guidance, options.controls["guidance"]),
    )


def _clip_skip(style: Live2DiffStyle, options: LoadOptions) -> int:
    given = options.controls["clip_skip"]
    return style.clip_skip if given is None else int(given)


def _check_options(options: LoadOptions) -> None:
    """Reject options that would have no effect."""
    options.check_files()
    if {"base", "unet"} <= options.files.keys():
        raise UsageError("files are given both as base and as unet, which replace each other; give one")


def _given(options: LoadOptions) -> tuple[dict[str, str], dict[str, Path]]:
    """Return the user's files by role, including those of a folder, and the learned words."""
    words = {role.removeprefix("word:"): Path(path) for role, path in options.files.items() if role.startswith("word:")}
    given = {role: path for role, path in options.files.items() if not role.startswith("word:")}
    if (base := given.get("base")) is not None and Path(base).is_dir():
        del given["base"]
        given = folder_files(Path(base)) | given
    return given, words


def _tokenizer_folder(paths: Mapping[str, Path]) -> Path:
    vocabulary, merges = paths["vocabulary"], paths["merges"]
    if vocabulary.parent != merges.parent or (vocabulary.name, merges.name) != ("vocab.json", "merges.txt"):
        raise UsageError(f"the tokenizer is a folder with vocab.json and merges.txt, not {vocabulary} and {merges}")
    return vocabulary.parent


def _text_file(
    base: TensorFile | None, paths: Mapping[str, Path], profile: Live2DiffProfile, places: Places
) -> TensorFile:
    """Return the file with the text encoder: a whole model's own, if it has one."""
    if base is not None and has_text(base):
        return base
    if "text_encoder" not in paths:
        known = places.find(profile.files["text_encoder"], profile)
        if known is None:
            raise CheckpointError(
                f"{base.path if base else ''} has no text encoder, and that of Stable Diffusion 1.5 is not here; "
                f"`vivace models pull {profile.called}` fetches it"
            )
        return open_tensors(known.path)
    return open_tensors(paths["text_encoder"])


def _autoencoder(
    paths: Mapping[str, Path], options: LoadOptions, widths: Widths
) -> autoencoders.TinyAutoencoder | autoencoders.FullAutoencoder:
    if options.controls["autoencoder"] == "tiny":
        return load_tiny(paths["tiny_autoencoder"], widths.tiny)
    return load_full(paths["autoencoder"] if "autoencoder" in paths else paths["base"], widths.full)


def _loras(style: Live2DiffStyle, options: LoadOptions, paths: Mapping[str, Path]) -> dict[str, tuple[Path, float]]:
    """Return the reweightable LoRAs, the style's first; a user's of the same name replaces it."""
    styles = {lora.role.partition(":")[2]: (paths[lora.role], lora.weight) for lora in style.loras}
    return styles | given_loras(options.loras)


def open_motion(path: Path, unet: Live2DiffUNet, places: Places) -> dict[str, Stored]:
    """Return the stored tensors of live2diff.ckpt.

    A pickle is converted to safetensors in the folder of models, from where it is read faster and with less memory. If
    there is no room for that, it is read as it is.

    Raises:
        CheckpointError: the file is damaged or something else.
    """
    return find_motion(kept_as_safetensors(path, places.folder, lambda file: find_motion(file, unet)), unet)
