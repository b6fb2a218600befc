"""Cache of encoded prompts."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from vivace.models.base import Prompt

REMEMBERED = 256


class PromptCache:
    """The last few hundred prompts by text. Thread-safe."""

    def __init__(self, encode: Callable[[str], Prompt]) -> None:
        self._encode = encode
        self._prompts: OrderedDict[str, Prompt] = OrderedDict()
        self._lock = threading.Lock()

    def encode(self, text: str) -> Prompt:
        """Return the prompt of a text; errors of encoding are raised."""
        with self._lock:
            if text in self._prompts:
                self._prompts.move_to_end(text)
                return self._prompts[text]
        prompt = self._encode(text)
        with self._lock:
            self._prompts[text] = prompt
            if len(self._prompts) > REMEMBERED:
                self._prompts.popitem(last=False)
        return prompt
