"""Typing a new prompt while the stream runs."""

from __future__ import annotations

import os
import select
import sys
from types import TracebackType
from typing import Any, TextIO

BACKSPACE = ("\x7f", "\b")
ERASE_LINE = "\x15"
ESCAPE = "\x1b"


class PromptLine:
    """Reads what is typed on a terminal, without waiting and without echo, and yields finished lines.

    The caller shows `text` wherever it shows its live line. Where standard input is not a terminal (or the system has
    no termios) `active` is False and nothing is ever typed. Signals such as Ctrl-C work as usual.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        """`stream` defaults to standard input."""
        self._stream = stream or sys.stdin
        self.text = ""
        """Text typed since the last Enter."""
        self.active = False
        self._saved: list[Any] | None = None
        self._pending = b""

    def __enter__(self) -> PromptLine:
        if self._stream is None or self._stream.closed or not self._stream.isatty():
            return self
        try:
            import termios
            import tty
        except ImportError:  # Windows
            return self
        fd = self._stream.fileno()
        if not _in_foreground(fd):
            return self
        self._saved = termios.tcgetattr(fd)
        tty.setcbreak(fd, termios.TCSANOW)
        self.active = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()

    def restore(self) -> None:
        """Give the terminal back as it was; safe to call twice."""
        if self._saved is not None:
            import termios

            termios.tcsetattr(self._stream.fileno(), termios.TCSANOW, self._saved)
            self._saved = None
            self.active = False

    def poll(self) -> list[str]:
        """Take what was typed since the last call and return the lines finished with Enter, oldest first."""
        if not self.active:
            return []
        fd = self._stream.fileno()
        while select.select([fd], [], [], 0)[0]:
            typed = os.read(fd, 4096)
            if not typed:  # end of input (Ctrl-D)
                break
            self._pending += typed
        return self.feed(self._take())

    def feed(self, typed: str) -> list[str]:
        """Edit `text` by the keys in `typed` and return the finished lines."""
        lines = []
        for key in typed.split(ESCAPE, 1)[0]:  # arrow keys and the like are not edited with
            if key in "\r\n":
                if self.text.strip():
                    lines.append(self.text.strip())
                self.text = ""
            elif key in BACKSPACE:
                self.text = self.text[:-1]
            elif key == ERASE_LINE:
                self.text = ""
            elif key.isprintable():
                self.text += key
        return lines

    def _take(self) -> str:
        """Decode the bytes that make whole characters and keep a character that is still arriving."""
        for kept in range(min(4, len(self._pending) + 1)):
            whole = self._pending[: len(self._pending) - kept]
            try:
                text = whole.decode()
            except UnicodeDecodeError:
                continue
            self._pending = self._pending[len(whole) :]
            return text
        text, self._pending = self._pending.decode(errors="replace"), b""
        return text


def _in_foreground(fd: int) -> bool:
    """Tell whether the terminal is ours to change: touching it from the background would stop the process."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:  # a terminal that controls no process group, or another session's
        return False
