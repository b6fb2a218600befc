"""Prompts that were encoded, so that the same text is encoded once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from vivace.models.base import Prompt

REMEMBERED = 256


class PromptCache:
    """The last few hundred prompts by text. Safe from any thread."""

    def __init__(self, encode: Callable[[str], Prompt]) -> None:
        self._encode = encode
        self._prompts: OrderedDict[str, Prompt] = OrderedDict()
        self._lock = threading.Lock()

    def encode(self, text: str) -> Prompt:
        """Return the prompt of a text; what encoding raises is raised."""
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
