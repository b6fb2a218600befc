"""The Live2Diff family (Xing et al., 2024): Stable Diffusion 1.5 that repaints a live video frame by frame.

What is here: the exact core. The network with its motion modules and depth encoder (`unet`, `motion`), the window
schedule (`window`), the stream batch (`stream`), depth preparation (`depth`), LoRA merging (`lora`), the text encoder
(`text`) and the reading of the public files (`checkpoint`). Recorded runs of the reference hold it in the tests.

What is not here yet: the frame on its way in and out (autoencoder, depth detector, tokenizer), the family as a
`StreamModel` with profiles and downloads, guidance, and everything that makes it fast. The family cannot be chosen as a
model until then.
"""
