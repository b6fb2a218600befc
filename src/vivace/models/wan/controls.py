"""The family's own controls, declared."""

from __future__ import annotations

from vivace.models.controls import ControlSpec

LOADING = (
    ControlSpec(
        name="autoencoder", kind="choice", scope="model", choices=("tiny", "full"), default="tiny",
        help="The tiny autoencoder (TAEHV), which is fast, or the full one of Wan 2.1.",
    ),
)  # fmt: skip
SWITCH = ControlSpec(
    name="prompt_switch", kind="choice", choices=("recache", "fade", "switch"), default="recache",
    help="How another prompt begins: the past is computed anew under it, which shows soonest; it fades in over chunks; "
    "or it holds for what is new.",
)  # fmt: skip
FADED = ControlSpec(
    name="prompt_switch", kind="choice", choices=("fade", "switch"), default="switch",
    help="How another prompt begins: it fades in over chunks, or holds at once.",
)  # fmt: skip
FADE_CHUNKS = ControlSpec(
    name="fade_chunks", help="Chunks over which another prompt fades in.", default=4, low=1, high=64, whole=True
)
REGION_CACHE = ControlSpec(
    name="region_cache", kind="switch", default=False,
    help="Compute only the parts of the picture whose source changes; the others keep what was painted there.",
)  # fmt: skip
MASK_CACHE = ControlSpec(
    name="mask_cache", kind="switch", default=False,
    help="Leave tokens out of the middle steps where the last chunk was not edited, as LiveEdit published it.",
)  # fmt: skip
MASK_SHARE = ControlSpec(
    name="mask_share", help="With mask_cache: the share of latents that is computed.", default=0.3, low=0.05
)
