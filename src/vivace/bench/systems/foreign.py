"""External systems: a folder of outputs, or a command that reads frames and writes frames.

The command's protocol is simple enough for twenty lines in any language (`examples/foreign_system.py`). Its standard
input has one line of JSON for the job, then for each frame a line of JSON and the raw bytes it announces:

    {"vivace_bench": 1, "case": "walkers/style/ink", "prompt": "…", "width": 256, "height": 256, "fps": 24.0, "seed": 0,
     "masked": false}
    {"index": 0, "time_s": 81.02, "bytes": 196608, "mask_bytes": 0}   followed by RGB rows, then mask rows (0 or 255)

It writes to standard output, for each frame, `{"index": 0, "time_s": 81.05, "bytes": 196608}` and the RGB rows, or,
once and instead, `{"refused": "why it cannot do the job"}`. `time_s` is the sender's monotonic clock; measurements use
ours. The end of standard input is the end of the job.
"""

from __future__ import annotations

import json
import math
import shlex
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from typing import IO

import numpy as np

from vivace.bench.inputs.clips import named_clips, read
from vivace.bench.metrics.footage import Frames
from vivace.bench.process import ending, last_words
from vivace.bench.systems.system import (
    IN_FLIGHT,
    Clock,
    LiveSystem,
    Painted,
    ProcessorRunner,
    RefusedError,
    Request,
    Runner,
    System,
    SystemSpec,
)
from vivace.errors import (
    DecodeError,
    SourceLostError,
    SourceNotFoundError,
    SourceStalledError,
    SourceUnsupportedError,
    UsageError,
)
from vivace.media.frame import Rgb
from vivace.redaction import redact

PROTOCOL_VERSION = 1
ANSWER_TIMEOUT_S = 120.0
"""Time-out for a frame, s: loading and compiling takes a while, but a system silent for that long is stuck."""
MAX_HEADER_BYTES = 4096


def command_name(command: str) -> str:
    """Return the default name of a command: its program.

    Raises:
        UsageError: not a command.
    """
    return Path(_words(command)[0]).name


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"the command {command!r} cannot be read ({error}); write it as in a shell") from error
    if not words:
        raise UsageError("the command is empty; give a program and its arguments")
    return words


class FolderSystem(System):
    """Outputs in a folder, each under the name of its case (`named_clips`)."""

    def __init__(self, folder: Path, *, name: str | None = None) -> None:
        """Use the outputs in `folder`.

        Raises:
            SourceNotFoundError: there is no such folder, or nothing in it.
        """
        self._folder = folder
        self._outputs = named_clips(folder)
        self.name = name or folder.resolve().name
        self.about = f"outputs made elsewhere, read from the folder {folder.name}"

    def accepts(self, request: Request) -> str | None:
        """Reject a case without output."""
        if request.case in self._outputs:
            return None
        return f"there is no output {request.case} in {self._folder.name}"

    def run(self, request: Request, source: Frames) -> Painted:
        """Return the output of a case.

        Raises:
            SourceUnsupportedError: its number of frames or size differs from the case.
        """
        from vivace.media import open_source

        path = self._outputs.get(request.case)
        if path is None:
            raise SourceNotFoundError(f"{self._folder / request.case}: no such output")
        with open_source(path) as output:
            pictures = read(output, len(source) + 1)
        if len(pictures) != len(source):
            raise SourceUnsupportedError(
                f"{path} has {'more' if len(pictures) > len(source) else len(pictures)} frames; "
                f"the case {request.case} has {len(source)}"
            )
        if pictures[0].shape != source[0].shape:
            found, wanted = pictures[0].shape, source[0].shape
            raise SourceUnsupportedError(f"{path} is {found[1]}x{found[0]} px; the case is {wanted[1]}x{wanted[0]}")
        return Painted(np.stack(pictures))


def command_spec(command: str, name: str) -> SystemSpec:
    """Return the spec of a command that uses the protocol of this module."""
    return SystemSpec(name, "vivace.bench.systems.foreign:open_command", {"command": command})


def open_command(command: str) -> LiveSystem:
    """Return a command as a system that can be timed."""
    return CommandSystem(command, in_flight=IN_FLIGHT)


class CommandSystem(LiveSystem):
    """Command that uses the protocol of this module, started for every session."""

    def __init__(self, command: str, *, name: str | None = None, in_flight: float = math.inf) -> None:
        """Start `command` for each session, which may be `in_flight` pictures behind if every frame counts.

        Raises:
            UsageError: not a command.
        """
        program = command_name(command)
        self._command = command
        self._in_flight = in_flight
        self.name = name or program
        self.about = f"the command {redact(command)}"

    def open(self, request: Request, clock: Clock = time.monotonic) -> Runner:
        """Start the command.

        Raises:
            SourceNotFoundError: it cannot be started.
        """
        del clock  # its inside is not ours to time
        return ProcessorRunner(CommandProcess(self._command, request), in_flight=self._in_flight)


class CommandProcess:
    """One run of a command, a `Processor`: frames go in and come out, in any order and at any pace."""

    def __init__(self, command: str, request: Request, *, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        """Start the command for a request.

        Raises:
            UsageError: not a command.
            SourceNotFoundError: there is no such command.
        """
        words = _words(command)
        self._command = command
        self._request = request
        self._timeout_s = timeout_s
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the process)
        self._answers: Queue[tuple[int, Rgb] | BaseException | None] = Queue()
        try:
            self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors)
        except OSError as error:
            self._errors.close()
            raise SourceNotFoundError(f"{command}: cannot be started ({error.strerror})") from error
        header = {
            "vivace_bench": PROTOCOL_VERSION,
            "case": request.case,
            "prompt": request.prompt,
            "width": request.size[0],
            "height": request.size[1],
            "fps": request.fps,
            "seed": request.seed,
            "masked": request.mask is not None,
        }
        self._write(json.dumps(header).encode() + b"\n")
        self._reader = threading.Thread(target=self._read, name="bench-command", daemon=True)
        self._reader.start()

    def send(self, index: int, rgb: Rgb) -> bool:
        """Send the command a frame; return false once it no longer reads. Blocks while its pipe is full."""
        pixels, rows, mask = np.ascontiguousarray(rgb).tobytes(), b"", self._request.mask
        if mask is not None:
            mask = mask if mask.ndim == 2 else mask[index]
            rows = (mask.astype(np.uint8) * np.uint8(255) if mask.dtype == bool else mask).tobytes()
        head = {"index": index, "time_s": time.monotonic(), "bytes": len(pixels), "mask_bytes": len(rows)}
        return self._write(json.dumps(head).encode() + b"\n" + pixels + rows)

    def finish(self) -> None:
        """Signal the end of the frames."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # the command may exit without waiting for the end
            self._process.stdin.close()

    def receive(self) -> tuple[int, Rgb] | None:
        """Return the next output frame with its index; None at the end.

        Raises:
            RefusedError: the command refused the job.
            SourceStalledError: no output in time.
            SourceLostError: the command died.
            DecodeError: its output does not follow the protocol.
        """
        try:
            answer = self._answers.get(timeout=self._timeout_s)
        except Empty:
            raise SourceStalledError(
                f"{self._command}: no frame for {self._timeout_s:g} s{last_words(self._errors)}"
            ) from None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _write(self, data: bytes) -> bool:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return False  # the reader finds the reason
        return True

    def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            while (answer := self._read_one(self._process.stdout)) is not None:
                self._answers.put(answer)
            code = self._process.wait()
            if code != 0:
                raise SourceLostError(f"{self._command}: {ending(code)}{last_words(self._errors)}")
            self._answers.put(None)
        except (DecodeError, RefusedError, SourceLostError) as error:
            self._answers.put(error)

    def _read_one(self, pipe: IO[bytes]) -> tuple[int, Rgb] | None:
        line = pipe.readline(MAX_HEADER_BYTES)
        if not line:
            return None
        try:
            head = json.loads(line)
            if "refused" in head:
                raise RefusedError(self._command, str(head["refused"]))
            index, size = int(head["index"]), int(head["bytes"])
        except (ValueError, TypeError, KeyError) as error:
            raise DecodeError(
                f"{self._command}: wrote {line[:80]!r} where a line of JSON with index and bytes belongs"
            ) from error
        width, height = self._request.size
        if size != width * height * 3 or index < 0:
            raise DecodeError(
                f"{self._command}: frame {index} has {size} bytes; {width}x{height} px of RGB are {width * height * 3}"
            )
        data = pipe.read(size)
        if len(data) != size:
            raise SourceLostError(f"{self._command}: ended inside frame {index}{last_words(self._errors)}")
        return index, np.frombuffer(data, np.uint8).reshape(height, width, 3)

    def close(self) -> None:
        """End the command, at once if it still runs; any number of times."""
        if self._errors.closed:
            return
        if self._process.poll() is None:
            self._process.kill()
        self.finish()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.close()
