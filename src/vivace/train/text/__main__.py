"""`python -m vivace.train.text`: train the text encoder, or score it on hand-written prompts."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vivace.errors import VivaceError
from vivace.models import mini
from vivace.models.mini.text import TextEncoder
from vivace.models.mini2.text import confidence, vectors
from vivace.models.mini2.text.reader import read_request
from vivace.train.text.calibrate import calibrate
from vivace.train.text.distil import distil
from vivace.train.text.evaluate import evaluate
from vivace.train.text.fit import STEPS, train
from vivace.train.text.requests import read_requests, score_requests

SHIPPED = Path(mini.__file__).with_name("text.safetensors")


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m vivace.train.text", description="Train the text encoder.")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="weights file (default: the one in the package)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS, help=f"optimiser steps of each fit (default {STEPS})")
    parser.add_argument("--score", type=Path, metavar="PROMPTS", help="do not train; score the weights on this file")
    parser.add_argument("--requests", type=Path, metavar="FILE", help="do not train; score mini2's reader on these")
    parser.add_argument("--half", nargs="+", default=["tuned"], help="tables of that file, scored together")
    parser.add_argument(
        "--calibrate",
        type=Path,
        metavar="FILE",
        help="fit the confidence of mini2's reader on its development data",
    )
    parser.add_argument(
        "--distil",
        type=Path,
        metavar="TEACHERS",
        help="distil mini2's word vectors from MiniLM; a stopped run goes on",
    )
    parser.add_argument("--work", type=Path, default=Path("distil"), help="where what the teacher said is kept")
    options = parser.parse_args(arguments)
    try:
        if options.requests is not None:
            return _score_requests(options.requests, options.half)
        if options.calibrate is not None:
            unseen, worked_on = (read_requests(options.calibrate, half) for half in ("calibrate", "develop"))
            calibrate(unseen, worked_on, Path(confidence.__file__).with_name("confidence.toml"), print)
            return 0
        if options.distil is not None:
            distil(options.distil, options.work, Path(vectors.__file__).with_name("vectors.safetensors"), print)
            return 0
        if options.score is None:
            train(options.out, options.seed, options.steps, report=print)
            return 0
        score = evaluate(TextEncoder.load(options.out), options.score, options.half[0])
    except VivaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for miss in score.misses:
        print(miss)
    for kind, (right, total) in score.counts.items():
        print(f"{kind:9} {right:3} of {total}")
    print(f"{options.half[0]:9} {score.accuracy:.1%}")
    return 0


def _score_requests(path: Path, halves: list[str]) -> int:
    requests = {text: meant for half in halves for text, meant in read_requests(path, half).items()}
    score = score_requests(lambda text: read_request(text).reading, requests)
    if "blind" not in halves:
        print("\n".join(score.misses))
    print(f"right {score.right} of {score.total}, {score.right / score.total:.1%}")
    print(f"wrong and sure {score.sure_and_wrong}; calibration error {score.calibration_error:.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
