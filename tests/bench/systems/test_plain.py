"""The baseline's output is the model's, and the work of a call agrees with a counter."""

from __future__ import annotations

import pytest
import torch

from tolerance import near
from vivace.bench.speed.flops import unet_flops
from vivace.bench.systems.plain import PLAIN, make_plain
from vivace.models.live2diff.motion import ClipContext, KvCache, StreamContext
from vivace.models.live2diff.unet import Live2DiffUNet, UNetConfig
from vivace.models.live2diff.window import join_windows, window_at

pytestmark = pytest.mark.usefixtures("one_torch_thread")

TINY = UNetConfig(channels=(32, 64), layers=1, groups=8, text_channels=8, depth_channels=(4, 8))


def make_unet(cfg: UNetConfig = TINY) -> Live2DiffUNet:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        unet = Live2DiffUNet(cfg).eval()
        for parameter in unet.parameters():  # biases and norms must matter
            parameter.data += 0.05 * torch.randn_like(parameter)
        for attention in unet.temporal_attentions():
            attention.refresh_tables()
    return unet


def filled(cache: KvCache, seed: int) -> KvCache:
    generator = torch.Generator().manual_seed(seed)
    for layer in cache.layers:
        layer.copy_(torch.randn(layer.shape, generator=generator))
    return cache


@torch.inference_mode()
def test_the_plain_form_gives_the_same_numbers_and_leaves_the_same_cache() -> None:
    ours, plain = make_unet(), make_unet()
    make_plain(plain)
    for kind, form in PLAIN.items():
        of_ours, of_plain = (sum(type(m) is k for m in u.modules()) for u, k in ((ours, kind), (plain, form)))
        assert of_plain == of_ours > 0
    caches = {unet: [filled(unet.open_cache(2, 6, 5), seed) for seed in (1, 2)] for unet in (ours, plain)}
    generator = torch.Generator().manual_seed(9)
    for call in (0, 3, 11):
        window = join_windows([window_at(call, 2), window_at(call + 4, 2)])
        latents, depth = torch.randn(2, 4, 4, 6, 5, generator=generator)
        text = torch.randn(4, 7, 8, generator=generator)
        timesteps = torch.tensor([399.0, 199.0] * 2)
        first, second = (
            unet(latents, depth, timesteps, text, StreamContext(caches[unet], window)) for unet in (ours, plain)
        )
        assert first.abs().max() > 0.1
        assert near(second, first)
    for one, other in zip(caches[ours], caches[plain], strict=True):
        for a, b in zip(one.layers, other.layers, strict=True):
            assert near(b, a)


@torch.inference_mode()
def test_the_plain_form_warms_up_as_ours_does() -> None:
    ours, plain = make_unet(), make_unet()
    make_plain(plain)
    generator = torch.Generator().manual_seed(9)
    latents, depth = torch.randn(2, 8, 4, 6, 5, generator=generator)
    text = torch.randn(1, 7, 8, generator=generator)
    first, second = (unet(latents, depth, torch.tensor([399.0]), text, ClipContext(8)) for unet in (ours, plain))
    assert near(second, first)


# Counted by hand, layer by layer, from the network's definition.
@pytest.mark.parametrize(
    ("cfg", "latents", "tokens", "flops"),
    [
        (TINY, (2, 4, 6, 5), 7, 61_769_728),
        (TINY, (1, 4, 8, 8), 77, 63_804_416),
        (UNetConfig(channels=(32, 64, 64), groups=8, layers=2, text_channels=16), (3, 4, 9, 12), 77, 911_244_288),
        (UNetConfig(), (2, 4, 64, 64), 77, 2_227_162_316_800),
    ],
)
def test_the_work_of_a_call_is_that_of_the_network_s_definition(
    cfg: UNetConfig, latents: tuple[int, ...], tokens: int, flops: int
) -> None:
    assert unet_flops(cfg, latents, (latents[0], tokens, cfg.text_channels)) == flops
