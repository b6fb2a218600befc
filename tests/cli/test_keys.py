"""Typing a prompt while a stream runs."""

from __future__ import annotations

import io
import os
import sys

import pytest

from vivace.cli.keys import PromptLine


def test_enter_finishes_a_line_and_starts_the_next() -> None:
    line = PromptLine(io.StringIO())
    assert line.feed("ink\nwater") == ["ink"]
    assert line.text == "water"
    assert line.feed("colour\r") == ["watercolour"]
    assert line.text == ""


def test_backspace_and_erase_line_edit() -> None:
    line = PromptLine(io.StringIO())
    line.feed("inkk\x7f")
    assert line.text == "ink"
    line.feed("\x15")
    assert line.text == ""
    line.feed("\x7f\x7f")
    assert line.text == ""


def test_an_empty_line_is_no_prompt() -> None:
    assert PromptLine(io.StringIO()).feed("\n   \n") == []


def test_control_keys_and_arrows_type_nothing() -> None:
    line = PromptLine(io.StringIO())
    line.feed("a\x04\x01b\x1b[A")
    assert line.text == "ab"


def test_without_a_terminal_nothing_is_typed() -> None:
    with PromptLine(io.StringIO("ink\n")) as line:
        assert not line.active
        assert line.poll() == []


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals on Windows")
def test_a_character_that_arrives_in_two_reads_is_one_character() -> None:
    line = PromptLine(io.StringIO())
    whole = "é".encode()
    line._pending = whole[:1]
    assert line._take() == ""
    line._pending += whole[1:]
    assert line._take() == "é"


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals on Windows")
def test_a_terminal_that_is_not_ours_is_left_alone() -> None:
    master, slave = os.openpty()
    with os.fdopen(slave, closefd=False) as stream, PromptLine(stream) as line:
        assert not line.active
    os.close(master)
    os.close(slave)


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals on Windows")
def test_a_terminal_is_given_back_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    import termios

    master, slave = os.openpty()
    # a test runner's pseudo-terminal controls no process group; ours is taken to be in the foreground
    monkeypatch.setattr(os, "tcgetpgrp", lambda fd: os.getpgrp())
    before = termios.tcgetattr(slave)
    with os.fdopen(slave, closefd=False) as stream, PromptLine(stream) as line:
        assert line.active
        assert termios.tcgetattr(slave) != before
        os.write(master, b"watercolour\n")
        assert line.poll() == ["watercolour"]
        line.restore()
        line.restore()
        assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)
