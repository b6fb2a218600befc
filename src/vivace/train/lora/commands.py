"""The command `vivace train lora`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import torch
from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vivace.errors import UsageError
from vivace.media.size import parse_size
from vivace.models import describe
from vivace.models.loading import LoadOptions
from vivace.models.wan.load import load_components
from vivace.models.wan.profile import Sampling, WanProfile
from vivace.runtime.torch.device import open_device
from vivace.runtime.torch.precision import DTYPES, choose_precision
from vivace.train.lora.examples import encode_clips
from vivace.train.lora.fit import FitConfig, fit

app = App(
    name="lora", help="Fine-tune a model of the causal Wan family by a LoRA on clips of one's own.", help_epilogue=""
)
console = Console(stderr=True)
SETTINGS = "settings.json"
"""File of a run with the choices that its examples were encoded under."""
MAX_LATENTS = 21
"""Latent frames of an example, at most: as many as the published models were trained on."""


@app.default
def lora(
    clips: Path,
    *,
    model: Annotated[str, Parameter(help="The model to fine-tune, by name or profile.")],
    out: Annotated[Path, Parameter(help="Folder of the run: examples, checkpoint, log, lora.safetensors.")],
    prompt: Annotated[str | None, Parameter(help="Caption of clips that have no NAME.txt beside them.")] = None,
    size: Annotated[str, Parameter(help="Picture size WxH, multiples of 16.")] = "832x480",
    latents: Annotated[
        int | None, Parameter(help="Latent frames of an example (four frames each). Default: the model's window.")
    ] = None,
    steps: Annotated[int, Parameter(help="Steps of the run, all of its sessions together.")] = 1000,
    rank: Annotated[int, Parameter(help="Rank of the LoRA.")] = 16,
    learning_rate: Annotated[float, Parameter(help="Of AdamW, after a short warm-up.")] = 1e-4,
    seed: Annotated[int, Parameter(help="Of everything that is drawn.")] = 0,
    style: Annotated[str | None, Parameter(help="Style of the model.")] = None,
    autoencoder: Annotated[
        Literal["full", "tiny"], Parameter(help="Autoencoder that clips are encoded with.")
    ] = "full",
    device: Annotated[str | None, Parameter(help="cpu, cuda or cuda:N; a GPU where there is one.")] = None,
) -> None:
    """Train until the steps are done. The same command goes on where it was stopped.

    Parameters
    ----------
    clips
        Folder of videos, each with a caption NAME.txt; for `liveedit` also with its source, NAME.source.mp4.
    """
    if steps < 1 or rank < 1 or not learning_rate > 0:
        raise UsageError("--steps and --rank are at least 1, --learning-rate is above 0")
    profile = describe(model)
    if not isinstance(profile, WanProfile):
        raise UsageError(f"{model} is of the family {profile.family}; a LoRA is trained for models of the family wan")
    width, height = parse_size(size)
    if width % 16 or height % 16:
        raise UsageError(f"--size {size}: sides must be multiples of 16")
    sampling = profile.sampling_of(profile.chosen(style))
    count = whole_chunks(sampling, min(sampling.window, MAX_LATENTS) if latents is None else latents)
    choices = {
        "model": profile.called,
        "style": style,
        "size": size,
        "latents": count,
        "autoencoder": autoencoder,
        "prompt": prompt,
    }
    _keep_choices(out, choices)
    place = open_device(device)
    options = LoadOptions(style=style, device=device, controls={"autoencoder": autoencoder})
    components = load_components(profile, options, place.torch, DTYPES[choose_precision(place.torch, on_cuda="bf16")])
    examples = encode_clips(
        clips,
        components,
        out / "examples",
        size=(width, height),
        latents=count,
        prompt=prompt,
        report=lambda name: console.print(f"encoding {name}"),
    )
    network = components.network
    del components
    if place.torch.type == "cuda":
        torch.cuda.empty_cache()  # of the text encoder and the autoencoder
    cfg = FitConfig(out, steps=steps, rank=rank, learning_rate=learning_rate, seed=seed)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"{len(examples)} examples", total=steps)
        path = fit(
            network,
            sampling,
            examples,
            cfg,
            lambda step, loss: progress.update(task, completed=step, description=f"loss {loss:.4f}"),
        )
    console.print(f"{path}: `vivace run SOURCE --model {profile.called} --lora {path}`")


def whole_chunks(sampling: Sampling, latents: int) -> int:
    """Return the most latent frames up to `latents` that are a whole number of chunks and fit the window.

    Raises:
        UsageError: fewer than one chunk, or more than the window.
    """
    first = sampling.first_chunk or sampling.chunk
    if not first <= latents <= sampling.window:
        raise UsageError(f"--latents is {first} to {sampling.window} for this model, not {latents}")
    return first + (latents - first) // sampling.chunk * sampling.chunk


def _keep_choices(out: Path, choices: Mapping[str, object]) -> None:
    """Write down what a run's examples are encoded under.

    Raises:
        UsageError: the run was begun with other choices.
    """
    path = out / SETTINGS
    if path.is_file():
        before = json.loads(path.read_text("utf-8"))
        if changed := [name for name, value in choices.items() if before.get(name) != value]:
            told = ", ".join(f"{name} {before.get(name)}" for name in changed)
            raise UsageError(f"the run in {out} was begun with {told}; go on with that, or give another --out")
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(choices, indent=2) + "\n", "utf-8")
