"""`vivace models`: what there is, and what one of them can do."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from vivace.models import Profile, describe, list_models, load_model
from vivace.models.base import ModelSpec


def print_models() -> None:
    """Print a table of all models."""
    table = Table(box=None, pad_edge=False)
    for column in ("name", "family", "licence", "what it is"):
        table.add_column(column, no_wrap=column == "name")
    for profile in list_models():
        table.add_row(profile.name, profile.family, profile.licence, profile.summary)
    Console().print(table)


def print_model(name: str) -> None:
    """Print everything about one model; loads it, so that what is printed is what it says of itself.

    Raises:
        UnknownModelError: no model of that name.
        CheckpointError: its files are missing or do not fit their profile.
    """
    profile = describe(name)
    model = load_model(name)
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column("what", style="bold", no_wrap=True)
    table.add_column("value")
    for what, value in [*_about(profile, model.spec), ("runs", f"{model.runtime.device}, {model.runtime.precision}")]:
        table.add_row(what, value)
    Console().print(table)


def _about(profile: Profile, spec: ModelSpec) -> list[tuple[str, str]]:
    sizes = (
        f"{spec.min_size[0]}x{spec.min_size[1]} to {spec.max_size[0]}x{spec.max_size[1]} px, "
        f"multiples of {spec.size_multiple}"
    )
    files = [f"{name} ({(Path(profile.path) / name).stat().st_size / 1e6:.1f} MB)" for name in sorted(profile.files)]
    return [
        ("name", f"{profile.name} ({profile.family})"),
        ("what", profile.summary),
        ("licence", profile.licence),
        ("sizes", sizes),
        ("steps", ", ".join(str(steps) for steps in spec.denoising_steps)),
        ("warm-up", f"{spec.warmup_frames} frames"),
        ("controls", ", ".join(spec.conditions)),
        ("styles", ", ".join(spec.styles) or "whatever the prompt says"),
        ("files", "\n".join(files)),
    ]
