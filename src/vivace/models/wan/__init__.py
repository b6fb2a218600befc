"""The causal Wan family: Wan 2.1's video transformer, distilled to a few steps and run chunk by chunk without an end.

A step of a stream, from the outside in:

| module | holds |
|---|---|
| `model`, `painter` | the contract of `models.base`; a step from frames to painted frames |
| `stream_state`, `prompt_state` | the state of one stream |
| `codec`, `vae`, `taehv` | frames to latents and back, piece by piece |
| `sampler`, `stream_batch`, `motion`, `noise` | a chunk from noise to clean latents, in turn or as rows of a batch |
| `network`, `rope`, `attention` | the transformer under its published names; rotary positions for any frame |
| `program` | the transformer over a full ring, compiled or recorded |
| `ring`, `anchor_memory` | attention over earlier frames: the KV ring, and StreamDiffusionV2's own |
| `views`, `objective` | attention within a clip, as in training; the loss |
| `mask_cache`, `region_cache` | LiveEdit's token pruning, along steps; ours, along time |
| `load`, `profile`, `checkpoint`, `lora`, `text`, `umt5`, `inspection` | files and their conventions |

Recorded runs of the references' code hold all of it in the tests (`tests/models/wan/test_golden.py`).
"""
