"""Muon for the matrices of the network and AdamW for the rest, as one optimiser."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_CODES = "codes."
_LEAST_SIDE = 32
"""Least side of a matrix for Muon: a thinner one has no spectrum worth levelling."""
State = dict[str, dict[str, Any]]


class Optimiser:
    """Optimiser with orthogonalised momentum (Muon, Jordan et al., 2024) for matrices, convolutions included.

    Muon's steps are scaled to the size of AdamW's, so that both share a learning rate. The state is keyed by parameter
    name: a checkpoint survives another order of them.
    """

    def __init__(self, net: nn.Module, learning_rate: float, weight_decay: float = 0.01) -> None:
        """Take the parameters of a network and make it channels last, in which convolutions are matrices too."""
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._named = dict(net.named_parameters())
        self._matrices = {
            name: nn.Parameter(_as_matrix(value.detach()))
            for name, value in self._named.items()
            if _is_matrix(name, value)
        }
        rest = [value for name, value in self._named.items() if name not in self._matrices]
        self._parts: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.AdamW(rest, learning_rate, betas=(0.9, 0.98), weight_decay=weight_decay),
            torch.optim.Muon(
                list(self._matrices.values()), learning_rate, weight_decay, adjust_lr_fn="match_rms_adamw"
            ),
        )

    def step(self, learning_rate: float) -> None:
        """Apply the gradients, then clear them."""
        for name, matrix in self._matrices.items():
            gradient = self._named[name].grad
            matrix.grad = None if gradient is None else _as_matrix(gradient)
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = learning_rate
            part.step()
        for value in self._named.values():
            value.grad = None

    def state_dict(self) -> State:
        """Return the moments by parameter name."""
        return {name: dict(part.state[value]) for name, value, part in self._places() if value in part.state}

    def load_state_dict(self, state: State) -> None:
        """Load moments.

        Raises:
            ValueError: a moment is of another shape than its parameter.
        """
        for name, value, part in self._places():
            moments = {key: torch.as_tensor(moment).clone() for key, moment in state.get(name, {}).items()}
            if any(m.dim() and m.shape != value.shape for m in moments.values()):
                raise ValueError(f"the moments of {name} are of another shape")
            if moments:
                part.state[value] = moments

    def _places(self) -> list[tuple[str, Tensor, torch.optim.Optimizer]]:
        return [
            (name, self._matrices.get(name, value), self._parts[name in self._matrices])
            for name, value in self._named.items()
        ]


def _is_matrix(name: str, value: Tensor) -> bool:
    if not name.endswith(".weight") or name.startswith(_CODES) or value.dim() not in (2, 4):
        return False
    return min(value.shape[0], value[0].numel()) >= _LEAST_SIDE


def _as_matrix(value: Tensor) -> Tensor:
    return value if value.dim() == 2 else value.permute(0, 2, 3, 1).flatten(1)
