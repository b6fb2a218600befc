"""A preview window, through the Tk that comes with Python."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from vivace.errors import SinkWriteError
from vivace.media.convert import resize
from vivace.media.frame import Frame
from vivace.media.sink import Sink, SinkOptions
from vivace.media.size import fit_size

SCREEN_SHARE = 0.9
"""Larger pictures are shrunk to this share of the screen."""


def lacking() -> str:
    """Return what is missing for a window and what to do, nothing where there is all."""
    try:
        import tkinter as tk
    except ImportError:
        return "this Python has no Tk; install it (Debian: python3-tk) or write to a file with -o out.mp4"
    try:
        probe = tk.Tk()
    except tk.TclError as error:
        return f"no display ({error}); write to a file with -o out.mp4, or set DISPLAY"
    probe.destroy()
    return ""


def open_window(_rest: str, _options: SinkOptions) -> WindowSink:
    """Open a preview window."""
    return WindowSink()


class WindowSink(Sink):
    """Shows frames in a window; closing it, Escape or q sets `finished`.

    Tk wants one thread: the first `write` makes the window, and all others come from the same thread (on macOS the main
    one).
    """

    name = "window"
    live = True

    def __init__(self, title: str = "Vivace"):
        """Prepare a window where `lacking` finds nothing."""
        import tkinter as tk

        self._tk: Any = tk
        self._title = title
        self._root: Any = None

    def write(self, frame: Frame) -> None:
        """Show one frame. After the window was closed, does nothing."""
        if self.finished:
            return
        try:
            if self._root is None:
                self._open()
            self._show(frame)
        except self._tk.TclError as error:
            raise SinkWriteError(f"window: the display went away ({error})") from error
        self.frames_written += 1

    def _open(self) -> None:
        self._root = self._tk.Tk()
        self._root.title(self._title)
        self._root.protocol("WM_DELETE_WINDOW", self._finish)
        for key in ("<Escape>", "q"):
            self._root.bind(key, lambda _event: self._finish())
        self._label = self._tk.Label(self._root, borderwidth=0)
        self._label.pack()

    def _show(self, frame: Frame) -> None:
        limit = (
            int(self._root.winfo_screenwidth() * SCREEN_SHARE),
            int(self._root.winfo_screenheight() * SCREEN_SHARE),
        )
        rgb = frame.rgb
        if rgb.shape[1] > limit[0] or rgb.shape[0] > limit[1]:
            rgb = resize(rgb, fit_size(frame.size, limit))
        # PPM is Tk's own raw format: no encoding, no copy through Pillow.
        header = f"P6 {rgb.shape[1]} {rgb.shape[0]} 255 ".encode()
        image = self._tk.PhotoImage(master=self._root, data=header + rgb.tobytes(), format="PPM")
        self._label.configure(image=image)
        self._image = image  # Tk does not hold on to it.
        self._root.update()

    def _finish(self) -> None:
        self.finished = True
        self._root.withdraw()

    def close(self) -> None:
        """Close the window."""
        self.finished = True
        if self._root is not None:
            # The display may have gone, and the window with it.
            with suppress(self._tk.TclError):
                self._root.destroy()
            self._root = None
