"""`vivace verify`: the check of a file's credentials, watermark and label."""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vivace.trust.report import CredentialsFound, Report

VERIFY_HELP = """\
Say whether a file is marked as AI-modified, and whether that holds.

Exit codes: 0 what it says holds, 5 it says nothing, 6 what it says does not hold, 3 it could not be read or checked.
"""


def verify_app() -> App:
    """Return the `verify` command."""
    app = App(name="verify", help=VERIFY_HELP, help_epilogue="", sort_key=2)

    @app.default
    def verify(
        file_or_url: str,
        /,
        *,
        trust: Path | None = None,
        timeout: float = 60.0,
        json: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    ) -> int:
        """Look at one file.

        Parameters
        ----------
        file_or_url
            A picture or a video, or an http or https address of one.
        trust
            PEM file with certificates of authorities whose signers you trust.
        timeout
            Seconds that looking at it may take, and once more downloading it.
        json
            Print one JSON document.
        """
        from vivace.trust.verify import Bounds, verify

        report = verify(file_or_url, trusted=trust, bounds=Bounds(time_s=timeout))
        if json:
            print(json_.dumps(report.document(), indent=2, ensure_ascii=False))
        else:
            _print(report)
        return report.exit_code

    return app


def _print(report: Report) -> None:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"{report.name}: {report.words}.")
    if report.credentials is not None and report.credentials.state != "none":
        for line in _lines(report.credentials):
            console.print(f"  {line}")
    if report.label is not None and report.label.places:
        console.print(f"  says so in its own words: {', '.join(report.label.places)}")
    if report.watermark is not None and report.watermark.seconds:
        found = report.watermark
        seconds = f"{len(found.seconds)} of the first {found.searched_s} s{' together' if found.together else ''}"
        payload = found.payload or "marked, payload not readable (little may be repainted, or much was lost since)"
        console.print(f"  watermark: {payload}, in {seconds}; chance of error < {found.false_alarm:.1g}")
    for note in report.notes:
        console.print(f"  note: {note}")


def _lines(found: CredentialsFound) -> Iterator[str]:
    beside = ", beside the file" if found.beside else ""
    yield f"content credentials: {found.state.replace('_', ' ')}{beside}"
    if found.signer:
        yield f"signed by: {found.signer} ({found.issuer or 'no organisation'}), {found.algorithm}"
    if found.generator:
        yield f"made with: {found.generator}"
    for each in found.ingredients:
        own = "" if each.state == "none" else f", whose own credentials are {each.state.replace('_', ' ')}"
        yield f"made of: {each.title}{own}"
    for action in found.actions:
        told = [text for text in (action.by and f"by {action.by}", action.source_type, action.description) if text]
        yield f"{action.action}: {'; '.join(told)}" if told else action.action
        for name, value in action.parameters.items():
            yield f"  {name}: {value}"
