"""Training of the embedded model's text encoder: a lexicon, a caption grammar, a linear fit. NumPy only."""

from vivace.train.text.evaluate import Score, evaluate
from vivace.train.text.fit import Report, train

__all__ = ["Report", "Score", "evaluate", "train"]
