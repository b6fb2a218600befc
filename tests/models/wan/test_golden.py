"""The recorded runs of the references, reproduced: the proof that published weights give their pictures.

Limits are maximum absolute errors in float32, as stated with the recordings, relative to the scale of their numbers.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tolerance import near
from vivace.diffusion.shifted_flow import FlowSchedule
from vivace.memory.ring import Ring
from vivace.models.wan.anchor_memory import AnchorMemory, AnchorRules
from vivace.models.wan.mask_cache import MaskCache, importance, kept_latents
from vivace.models.wan.motion import MotionScale
from vivace.models.wan.network import WanNetwork
from vivace.models.wan.ring import KvBuffers, RollingMemory, RowsAttention
from vivace.models.wan.sampler import Sampler
from vivace.models.wan.stream_batch import StreamBatch
from vivace.models.wan.taehv import Taehv, TaehvConfig
from vivace.models.wan.vae import MEAN, STD, FeatureCache, VaeConfig, WanVae, denormalise, normalise
from vivace.models.wan.views import ClipAttention, block_causal, chunk_lengths, teacher_forcing
from wan_golden import CHAINED, NETWORK, config, error, network, rotary, tensors


def variants(case: str) -> list[str]:
    return list(config(case)["variants"])


def parts(case: str, prefix: str) -> list[str]:
    """Return the recorded parts of a case: the words after a prefix."""
    found = [key.removeprefix(prefix).partition(".")[0] for key in tensors(case) if key.startswith(prefix)]
    return [*dict.fromkeys(found)]


def test_the_folder_has_what_must_not_be_left_out() -> None:
    assert {"chunk3_win6_sink3", "chunk1_win4_sink1"} <= {*variants("causal_wan")}
    assert {"switch9_keepsink", "relative_switch9"} <= {*variants("longlive")}
    assert {"win6_cache_sa"} <= {*variants("liveedit")}
    assert {"batch2_refresh", "seq2_refresh"} <= {*variants("streamdiffusionv2")}
    assert {"chunk3_win6", "indep1_chunk3"} <= {*parts("bidirectional_wan", "train.")}
    assert "t625" in parts("bidirectional_wan", "teacher.")
    assert "chunk3_aug40" in parts("bidirectional_wan", "teacher_forcing.")


# -- schedules ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", config("flow_schedule")["shifts"])
def test_the_schedule_is_the_recorded_one(shift: float) -> None:
    case, schedule = tensors("flow_schedule"), FlowSchedule(shift)
    name = f"shift{shift:g}"
    assert near(schedule.sigmas, case[f"{name}.sigmas"])
    assert near(schedule.timesteps, case[f"{name}.timesteps"])
    assert near(schedule.training_weights(), case[f"{name}.training_weight"])
    for entries in (4, 50):
        short = FlowSchedule(shift, entries)
        assert near(short.sigmas, case[f"{name}.sigmas_{entries}"])
        assert near(short.timesteps, case[f"{name}.timesteps_{entries}"])
    lists = [key.partition("list_")[2] for key in case if key.startswith(f"{name}.warped.")]
    assert lists
    for text in lists:
        listed = [int(entry) for entry in text.split("_")]
        warped = schedule.steps(listed, warped=True)
        assert near(warped, case[f"{name}.warped.list_{text}"])
        assert near(schedule.sigma(torch.tensor(warped)), case[f"{name}.sigma_warped.list_{text}"])
        raw = torch.tensor(schedule.steps(listed, warped=False))
        assert near(schedule.sigma(raw), case[f"{name}.sigma_raw.list_{text}"])
    assert schedule.index(case["random_timestep"]).tolist() == case[f"{name}.random_index"].tolist()


@pytest.mark.parametrize("shift", config("flow_schedule")["shifts"])
def test_moves_along_the_schedule_are_the_recorded_ones(shift: float) -> None:
    case, schedule = tensors("flow_schedule"), FlowSchedule(shift)
    x, eps, flow, times = (case[key] for key in ("x", "eps", "flow", "timestep"))
    recorded = {key.partition(".")[2]: value for key, value in case.items() if key.startswith(f"shift{shift:g}.")}
    assert near(schedule.x0(flow, x, times), recorded["x0"])
    rows = len(recorded["flow_back"])
    assert near(schedule.flow(recorded["x0"][:rows], x[:rows], times[:rows]), recorded["flow_back"], scale=10)
    assert near(schedule.noised(x, eps, times), recorded["add_noise"])
    # A batch with one row at the last entry goes to no noise as a whole in the reference; here every row is
    # independent.
    at_the_end = schedule.index(times[:rows]) == schedule.entries - 1
    assert at_the_end.any()
    assert near(schedule.x0(flow[:rows], x[:rows], times[:rows]), recorded["euler"])
    assert near(schedule.euler(flow[:rows], x[:rows], times[:rows])[at_the_end], recorded["euler"][at_the_end])
    last = schedule.timesteps[-1].expand(len(x))
    assert near(schedule.euler(flow, x, last), recorded["euler_last"])
    if "chain" in recorded:
        chain, y = [], x
        steps = schedule.steps([1000, 750, 500, 250], warped=True)
        for step, following in zip(steps, [*steps[1:], None], strict=True):
            x0 = schedule.x0(flow, y, step)
            y = y if following is None else schedule.noised(x0, eps, following)
            chain += [x0, y]
        assert near(torch.stack(chain), recorded["chain"])


# -- the network -------------------------------------------------------------------------------------------------------


def test_every_block_gives_the_recorded_features() -> None:
    case, model = tensors("causal_wan"), network("causal_wan")
    seen: dict[str, Tensor] = {}
    for index, block in enumerate(model.blocks):
        block.register_forward_hook(lambda part, given, output, name=f"block{index}": seen.update({name: output}))
    x = case["layer_probe.x"]
    sampler = Sampler(model, FlowSchedule(5))
    clip = ClipAttention(rotary(model, x), range(x.shape[1]))
    timestep = case["layer_probe.timestep"]
    flow = sampler.flow(x, timestep, model.encode_text(case["prompt_embeds"]), clip)
    for name, output in seen.items():
        assert error(output, case[f"layer_probe.{name}"]) <= NETWORK, name
    assert error(flow, case["layer_probe.flow"]) <= NETWORK
    assert error(sampler.schedule.x0(flow, x, timestep), case["layer_probe.x0"]) <= NETWORK


class Recorder:
    """Network that remembers its outputs."""

    def __init__(self, model: WanNetwork) -> None:
        self.flows: list[Tensor] = []
        self._handle = model.register_forward_hook(lambda part, given, output: self.flows.append(output))

    def __enter__(self) -> list[Tensor]:
        return self.flows

    def __exit__(self, *error: object) -> None:
        self._handle.remove()


def open_memory(model: WanNetwork, latents: Tensor, setting: dict[str, Any], **also: Any) -> RollingMemory:
    """Return the memory of one row with a variant's settings."""
    size, anchors = setting["local_attn_size"], setting["sink_size"]
    size = setting["cache_frames"] if size < 0 else size
    place = rotary(model, latents)
    buffers = KvBuffers(model.cfg, size, place.grid.tokens, dtype=torch.float32, device="cpu")
    return RollingMemory(Ring(anchors, size - anchors), also.get("positions", "frame"), place, buffers)


def run_causal(name: str) -> tuple[list[Tensor], Tensor]:
    """Return the flows of every call of a variant, and its latents."""
    case, setting, model = tensors("causal_wan"), config("causal_wan")["variants"][name], network("causal_wan")
    both = setting["batch"] == 2
    noise = case["noise_b2" if both else "noise"][:, : setting["frames"]]
    draws = {"chunk3_indep1": "eps_indep1", "chunk3_batch2": "eps_b2"}.get(name)
    draws = draws or f"eps_chunk{setting['num_frame_per_block']}"
    text = model.encode_text(case["prompt_embeds_b2" if both else "prompt_embeds"])
    sampler = Sampler(model, FlowSchedule(setting["timestep_shift"]))
    steps = sampler.schedule.steps(setting["denoising_step_list"], warped=setting["warp_denoising_step"])
    memories = [open_memory(model, noise, setting) for _ in noise]
    made: list[Tensor] = []

    def see(frames: int) -> tuple[RowsAttention, None]:
        return RowsAttention([memory.chunk(frames) for memory in memories]), None

    def remember(latents: Tensor, timestep: float) -> None:
        made.append(latents)
        sampler.flow(latents, timestep, text, see(latents.shape[1])[0])
        for memory in memories:
            memory.advance(latents.shape[1])

    first = 1 if setting["independent_first_frame"] else None
    drawn = 0
    with Recorder(model) as flows:
        if setting["initial_frames"]:
            remember(case["initial_latent"], 0)
        begin = 0
        for frames in chunk_lengths(setting["frames"], setting["num_frame_per_block"], first=first):

            def draw(step: int, drawn: int = drawn) -> Tensor:
                stacked = case.get(draws)
                return case[f"{draws}.{drawn + step:02}"] if stacked is None else stacked[drawn + step]

            x = sampler.denoise(noise[:, begin : begin + frames], steps, text, lambda step, n=frames: see(n), draw)
            remember(x, setting["context_noise"])
            begin, drawn = begin + frames, drawn + len(steps) - 1
    return flows, torch.cat(made, 1)


@pytest.mark.parametrize("name", variants("causal_wan"))
def test_a_causal_run_gives_the_recorded_latents(name: str) -> None:
    case = tensors("causal_wan")
    flows, latents = run_causal(name)
    stacked = case.get(f"{name}.flow")
    recorded = [case[f"{name}.flow.{call:02}"] for call in range(len(flows))] if stacked is None else list(stacked)
    for call, (flow, expected) in enumerate(zip(flows, recorded, strict=True)):
        assert error(flow, expected) <= CHAINED, call
    assert error(latents, case[f"{name}.latents"]) <= CHAINED


# -- the teacher, and masks of training --------------------------------------------------------------------------------


def clip_flow(case_name: str, x: Tensor, times: Tensor, embeds: str = "prompt_embeds", **seen: Any) -> Tensor:
    model = network(case_name)
    clip = ClipAttention(rotary(model, x), seen.pop("positions", range(x.shape[1])), **seen)
    return model(x, times.expand(len(x), x.shape[1]), model.encode_text(tensors(case_name)[embeds]), clip)


@pytest.mark.parametrize(
    "timestep", [int(part[1:]) for part in parts("bidirectional_wan", "teacher.") if part[1:].isdigit()]
)
def test_the_teacher_gives_the_recorded_flow(timestep: int) -> None:
    case = tensors("bidirectional_wan")
    flow = clip_flow("bidirectional_wan", case["clip"], torch.tensor([[float(timestep)]]))
    assert error(flow, case[f"teacher.t{timestep}.flow"]) <= NETWORK
    x0 = FlowSchedule(5).x0(flow, case["clip"], float(timestep))
    assert error(x0, case[f"teacher.t{timestep}.x0"]) <= NETWORK


def test_the_teacher_takes_clips_at_different_times() -> None:
    case = tensors("bidirectional_wan")
    x, times = case["teacher.batch2.x"], case["teacher.batch2.timestep"]
    flow = clip_flow("bidirectional_wan", x, times, "prompt_embeds_b2")
    assert error(flow, case["teacher.batch2.flow"]) <= NETWORK
    assert error(FlowSchedule(5).x0(flow, x, times[:, 0]), case["teacher.batch2.x0"]) <= NETWORK


def test_the_few_step_teacher_gives_the_recorded_pictures() -> None:
    case, model = tensors("bidirectional_wan"), network("bidirectional_wan")
    sampler, x = Sampler(model, FlowSchedule(5)), case["clip"]
    seen = ClipAttention(rotary(model, x), range(x.shape[1]))
    text = model.encode_text(case["prompt_embeds"])
    steps = case["sampler4.timestep"].tolist()
    for step, timestep in enumerate(steps):
        x0 = sampler.schedule.x0(sampler.flow(x, timestep, text, seen), x, timestep)
        assert error(x0, case["sampler4.x0"][step]) <= CHAINED, step
        if step + 1 < len(steps):
            x = sampler.schedule.noised(x0, case["sampler4.eps"][step], steps[step + 1])
    assert near(steps, sampler.schedule.steps([1000, 750, 500, 250], warped=True)[:3])


TRAINED = {
    "chunk3": (3, None, "chunk"),
    "chunk1": (1, None, "frame"),
    "chunk3_win6": (3, 6, "chunk"),
    "chunk1_win4": (1, 4, "frame"),
    "indep1_chunk3": (3, None, "frame"),
}
"""Frames of a chunk and of the window, and the part that has a timestep."""


@pytest.mark.parametrize(
    ("name", "chunk", "window", "times"),
    [(name, *TRAINED[name]) for name in parts("bidirectional_wan", "train.") if not name.startswith("timestep")],
)
def test_training_under_a_causal_mask_gives_the_recorded_flow(
    name: str, chunk: int, window: int | None, times: str
) -> None:
    case = tensors("bidirectional_wan")
    recorded = case[f"train.{name}.flow"]
    frames = recorded.shape[1]
    first = 1 if name.startswith("indep1") else None
    views = block_causal(chunk_lengths(frames, chunk, first=first), window)
    x, timestep = case["clip"][:, :frames], case[f"train.timestep_{times}"][:, :frames]
    flow = clip_flow("bidirectional_wan", x, timestep, views=views)
    assert error(flow, recorded) <= NETWORK
    if (x0 := case.get(f"train.{name}.x0")) is not None:
        found = torch.stack([FlowSchedule(5).x0(flow[:, i], x[:, i], timestep[:, i]) for i in range(frames)], 1)
        assert error(found, x0) <= NETWORK


@pytest.mark.parametrize(
    ("name", "clean_time"),
    [
        (name, 40.0 if name.endswith("aug40") else 0.0)
        for name in parts("bidirectional_wan", "teacher_forcing.")
        if name != "clean"
    ],
)
def test_teacher_forcing_gives_the_recorded_flow(name: str, clean_time: float) -> None:
    case = tensors("bidirectional_wan")
    noisy, clean = case["clip"], case["teacher_forcing.clean"]
    frames = noisy.shape[1]
    times = torch.cat([torch.full((1, frames), clean_time), case["train.timestep_chunk"]], 1)
    flow = clip_flow(
        "bidirectional_wan",
        torch.cat([clean, noisy], 1),
        times,
        positions=[*range(frames)] * 2,
        views=teacher_forcing(chunk_lengths(frames, 3)),
    )
    assert error(flow[:, frames:], case[f"teacher_forcing.{name}.flow"]) <= NETWORK


# -- prompts that change -----------------------------------------------------------------------------------------------


def run_longlive(name: str) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Return the flows of a variant's chunks, those of its recaches, and its latents."""
    case, told, model = tensors("longlive"), config("longlive"), network("longlive")
    setting = told["variants"][name]
    chunk, frames = setting["num_frame_per_block"], setting["frames"]
    noise = case["noise"][:, :frames]
    sampler = Sampler(model, FlowSchedule(told["timestep_shift"]))
    steps = sampler.schedule.steps(told["denoising_step_list"], warped=told["warp_denoising_step"])
    text = model.encode_text(case["prompt_embeds_a"])
    memory = open_memory(model, noise, setting, positions="window" if setting["infinite"] else "frame")
    memory.empty_anchors_count = chunk < setting["sink_size"]
    made: list[Tensor] = []
    flows: list[Tensor] = []
    recaches: list[Tensor] = []

    def see(step: int = 0) -> tuple[RowsAttention, None]:
        return RowsAttention([memory.chunk(chunk)]), None

    for begin in range(0, frames, chunk):
        if begin in setting["switch"]:
            text = model.encode_text(case["prompt_embeds_b"])
            last = torch.cat(made, 1)[:, -memory.ring.slots :]
            again = memory.recache(last.shape[1], keep_anchors=setting["global_sink"])
            recaches.append(sampler.flow(last, told["context_noise"], text, RowsAttention([again])))
        drawn = begin // chunk * (len(steps) - 1)
        with Recorder(model) as called:
            x = sampler.denoise(
                noise[:, begin : begin + chunk],
                steps,
                text,
                see,
                lambda step, drawn=drawn: case[f"eps_chunk{chunk}"][drawn + step],
            )
            sampler.flow(x, told["context_noise"], text, see()[0])
        memory.advance(chunk)
        made.append(x)
        flows += called
    return flows, recaches, torch.cat(made, 1)


@pytest.mark.parametrize("name", variants("longlive"))
def test_a_run_with_another_prompt_gives_the_recorded_latents(name: str) -> None:
    case = tensors("longlive")
    flows, recaches, latents = run_longlive(name)
    for call, recorded in zip(case[f"{name}.flow_calls"].tolist(), case[f"{name}.flow"], strict=True):
        assert error(flows[call], recorded) <= CHAINED, call
    assert len(recaches) == len(config("longlive")["variants"][name]["switch"])
    for flow in recaches:
        assert error(flow, case[f"{name}.recache.flow"]) <= CHAINED
    assert error(latents, case[f"{name}.latents"]) <= CHAINED


# -- the source on channels, and the mask cache ------------------------------------------------------------------------

THINNED = (1, 2)
"""Steps that leave tokens out."""


def run_liveedit(name: str) -> tuple[list[Tensor], Tensor, dict[str, list[Tensor]]]:
    """Return the flows of a variant, its latents, and the choice of its mask cache for each chunk."""
    case, model = tensors("liveedit"), network("liveedit")
    setting = config("liveedit")["variants"][name]
    chunk, frames, pruning = setting["num_frame_per_block"], setting["frames"], setting["pruning"]
    noise, sources = case["noise"], case["source"]
    sampler = Sampler(model, FlowSchedule(setting["timestep_shift"]))
    steps = sampler.schedule.steps(setting["denoising_step_list"], warped=False)
    text, memory = model.encode_text(case["prompt_embeds"]), open_memory(model, noise, setting)
    cache = pruning and MaskCache(frozenset(pruning["internal_pruning_layers"]))
    tokens = memory.rotary.grid.tokens * chunk
    made: list[Tensor] = []
    chosen: dict[str, list[Tensor]] = {"kept_tokens": [], "importance": [], "mask": []}
    with Recorder(model) as flows:
        for begin in range(0, frames, chunk):
            source = sources[:, begin : begin + chunk]
            thins = bool(cache) and cache.kept is not None
            # From a full window, the reference takes as many tokens as the middle steps had kept.
            short = thins and setting["local_attn_size"] > 0
            hide = len(cache.kept) if short else 0

            def see(step: int, thins: bool = thins, hide: int = hide) -> tuple[RowsAttention, Any]:
                if thins and step in THINNED:
                    return RowsAttention([memory.part(chunk, cache.kept)]), cache.pruned_step()
                full = RowsAttention([memory.chunk(chunk, hide=hide if step > max(THINNED) else 0)])
                return full, cache.full_step() if cache else None

            drawn = begin // chunk * (len(steps) - 1)
            x = sampler.denoise(
                noise[:, begin : begin + chunk],
                steps,
                text,
                see,
                lambda step, drawn=drawn: case["eps"][drawn + step],
                source,
            )
            sampler.flow(x, setting["context_noise"], text, see(len(steps))[0], source=source)
            memory.advance(chunk)
            made.append(x)
            if cache:
                kept = torch.arange(tokens) if cache.kept is None else cache.kept
                chosen["kept_tokens"].append(torch.zeros(tokens, dtype=torch.bool).index_fill(0, kept, True))
                seen = importance(x[0], source[0])
                chosen["importance"].append(seen)
                chosen["mask"].append(kept_latents(seen, pruning["adaptive_patch_ratio"]))
                cache.select(x[0], source[0], pruning["adaptive_patch_ratio"])
    return flows, torch.cat(made, 1), chosen


FIRST_CALL = {"win6": 10, "cache_sa_ffn": 5, "win6_cache_sa": 10}
"""Number of the first recorded call, by variant; 0 for the others."""


@pytest.mark.parametrize("name", variants("liveedit"))
def test_a_run_with_a_source_gives_the_recorded_latents(name: str) -> None:
    case = tensors("liveedit")
    flows, latents, chosen = run_liveedit(name)
    first, recorded = FIRST_CALL.get(name, 0), case[f"{name}.flow"]
    for call, expected in enumerate(recorded, first):
        assert error(flows[call], expected) <= CHAINED, call
    assert error(latents, case[f"{name}.latents"]) <= CHAINED
    if config("liveedit")["variants"][name]["pruning"]:
        kept = case[f"{name}.kept_tokens"]
        assert torch.equal(torch.stack(chosen["kept_tokens"]).view_as(kept), kept)
        assert error(torch.cat(chosen["importance"])[None], case[f"{name}.importance"]) <= CHAINED
        masks = torch.cat(chosen["mask"])[None]
        chunk = config("liveedit")["variants"][name]["num_frame_per_block"]
        assert torch.equal(masks[:, :-chunk], case[f"{name}.mask"][:, chunk:])
        assert case[f"{name}.mask"][:, :chunk].all()


def test_a_clip_with_a_source_gives_the_recorded_flow() -> None:
    case = tensors("liveedit")
    x, frames = torch.cat([case["train.clip"], case["source"]], 2), case["train.clip"].shape[1]
    views = block_causal(chunk_lengths(frames, 3))
    flow = clip_flow("liveedit", x, case["train.timestep"], views=views)
    assert error(flow, case["train.chunk3.flow"]) <= NETWORK
    flow = clip_flow("liveedit", x, torch.tensor([[600.0]]))
    assert error(flow, case["train.bidirectional.flow"]) <= NETWORK


# -- autoencoders ------------------------------------------------------------------------------------------------------


def wan_vae() -> WanVae:
    told = config("wan_vae")["vae"]
    cfg = VaeConfig(
        told["dim"],
        told["z_dim"],
        tuple(told["dim_mult"]),
        told["num_res_blocks"],
        tuple(told["temperal_downsample"]),
    )
    vae = WanVae(cfg)
    vae.load_state_dict({k: v for k, v in tensors("wan_vae").items() if k.partition(".")[0] in VAE_PARTS})
    return vae.requires_grad_(False).eval()


VAE_PARTS = ("encoder", "decoder", "conv1", "conv2")


def pixels(case: str) -> Tensor:
    """Return the frames `[b t 3 h w]` of the autoencoder's case, -1 to 1."""
    return (tensors(case)["frames_u8"].float() / 127.5 - 1).transpose(1, 2)


def test_wan_latents_are_normalised_by_the_recorded_constants() -> None:
    assert config("wan_vae")["mean"] == list(MEAN)
    assert config("wan_vae")["std"] == list(STD)


@pytest.mark.parametrize("pieces", [[17], [5, 4, 4, 4], [1, 4, 8, 4], [9, 8]])
def test_the_vae_gives_the_recorded_latents_of_a_stream(pieces: list[int]) -> None:
    case, vae, past = tensors("wan_vae"), wan_vae(), FeatureCache()
    latents = [vae.encode(piece, past) for piece in pixels("wan_vae").split(pieces, 1)]
    whole = torch.cat(latents, 1).transpose(1, 2)
    assert error(whole, case["encode.full_raw"]) <= NETWORK
    assert error(normalise(whole.transpose(1, 2)).transpose(1, 2), case["encode.full"]) <= NETWORK
    if pieces == [5, 4, 4, 4]:
        # The last one is recorded normalised.
        for index, piece in enumerate([*latents[:-1], normalise(latents[-1])]):
            assert error(piece.transpose(1, 2), case[f"encode.stream.{index}"]) <= NETWORK, index


@pytest.mark.parametrize("pieces", [[5], [3, 1, 1], [2, 1, 2], [1, 4]])
def test_the_vae_gives_the_recorded_pictures_of_a_stream(pieces: list[int]) -> None:
    case, vae, past = tensors("wan_vae"), wan_vae(), FeatureCache()
    z = denormalise(case["decode.z"].transpose(1, 2))
    pictures = [vae.decode(piece, past) for piece in z.split(pieces, 1)]
    lengths = [4 * piece for piece in pieces]
    assert [piece.shape[1] for piece in pictures] == [lengths[0] - 3, *lengths[1:]]
    assert error(torch.cat(pictures, 1).transpose(1, 2), case["decode.full"]) <= CHAINED


def taehv() -> Taehv:
    told = config("taehv")
    cfg = TaehvConfig(told["encoder_width"], tuple(told["decoder_widths"]), told["latent_channels"])
    model = Taehv(cfg)
    model.load_state_dict({k: v for k, v in tensors("taehv").items() if "weight" in k or "bias" in k})
    return model.requires_grad_(False).eval()


@pytest.mark.parametrize("pieces", [[16], [4, 8, 4]])
def test_taehv_gives_the_recorded_latents(pieces: list[int]) -> None:
    case, model, past = tensors("taehv"), taehv(), FeatureCache()
    frames = case["frames_u8"].float() / 255
    latents = torch.cat([model.encode(piece, past) for piece in frames.split(pieces, 1)], 1)
    assert error(latents, case["encode"]) <= NETWORK


@pytest.mark.parametrize("pieces", [[6], [2, 1, 3]])
def test_taehv_gives_the_recorded_pictures(pieces: list[int]) -> None:
    case, model, past = tensors("taehv"), taehv(), FeatureCache()
    pictures = torch.cat([model.decode(piece, past) for piece in case["decode.z"].split(pieces, 1)], 1)
    assert error(pictures, case["decode.full"]) <= NETWORK


def test_the_reference_decodes_its_last_latents_again() -> None:
    """Its result then differs slightly from a stream decoded at once, unlike a stream of this package."""
    case, model = tensors("taehv"), taehv()
    z, begin = case["decode.z"], 0
    for call in range(4):
        recorded = case[f"decode.stream.{call}"]
        context = z[:, max(0, begin - 3) : begin]
        new = recorded.shape[1] // 4 + (not begin)
        pictures = model.decode(torch.cat([context, z[:, begin : begin + new]], 1), FeatureCache())
        assert error((pictures[:, -recorded.shape[1] :] * 2 - 1).clamp(-1, 1), recorded) <= NETWORK, call
        begin += new
    assert begin == z.shape[1]


# -- the source noised -------------------------------------------------------------------------------------------------

PUBLISHED = {"empty_is_stale": True, "place_each_step": True, "old_positions_stay": True}
"""Faults of the published code, visible in its recorded runs."""


@pytest.mark.parametrize("chunk", [4, 8])
@pytest.mark.parametrize("start", [0.8, 0.6])
def test_the_noise_scale_follows_motion_as_recorded(chunk: int, start: float) -> None:
    case = tensors("streamdiffusionv2")
    pictures = (case["motion.frames_u8"].float() / 127.5 - 1)[0].transpose(0, 1)
    motion = MotionScale(start)
    motion.observe(pictures[: chunk + 1])
    recorded = case[f"motion.chunk{chunk}.init{start * 10:g}"].tolist()
    for end, largest, scale, timestep in recorded:
        last = int(end)
        before = pictures[last - chunk - 1 : last]
        assert near((before[1:] - before[:-1]).square().mean((1, 2, 3)).sqrt().max(), largest, 1)
        found = motion.follow(pictures[last - chunk : last])
        assert near(found[0], scale)
        assert found[1] == timestep


class SinkRun:
    """Variant of the recorded runs."""

    def __init__(self, name: str) -> None:
        self.case, self.model, self.name = tensors("streamdiffusionv2"), network("streamdiffusionv2"), name
        self.setting = config("streamdiffusionv2")["variants"][name]
        self.sampler = Sampler(self.model, FlowSchedule(self.setting["timestep_shift"]))
        self.text = self.model.encode_text(self.case["prompt_embeds"])
        self.steps = self.sampler.schedule.steps(self.setting["denoising_step_list"], warped=False)
        self.rules = AnchorRules(
            self.setting["num_kv_cache"],
            self.setting["num_sink_tokens"],
            threshold if (threshold := self.setting["adapt_sink_threshold"]) > -1 else None,
            **PUBLISHED,
        )
        self.source = self.case["source"]

    def memories(self, rows: int) -> list[AnchorMemory]:
        place = rotary(self.model, self.source)
        return [
            AnchorMemory(
                place,
                KvBuffers(self.model.cfg, self.rules.slots, place.grid.tokens, dtype=torch.float32, device="cpu"),
                self.rules,
                uses=1 if rows > 1 else len(self.steps),
            )
            for _ in range(rows)
        ]

    def recorded(self, key: str) -> Tensor:
        return self.case[f"{self.name}.{key}"]

    def noisy(self, chunk: int) -> tuple[Tensor, float]:
        """Return the noised source of a chunk, from 0 after the first two latents, and its first timestep."""
        scale = self.recorded("noise_scale")[chunk].item()
        latent = self.source[:, 2 + chunk : 3 + chunk]
        noise = self.recorded("enc_eps")[:, chunk : chunk + 1]
        return mixed(latent, noise, scale), self.recorded("first_step")[chunk].item()

    def first(self) -> Tensor:
        return mixed(self.source[:, :2], self.recorded("enc_eps_first"), self.setting["noise_scale"])

    def check_slots(self, call: int, memories: list[AnchorMemory]) -> None:
        written, queues = self.recorded("written_slot")[call], self.recorded("evict_queue")[call]
        for row, memory in enumerate(memories):
            for index, layer in enumerate(memory.layers):
                assert layer.slots[0] == written[index, row], (call, row, index)
                assert [*layer.queue.queue] == [slot for slot in queues[index, row].tolist() if slot >= 0], (call, row)


def mixed(latent: Tensor, noise: Tensor, scale: float) -> Tensor:
    return scale * noise + (1 - scale) * latent


def of_kind(*, batch: bool) -> list[str]:
    told = config("streamdiffusionv2")["variants"]
    return [name for name, setting in told.items() if setting["stream_batch"] == batch]


@pytest.mark.parametrize("name", of_kind(batch=True))
def test_a_stream_batch_gives_the_recorded_pictures(name: str) -> None:
    run = SinkRun(name)
    batch = StreamBatch(run.sampler, run.steps, run.memories(len(run.steps)), idle_rows_run=True)
    first = batch.begin(run.first(), run.text, list(run.recorded("first_eps")))
    assert error(torch.stack(first), run.recorded("first_x0")) <= CHAINED
    for chunk in range(run.setting["chunks"]):
        assert [memory.start for memory in batch.memories] == run.recorded("start_frame")[chunk].tolist(), chunk
        noisy, timestep = run.noisy(chunk)
        made = batch.advance(noisy, timestep, run.text, list(run.recorded("eps")[chunk]))
        run.check_slots(chunk, list(batch.memories))
        pictures = torch.cat([picture for picture in made if picture is not None])
        assert error(pictures, run.recorded("x0")[chunk]) <= CHAINED, chunk


@pytest.mark.parametrize("name", of_kind(batch=False))
def test_steps_in_turn_give_the_recorded_pictures(name: str) -> None:
    run = SinkRun(name)
    memories = run.memories(1)
    batch = StreamBatch(run.sampler, run.steps, memories)
    first = batch.begin(run.first(), run.text, list(run.recorded("first_eps")))
    assert error(torch.stack(first), run.recorded("first_x0")) <= CHAINED
    memory, call = memories[0], 0
    for chunk in range(run.setting["chunks"]):
        noisy, timestep = run.noisy(chunk)
        made: list[Tensor] = []

        def see(step: int, call: int = call) -> tuple[RowsAttention, None]:
            assert [memory.start] == run.recorded("start_frame")[call + step].tolist()
            return RowsAttention([memory.chunk(1, begins=step == 0)]), None

        x = noisy
        for step, now in enumerate([timestep, *run.steps[1:]]):
            if step:
                x = run.sampler.schedule.noised(x, run.recorded("eps")[chunk][step - 1], now)
            x = run.sampler.schedule.x0(run.sampler.flow(x, now, run.text, see(step)[0]), x, now)
            run.check_slots(call + step, memories)
            made.append(x)
        memory.advance(1)
        call += len(run.steps)
        assert error(torch.cat(made), run.recorded("x0")[chunk]) <= CHAINED, chunk


def test_pixels_become_the_recorded_pixels() -> None:
    run, case, vae = SinkRun("batch2"), tensors("streamdiffusionv2"), wan_vae()
    frames = (case["e2e.frames_u8"].float() / 127.5 - 1).transpose(1, 2)
    batch = StreamBatch(run.sampler, run.steps, run.memories(len(run.steps)), idle_rows_run=True)
    motion, encoded, decoded = MotionScale(run.setting["noise_scale"]), FeatureCache(), FeatureCache()

    def shown(latents: Tensor) -> Tensor:
        return (vae.decode(denormalise(latents), decoded)[0] / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)

    first = frames[:, :5]
    motion.observe(first[0])
    noisy = mixed(vae.encode(first, encoded), case["e2e.enc_eps"][:, :2], motion.start)
    assert error(noisy, case["e2e.noisy_latents"][:, :2]) <= NETWORK
    x0 = batch.begin(noisy, run.text, [case["e2e.first_eps"]])[-1]
    assert error(x0, case["e2e.first_latents"]) <= CHAINED
    outputs = [shown(x0)]
    for chunk, (scale, step) in enumerate(zip(case["e2e.noise_scale"], case["e2e.first_step"], strict=True)):
        pictures = frames[:, 5 + 4 * chunk : 9 + 4 * chunk]
        found, timestep = motion.follow(pictures[0])
        assert near(found, scale)
        assert timestep == step
        noise = case["e2e.enc_eps"][:, 2 + chunk : 3 + chunk]
        noisy = mixed(vae.encode(pictures, encoded), noise, found)
        assert error(noisy, case["e2e.noisy_latents"][:, 2 + chunk : 3 + chunk]) <= NETWORK
        x0 = batch.advance(noisy, timestep, run.text, [case["e2e.eps"][chunk][None]])[-1]
        if chunk:
            assert error(x0, case["e2e.latents"][chunk - 1][None]) <= CHAINED, chunk
            outputs.append(shown(x0))
    for key, video in case.items():
        if key.startswith("e2e.video."):
            assert error(outputs[int(key.rpartition(".")[2])], video) <= CHAINED, key
