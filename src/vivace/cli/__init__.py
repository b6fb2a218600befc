"""The `vivace` command: parse, run, and turn every error into one message and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vivace.errors import SinkWriteError, VivaceError
from vivace.plugins import fault_of
from vivace.redaction import redact

if TYPE_CHECKING:
    from rich.console import Console

EXIT_BUG = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_READER_GONE = 141
"""Exit code, as of other programs, of a command that its output's reader has cut short (`… | head -1`)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 2 usage, 3 media, 4 device, 130 interrupted, 1 a bug of ours.

    A command whose reader goes away (`vivace verify clip.mp4 | head -1`) says nothing more and comes to its own end.

    With `VIVACE_DEBUG=1` errors that would be messages are tracebacks.
    """
    # Imported here so that `import vivace.cli` stays light.
    from cyclopts import CycloptsError
    from rich.console import Console

    from vivace.cli.app import build_app
    from vivace.settings import Settings

    tokens = list(sys.argv[1:] if argv is None else argv)
    debug = os.environ.get("VIVACE_DEBUG", "") not in ("", "0")
    # of all consoles, those of other libraries included; by itself it ends the program with code 1
    Console.on_broken_pipe = _hush  # type: ignore[assignment, method-assign]
    try:
        app = build_app(Settings.from_environment())
        code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        if sys.stdout is not None:  # None when it was closed (`vivace … >&-`): then nobody wants to know
            try:
                sys.stdout.flush()
            except BrokenPipeError:
                _let_go_of_stdout()
        return code if isinstance(code, int) else 0
    except CycloptsError as error:
        _say(str(error), "`vivace --help` lists the commands, `vivace COMMAND --help` their flags.")
        return EXIT_USAGE
    except VivaceError as error:
        if debug:
            _show_traceback(error)
        else:
            _say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _say("Interrupted.")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _let_go_of_stdout()
        return EXIT_READER_GONE
    except Exception as error:  # noqa: BLE001  (the last resort, so that a bug is reported as one)
        if debug:
            _show_traceback(error)
            return EXIT_BUG
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            _let_go_of_stdout()
            _say(f"{error.filename or 'standard output'}: {error.strerror}.", "Free some space, or write elsewhere.")
            return SinkWriteError.exit_code
        _say(
            f"Unexpected {type(error).__name__}: {error}",
            f"This is a bug in {fault_of(error)}. Please report it with what `VIVACE_DEBUG=1` shows.",
        )
        return EXIT_BUG


def _hush(console: Console) -> None:
    """Let a console, whose reader went away, print nothing more."""
    console.quiet = True
    if not console.stderr:
        _let_go_of_stdout()


def _let_go_of_stdout() -> None:
    """Point standard output at nothing: what it still holds would fail once more when Python flushes it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_traceback(error: BaseException) -> None:
    print(redact("".join(traceback.format_exception(error))), end="", file=sys.stderr)


def _say(message: str, remedy: str = "") -> None:
    """Print an error, and what to do about it, to standard error."""
    print(f"vivace: {redact(message)}", file=sys.stderr)
    if remedy:
        print(f"        {remedy}", file=sys.stderr)
