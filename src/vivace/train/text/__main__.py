"""`python -m vivace.train.text`: train the text encoder, or score it on hand-written prompts."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vivace.errors import VivaceError
from vivace.models import mini
from vivace.models.mini.text import TextEncoder
from vivace.train.text.evaluate import evaluate
from vivace.train.text.fit import STEPS, train
from vivace.train.text.requests import read_requests, reading_of, score_requests

SHIPPED = Path(mini.__file__).with_name("text.safetensors")


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m vivace.train.text", description="Train the text encoder.")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="weights file (default: the one in the package)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS, help=f"optimiser steps of each fit (default {STEPS})")
    parser.add_argument("--score", type=Path, metavar="PROMPTS", help="do not train; score the weights on this file")
    parser.add_argument("--requests", type=Path, metavar="FILE", help="do not train; score it on requests with chains")
    parser.add_argument("--half", choices=("tuned", "blind"), default="tuned")
    options = parser.parse_args(arguments)
    try:
        if options.requests is not None:
            return _score_requests(TextEncoder.load(options.out), options.requests, options.half)
        if options.score is None:
            train(options.out, options.seed, options.steps, report=print)
            return 0
        score = evaluate(TextEncoder.load(options.out), options.score, options.half)
    except VivaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for miss in score.misses:
        print(miss)
    for kind, (right, total) in score.counts.items():
        print(f"{kind:9} {right:3} of {total}")
    print(f"{options.half:9} {score.accuracy:.1%}")
    return 0


def _score_requests(encoder: TextEncoder, path: Path, half: str) -> int:
    score = score_requests(lambda text: reading_of(encoder.encode(text)), read_requests(path, half))
    for miss in score.misses:
        print(miss)
    print(f"right {score.right} of {score.total}, {score.right / score.total:.1%}")
    print(f"wrong and sure {score.sure_and_wrong}; calibration error {score.calibration_error:.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
