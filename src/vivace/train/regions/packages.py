"""Perception networks of MediaPipe (Google, Apache-2.0), in the last wheel that holds them as files."""

from __future__ import annotations

from vivace.train.packages import PackagedFiles

PACKAGES = ("mediapipe==0.10.21",)

_MODULES = "mediapipe/modules"
PERSON = f"{_MODULES}/selfie_segmentation/selfie_segmentation.tflite"
PERSON_WIDE = f"{_MODULES}/selfie_segmentation/selfie_segmentation_landscape.tflite"
FACES = f"{_MODULES}/face_detection/face_detection_short_range.tflite"
FAR_FACES = f"{_MODULES}/face_detection/face_detection_full_range_sparse.tflite"
FACE_MESH = f"{_MODULES}/face_landmark/face_landmark.tflite"
BODIES = f"{_MODULES}/pose_detection/pose_detection.tflite"

SHA256 = {
    PERSON: "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
    PERSON_WIDE: "a77d03f4659b9f6b6c1f5106947bf40e99d7655094b6527f214ea7d451106edd",
    FACES: "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    FAR_FACES: "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    FACE_MESH: "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    BODIES: "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
}

find = PackagedFiles(PACKAGES, SHA256, "the perception networks").find
