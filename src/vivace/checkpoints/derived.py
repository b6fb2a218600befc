"""Values that a network derives from its weights, computed anew whenever these change."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import nn


@runtime_checkable
class HasTables(Protocol):
    """A module that keeps values derived from its weights."""

    def refresh_tables(self) -> None:
        """Compute them anew."""


def refresh(network: nn.Module) -> None:
    """Compute anew what the modules of a network derive from their weights."""
    for module in network.modules():
        if isinstance(module, HasTables):
            module.refresh_tables()
