"""The Live2Diff family (Xing et al., 2024): Stable Diffusion 1.5 that repaints a live video frame by frame.

From the outside in:

| module | contents |
|---|---|
| `model` | the family's interface to a stream |
| `stream_state` | one stream: a picture's path through encode, depth, denoise and decode |
| `batch`, `state`, `anchors` | frames at every noise level in one call; a stream's memory; its anchors |
| `window`, `noise`, `guidance` | slots that a row attends to; noise of the frames; residual guidance |
| `unet`, `motion`, `ring`, `layers`, `kernels` | the network, its motion modules, the KV ring they attend to |
| `autoencoder`, `detector`, `depth`, `prompts`, `text` | conversion of pictures, depth and prompts |
| `profile`, `load`, `checkpoint`, `components` | from the public files to a model that runs |

Recorded runs of the reference implementation test the network, the loop and the files' conventions.
"""
