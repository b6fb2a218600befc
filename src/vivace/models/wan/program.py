"""The transformer over a full ring as a program: compiled, and on a GPU recorded as a CUDA graph.

A program works on tensors at fixed addresses, so that everything a call brings is copied to them: latents, timesteps,
text at its full length, slots, rotations. It serves one stream in its steady state, when all slots of the ring are
filled: no mask is needed then, and torch's flash attention reads keys and values where they lie. Other calls (a window
that fills, a recache, pruned tokens, several streams at once) go to the network as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vivace.models.wan.attention import attend
from vivace.models.wan.network import Attention, Pruning, TextCache, TextKeys, WanConfig, WanNetwork
from vivace.models.wan.ring import KvBuffers, RowCall, RowsAttention
from vivace.models.wan.rope import Rotation
from vivace.runtime.torch.device import TorchDevice
from vivace.runtime.torch.graphs import WARM_UP_CALLS, Mode, Program


class FullRing:
    """Self-attention of one row over all slots of a ring; which slots are written is data."""

    def __init__(self, buffers: KvBuffers, frames: int, query: Tensor, keys: Tensor) -> None:
        """Write `frames` latent frames a call; `query` and `keys` are the rotations of new tokens and of all slots."""
        self._layers, self._frames = buffers.layers, frames
        self._query, self._keys = Rotation(query), Rotation(keys)
        self.slots = torch.arange(frames, device=query.device)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Write, then attend, see `network.Attention`; `b` is 1."""
        ring = self._layers[layer]
        ring[:, :, self.slots] = torch.cat([k, v]).unflatten(2, (self._frames, -1))
        keys, values = ring.flatten(2, 3).unbind(0)
        return attend(self._query(q), self._keys(keys)[None], values[None])


class FlowProgram:
    """The transformer for one stream, called like the network itself."""

    def __init__(
        self, network: WanNetwork, buffers: KvBuffers, latents: tuple[int, int, int], device: TorchDevice, mode: Mode
    ) -> None:
        """Serve chunks of `latents = (f, h, w)` over a ring.

        Raises:
            BackendUnavailableError: a graph of another device than CUDA.
        """
        cfg, at = network.cfg, device.torch
        frames, height, width = latents
        tokens, pairs = network.grid(height, width).tokens, cfg.head_dim // 2
        self.network, self._device, self._slots = network, device, buffers.slots
        self._x = torch.zeros(1, frames, cfg.in_channels, height, width, device=at)
        self._times = torch.zeros(1, frames, device=at)
        self._flow = torch.zeros(1, frames, cfg.out_channels, height, width, device=at)
        self._query = torch.zeros(frames * tokens, pairs, 2, device=at)
        self._keys = torch.zeros(buffers.slots * tokens, pairs, 2, device=at)
        shape = (2, 1, cfg.heads, cfg.text_len, cfg.head_dim)
        dtype = network.patch_embedding.weight.dtype
        self._text = [torch.zeros(shape, dtype=dtype, device=at) for _ in range(cfg.layers)]
        self._text_of: TextCache | None = None
        self._ring = FullRing(buffers, frames, self._query, self._keys)
        self._program = Program(self._compute, device=at, mode=mode, pool=device.pools[0] if mode == "graph" else None)

    def prepare(self) -> None:
        """Compile and record before the first frame; what the ring holds is overwritten."""
        for _ in range(WARM_UP_CALLS):
            self._program()
        self._device.in_turn(self._program)

    def __call__(
        self, x: Tensor, timestep: Tensor, text: TextCache, attention: Attention, pruning: Pruning | None = None
    ) -> Tensor:
        """Return the flow `[1 f c h w]`, see `WanNetwork.forward`; it is overwritten by the next call."""
        row = attention.rows[0] if isinstance(attention, RowsAttention) and len(attention.rows) == 1 else None
        if not (isinstance(row, RowCall) and self._serves(row, x) and pruning is None):
            return self.network(x, timestep, text, attention, pruning)
        if text is not self._text_of:
            for at, layer in zip(self._text, text, strict=True):
                whole = layer.extended(self.network.cfg.text_len)
                at[0].copy_(whole.keys)
                at[1].copy_(whole.values)
            self._text_of = text
        for at, value in ((self._x, x), (self._times, timestep), (self._query, row.query.turns)):
            at.copy_(value)
        self._keys.copy_(row.keys.turns)
        self._ring.slots.copy_(torch.tensor(row.slots))
        self._program()
        return self._flow

    def _serves(self, row: RowCall, x: Tensor) -> bool:
        return row.filled == self._slots and row.seen is None and None not in row.slots and x.shape == self._x.shape

    def _compute(self) -> None:
        text = [TextKeys(layer[0], layer[1], 0) for layer in self._text]
        self._flow.copy_(self.network(self._x, self._times, text, self._ring))


def program_nbytes(cfg: WanConfig, tokens: int) -> int:
    """Return at most the bytes of a program's own tensors beside its text, over a ring of so many tokens."""
    rotations = 2 * tokens * cfg.head_dim * torch.float32.itemsize
    latents = 2 * tokens * (cfg.in_channels + cfg.out_channels) * cfg.patch**2 * torch.float32.itemsize
    return rotations + latents
