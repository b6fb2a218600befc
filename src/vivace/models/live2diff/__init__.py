"""The Live2Diff family (Xing et al., 2024): Stable Diffusion 1.5 that repaints a live video frame by frame.

From the outside in:

| module | what it is |
|---|---|
| `model` | the family as a stream sees it: a description and four verbs |
| `stream_state` | one stream: the way of a picture through encode, depth, denoise and decode |
| `batch`, `state`, `anchors` | frames at every noise level in one call; what a stream remembers; its anchors |
| `window`, `noise`, `guidance` | which slots a row sees; what frames are noised with; residual guidance |
| `unet`, `motion`, `ring`, `layers`, `kernels` | the network, its motion modules, the KV ring they attend to |
| `autoencoder`, `detector`, `depth`, `prompts`, `text` | pictures, depth and prompts in and out |
| `profile`, `load`, `checkpoint`, `components` | from the public files to a model that runs |

Recorded runs of the reference hold the network, the loop and the files' conventions in the tests.
"""
