"""`vivace models`: what there is, what one of them can do, and fetching, checking and removing its files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from vivace.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from vivace.checkpoints.hub import Plan
    from vivace.checkpoints.profile import Profile

MODEL = Parameter(help="A name from `vivace models list`, or the path of a profile's .toml file.")
VARIANT = Parameter(help="Form of the files, where they have it: `fp16` is half as large.")
ALL = Parameter(negative=(), show_default=False, help="Also what the model runs without: the full autoencoder.")
MIRROR = Parameter(
    help="Where to fetch from instead of the hub: `file:///folder`, laid out as owner/name/path, or another hub."
)
STYLE = Parameter(help="A style of the model; its default one if not given.")


def models_app() -> App:
    """Return the `models` command."""
    models = App(name="models", help="List the models, fetch and check their files.", help_epilogue="", sort_key=2)

    @models.command(name="list")
    def list_() -> None:
        """List the models."""
        _print_models()

    @models.command
    def show(name: Annotated[str, MODEL], /) -> None:
        """Show one model: its styles, sizes, files and licences."""
        _print_model(name)

    @models.command
    def pull(
        name: Annotated[str, MODEL],
        /,
        *,
        style: Annotated[str | None, STYLE] = None,
        variant: Annotated[str | None, VARIANT] = None,
        all: Annotated[bool, ALL] = False,  # noqa: A002 (the flag's name)
        mirror: Annotated[str | None, MIRROR] = None,
        yes: Annotated[bool, Parameter(alias="-y", negative=(), show_default=False, help="Do not ask.")] = False,
    ) -> int:
        """Fetch what is missing of a model, after saying what, how much and under which licences."""
        return _pull(name, style=style, variant=variant, optional=all, mirror=mirror, yes=yes)

    @models.command
    def check(name: Annotated[str, MODEL], /, *, style: Annotated[str | None, STYLE] = None) -> int:
        """Open every file of a model and hold it against its profile and the network."""
        return _check(name, style)

    @models.command
    def remove(
        name: Annotated[str, MODEL],
        /,
        *,
        yes: Annotated[bool, Parameter(alias="-y", negative=(), show_default=False, help="Do not ask.")] = False,
    ) -> None:
        """Delete the fetched files of a model, but for those that another one needs that is here too."""
        _remove(name, yes=yes)

    return models


# -- list and show -----------------------------------------------------------------------------------------------------


def _table(*columns: str, header: bool = True) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=header)
    for index, column in enumerate(columns):
        table.add_column(column, no_wrap=index == 0, overflow="fold", style="" if header or index else "bold")
    return table


def _print_models() -> None:
    from rich.console import Console

    from vivace.models import list_models

    table = _table("name", "family", "licence", "what it is")
    for profile in list_models():
        table.add_row(profile.name, profile.family, profile.licence, profile.summary)
    Console().print(table)


def _print_model(name: str) -> None:
    """Print everything about one model.

    The embedded model is loaded, so that what is printed is what it says of itself; of one whose files are fetched,
    what its profile says.
    """
    from rich.console import Console

    from vivace.models import describe

    profile = describe(name)
    about = _about_profile(profile) if _fetched(profile) else _about_loaded(profile)
    table = _table("what", "value", header=False)
    for what, value in about:
        table.add_row(what, value)
    Console().print(table)
    _print_controls(profile)
    if _fetched(profile):
        _print_files(profile)


def _print_controls(profile: Profile) -> None:
    """Print what the family's models may be steered by, and when."""
    from rich.console import Console

    from vivace.models import family_of

    console = Console(soft_wrap=True, highlight=False)
    for control in family_of(profile.family, profile.name).controls:
        when = {"frame": "at any frame", "stream": "when a stream opens", "model": "when the model is loaded"}
        default = f"; the default is {control.default_words}" if control.default_words else ""
        console.print(f"\n[bold]{control.name}[/], {when[control.scope]}: {control.takes}{default}")
        console.print(f"    {control.help}", markup=False)


def _fetched(profile: Profile) -> bool:
    """Tell whether a model's files are fetched, and not part of the package."""
    return any(spec.repo for spec in profile.files.values())


def _about_loaded(profile: Profile) -> list[tuple[str, str]]:
    from vivace.models import load_model

    model = load_model(profile.called)
    spec = model.spec
    sizes = (
        f"{spec.min_size[0]}x{spec.min_size[1]} to {spec.max_size[0]}x{spec.max_size[1]} px, "
        f"multiples of {spec.size_multiple}"
    )
    paths = [Path(profile.path) / file.path for file in profile.files.values()]
    return [
        *_heading(profile),
        ("sizes", sizes),
        ("steps", ", ".join(str(steps) for steps in spec.denoising_steps)),
        ("warm-up", f"{spec.warmup_frames} frames"),
        ("takes", ", ".join(spec.conditions)),
        ("new prompts", "cross-fade" if spec.prompt_change == "interpolate" else "switch at once"),
        ("styles", ", ".join(spec.styles) or "whatever the prompt says"),
        ("files", "\n".join(f"{path.name} ({_bytes(path.stat().st_size)})" for path in sorted(paths))),
        ("runs", f"{model.runtime.device}, {model.runtime.precision}"),
    ]


def _heading(profile: Profile) -> list[tuple[str, str]]:
    return [
        ("name", f"{profile.name} ({profile.family})"),
        ("what", profile.summary),
        ("licence", profile.licence),
        *([("lineage", profile.lineage)] if profile.lineage else []),
    ]


def _about_profile(profile: Profile) -> list[tuple[str, str]]:
    from vivace.models import runtimes

    styles = [
        f"{style.name}: {style.about}" + (f", {', '.join(spec.path for spec in style.files)}" if style.files else "")
        for style in profile.styles.values()
    ]
    return [
        *_heading(profile),
        ("runtimes", ", ".join(runtimes(profile.called))),
        ("styles", "\n".join(styles)),
    ]


def _print_files(profile: Profile) -> None:
    from rich.console import Console

    from vivace.checkpoints.files import Places

    places = Places.of_this_machine()
    style_files = {spec.path: spec for style in profile.styles.values() for spec in style.files}
    console = Console(soft_wrap=True, highlight=False)
    for spec in [*profile.files.values(), *style_files.values()]:
        found = places.find(spec, profile)
        size = found.path.stat().st_size if found else spec.size
        state = "[green]there[/]" if found else "[dim]absent[/]" if spec.optional else "[yellow]missing[/]"
        if not found and spec.obtain:
            state = "[dim]by hand[/]"
        console.print(f"\n{state} [bold]{spec.role}[/]: {spec.why or 'of a style'}")
        console.print(f"    {found.path if found else spec.name}", markup=False)
        console.print(f"    {_bytes(size)}, {spec.licence}{f'; {spec.obtain}' if spec.obtain else ''}", markup=False)
    console.print(f"\nfolder of models: {places.folder}\ncache of the hub: {places.cache}")


def _bytes(size: int | None) -> str:
    if size is None:
        return "?"
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


# -- pull --------------------------------------------------------------------------------------------------------------


def _pull(name: str, *, style: str | None, variant: str | None, optional: bool, mirror: str | None, yes: bool) -> int:
    from rich.console import Console

    from vivace.checkpoints.files import Lock
    from vivace.checkpoints.hub import plan, pull, quiet_downloads
    from vivace.models import describe

    console = Console()
    profile = describe(name)
    to_do = plan(profile, style=style, variant=variant, optional=optional, mirror=mirror)
    table = _table("state", "size", "file, part and licence")
    for item in to_do.items:
        about = f"{item.spec.role}{f': {item.spec.why}' if item.spec.why else ''}; {item.spec.licence}"
        table.add_row(item.state.partition(":")[0], _bytes(item.size), f"{item.source.name}\n[dim]{about}[/]")
    console.print(table)
    if profile.lineage:
        console.print(f"\nlineage: {profile.lineage}", highlight=False, markup=False)
    if to_do.to_fetch:
        console.print(
            f"\n{len(to_do.to_fetch)} files, {_bytes(to_do.bytes)} to {to_do.target} ({_bytes(to_do.free)} free)",
            highlight=False,
        )
        nobody = "nobody is here to agree to the licences; read them, then say --yes"
        if not yes and not _agreed("Do you accept these licences, and fetch?", nobody):
            console.print("Nothing was fetched.")
            return 0
        if not sys.stderr.isatty():
            quiet_downloads()
        with _Bar() as bar:
            try:
                pull(to_do, bar.show)
            except KeyboardInterrupt:
                console.print("Interrupted; what has come is kept, and pulling again goes on from there.")
                raise
        console.print("All of it is there and is what it should be.")
        lock = Lock.read(to_do.places.folder, profile)
        for repo, revision in lock.revisions.items():
            console.print(f"{repo} is kept at commit {revision[:12]}, as it was pulled first.", highlight=False)
        for name, sha256 in lock.sha256.items():
            console.print(f"{name} is kept at sha256 {sha256[:12]}; its publisher states none.", highlight=False)
    if to_do.out_of_reach:
        names = "\n".join(f"  {item.source.name}: {item.state}" for item in to_do.out_of_reach)
        raise CheckpointError(f"these files are still missing:\n{names}\n{_where(to_do)}")
    if not to_do.to_fetch:
        console.print("\nEverything is there.")
    return 0


def _where(to_do: Plan) -> str:
    return f"what is got by hand belongs into {to_do.places.folder}, under the path shown"


def _agreed(question: str, nobody: str) -> bool:
    """Return whether the person at the terminal agrees.

    Raises:
        UsageError: there is no terminal, `nobody` being the message.
    """
    if not sys.stdin.isatty():
        raise UsageError(nobody)
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


class _Bar:
    """One progress bar for what is copied and checked; downloads show their own."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._progress = Progress(*columns, disable=not sys.stdout.isatty(), transient=True)
        self._task: int | None = None
        self._what = ""

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, what: str, done: int, of: int) -> None:
        """Show how far something is."""
        from rich.progress import TaskID

        if what != self._what:
            if self._task is not None:
                self._progress.remove_task(TaskID(self._task))
            self._what, self._task = what, self._progress.add_task(what, total=of)
        self._progress.update(TaskID(self._task or 0), completed=done)


# -- remove ------------------------------------------------------------------------------------------------------------


def _remove(name: str, *, yes: bool) -> None:
    from rich.console import Console

    from vivace.checkpoints.removal import plan_removal, remove
    from vivace.models import describe, list_models

    console = Console(soft_wrap=True, highlight=False)
    profile = describe(name)
    removal = plan_removal(profile, list_models())
    for path in removal.files:
        console.print(f"{_bytes(path.stat().st_size)}  {path}", markup=False)
    for path, other in removal.kept.items():
        console.print(f"kept, {other} needs it: {path}", markup=False)
    if not removal.files:
        console.print(f"Nothing of {profile.name} was fetched that can be deleted.", markup=False)
        return
    console.print(f"{len(removal.files)} files, {_bytes(removal.bytes)}")
    if not yes and not _agreed("Delete them?", "nobody is here to be asked; say --yes"):
        console.print("Nothing was deleted.")
        return
    remove(removal)
    console.print("They are deleted.")


# -- check -------------------------------------------------------------------------------------------------------------


def _check(name: str, style: str | None) -> int:
    from rich.console import Console

    from vivace.models import describe
    from vivace.models.check import check_files

    profile = describe(name)
    wrong, count = False, 0
    console = Console(soft_wrap=True, highlight=False)
    for line in check_files(profile, style):
        mark = {"ok": "[green]ok[/]", "absent": "[dim]absent[/]", "wrong": "[red]wrong[/]"}[line.state]
        console.print(f"{mark} {line.role}: ", end="")
        console.print(line.words, markup=False)
        wrong |= line.state == "wrong"
        count += 1
    if not count:
        console.print(f"{profile.name} has no files to check", markup=False)
    return CheckpointError.exit_code if wrong else 0
