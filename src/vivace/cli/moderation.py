"""Flags that say what is not painted, and `vivace policy`, which shows and tries the list of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Group, Parameter

from vivace.settings import Settings

if TYPE_CHECKING:
    from vivace.trust.moderation import Moderation
    from vivace.trust.policy.policy import Policy

POLICY = Group("Policy", sort_key=8)
EXIT_REFUSED = 5
"""A verdict, as those of `vivace verify`."""

REQUESTS = Parameter(help="What somebody might ask for; lines of standard input if none is given.")
MEASURED = Parameter(help="TOML: `[PART.REASON]` or `[PART.harmless]`, with lists of requests by language.")
LIST = Parameter(help="File of the list; the one in VIVACE_POLICY, or that comes with Vivace, if not given.")
EXAMPLES = """\
Examples:

- `vivace policy check "a nude woman on a beach"`
- `vivace policy show > mine.toml`, and after changing it `vivace run camera -p ink --policy mine.toml`
- `vivace policy score requests.toml --policy mine.toml`
"""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class ModerationFlags:
    """The flags."""

    policy: Annotated[str | None, Parameter(group=POLICY)] = None
    """File of what is not painted, or `off`; the list that comes with Vivace if not given, see `vivace policy`."""

    safety: Annotated[Literal["off", "pictures", "output"] | None, Parameter(group=POLICY, negative=())] = None
    """Have a network judge whether pictures show sexual content: `pictures` to paint like, or one picture of the
    `output` a second, too, which a card covers then. It needs the extra `safety`; off if not given."""

    def moderation(self, settings: Settings) -> Moderation:
        """Return what judges prompts and pictures.

        Raises:
            UsageError: the list cannot be used.
            BackendUnavailableError: pictures cannot be judged here.
        """
        from vivace.trust.moderation import Moderation

        return Moderation.of(self.policy or settings.policy, self.safety or "off")


def policy_app(settings: Settings) -> App:
    """Return the `policy` command."""
    app = App(
        name="policy",
        help="The list of what is not painted: see it, try it, measure it.",
        help_epilogue=EXAMPLES,
        help_format="markdown",
        sort_key=4,
    )

    def opened(file: Path | None) -> Policy:
        from vivace.trust.policy.policy import OFF, Policy

        named = None if settings.policy in (None, OFF) else Path(settings.policy)
        return Policy.open(file or named)

    @app.command(help_epilogue="")
    def show() -> None:
        """Print the list that comes with Vivace, which says how it is written: a changed copy is a list of yours."""
        from vivace.trust.policy.policy import built_in

        print(built_in(), end="")

    @app.command(help_epilogue="")
    def check(*requests: Annotated[str, REQUESTS], policy: Annotated[Path | None, LIST] = None) -> int:
        """Say whether requests are painted, and if not, why. Ends with 5 if one is not."""
        judge = opened(policy).judge
        refused = False
        for request in requests or (line.rstrip("\n") for line in sys.stdin):
            refusal = judge(request)
            refused = refused or refusal is not None
            said = "painted" if refusal is None else f"refused as {refusal.reason} ({refusal.says}): {refusal.phrase!r}"
            print(f"{request}: {said}")
        return EXIT_REFUSED if refused else 0

    @app.command(help_epilogue="")
    def score(requests: Annotated[Path, MEASURED], /, *, policy: Annotated[Path | None, LIST] = None) -> None:
        """Measure the list on requests that are known to be harmless or not."""
        from vivace.trust.policy.score import read_requests, score

        for line in score(opened(policy), read_requests(requests)):
            print(line)

    return app
