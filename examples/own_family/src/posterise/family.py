"""The family, as its entry point names it. What it needs is imported when one of its models is loaded."""

from __future__ import annotations

from vivace.models import Family

FAMILY = Family(
    name="posterise",
    runtimes=("numpy",),
    load="posterise.model:load",
    profiles="posterise",  # the package that holds posterise.toml
    heavy=False,
    install="pip install examples/own_family",
)
