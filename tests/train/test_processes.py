"""Laws of the shared parts of training loops."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vivace.train.processes import agreed, joined, moving_average, train_in_processes


class Twice(nn.Module):
    """Loss that uses one layer twice and leaves another one out, as stages of training do."""

    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Linear(3, 3, bias=False)
        self.later = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(self.used(x)).square().mean()


def batch(rank: int) -> Tensor:
    return torch.randn(4, 3, generator=torch.Generator().manual_seed(rank))


def gradient_of_two(out: Path, rank: int, world: int) -> None:
    torch.manual_seed(rank)
    net = Twice()
    training = joined(net, world)
    weights = net.used.weight.detach().clone()
    training(batch(rank)).backward()
    assert agreed(rank == 1, world)
    assert not agreed(False, world)
    assert net.later.weight.grad is None
    assert net.used.weight.grad is not None
    torch.save({"weights": weights, "gradient": net.used.weight.grad}, out / f"{rank}.pt")


def test_processes_begin_alike_and_share_the_mean_of_their_gradients(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    train_in_processes(gradient_of_two, tmp_path, 2)
    assert signal.getsignal(signal.SIGTERM) is before
    one, two = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert torch.equal(one["weights"], two["weights"])
    net = Twice()
    with torch.no_grad():
        net.used.weight.copy_(one["weights"])
    torch.stack([net(batch(rank)) for rank in range(2)]).mean().backward()
    torch.testing.assert_close(one["gradient"], net.used.weight.grad)
    assert torch.equal(one["gradient"], two["gradient"])


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_the_average_follows_fast_at_first_and_copies_counters(decay: float) -> None:
    net = nn.BatchNorm1d(2)
    average = moving_average(net, decay)
    expected = torch.zeros(2)
    for step in range(30):
        with torch.no_grad():
            net.weight.fill_(float(step))
        net.num_batches_tracked.fill_(step)
        average.update_parameters(net)
        share = 1 - min(decay, (1 + step) / (10 + step)) if step else 1.0
        expected += (net.weight.detach() - expected) * share
    torch.testing.assert_close(average.module.weight.detach(), expected)
    assert int(average.module.num_batches_tracked) == 29
