"""A foreign command as something to be timed: the protocol of `vivace.bench.systems.foreign`, both ends timed by us."""

from __future__ import annotations

from vivace.bench.systems.foreign import CommandProcess
from vivace.bench.systems.system import Job
from vivace.errors import StepError
from vivace.media.frame import Rgb


class CommandProcessor:
    """A `vivace.bench.systems.engine.Processor` that is a command; one run of it is one session."""

    def __init__(self, command: str) -> None:
        self._command = command
        self._process: CommandProcess | None = None

    def open(self, size: tuple[int, int], fps: float, prompt: str, seed: int) -> None:
        """Start the command.

        Raises:
            SourceNotFoundError: there is no such command.
        """
        job = Job(name="live", prompt=prompt, style=None, fps=fps, seed=seed)
        self._process = CommandProcess(self._command, job, size)

    def send(self, index: int, rgb: Rgb) -> bool:
        """Hand over a picture; waits while the command's pipe is full. False once it is closed or reads no more."""
        process = self._process
        return process is not None and process.send(index, rgb)

    def finish(self) -> None:
        """Close the command's standard input."""
        if self._process is not None:
            self._process.finish()

    def receive(self) -> tuple[int, Rgb] | None:
        """Wait for an output; None at the end.

        Raises:
            StepError: the command refuses the job.
            SourceError: it is stuck, died, or wrote something else.
        """
        process = self._process
        if process is None:
            return None
        answer = process.receive()
        if answer is None and process.refused is not None:
            raise StepError(f"{self._command}: refuses the job: {process.refused}")
        return answer

    def close(self) -> None:
        """End the command; any number of times."""
        process, self._process = self._process, None
        if process is not None:
            process.__exit__(None, None, None)
