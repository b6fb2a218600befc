"""The causal Wan family: Wan 2.1's video transformer, distilled to a few steps and run chunk by chunk without an end.

From the inside out:

| module | what it is |
|---|---|
| `network`, `rope` | the transformer under its published names; rotary positions for any frame |
| `views`, `ring` | what frames see: of a clip in one call; of a ring of remembered keys and values |
| `sampler`, `mask_cache` | a chunk from noise to picture; LiveEdit's way to leave tokens out on it |
| `anchor_memory`, `stream_batch`, `motion` | StreamDiffusionV2: its memory, its rows, its noise |
| `vae`, `taehv` | the autoencoders, piece by piece |

Recorded runs of the references hold all of it in the tests.
"""
