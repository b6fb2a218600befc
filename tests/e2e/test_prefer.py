"""`vivace bench prefer` for a voter and for the person who asked for the votes: a command, a page, keys, a result."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.prefer.pairs_folder import write_folders
from e2e.browsers import CHROMIUM
from patience import PATIENCE_S
from vivace.bench.prefer.ballots import read_ballot
from vivace.cli import main

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)"),
]

CLIPS = ("x/ink", "y/ink", "z/oil", "z/ink", "w/oil", "v/oil")

SIDE_OF_RED = """async () => {
  while (!(pair.currentTime > 0 && pair.readyState > 1)) await new Promise(requestAnimationFrame);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [3, 1];
  const ctx = canvas.getContext("2d");
  ctx.drawImage(pair, 0, 0, 3, 1);
  const red = (x) => ctx.getImageData(x, 0, 1, 1).data[0] > 128;
  return [0, 1, 2].filter(red);
}"""
"""Which third of the pair on the page is the output of a, which is red."""


@contextmanager
def prefer(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command; yield it, and the page's URL."""
    command = [sys.executable, "-m", "vivace", "bench", "prefer", "a", "b", "--source", "source", "--out", "votes"]
    command += ["--port", "0"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = re.search(r"http://\S+", process.stdout.readline())
            assert address is not None
            yield process, address[0]
        finally:
            process.kill()


def begin(page: Any, url: str) -> None:
    page.goto(url)
    page.fill("#voter", "Anna")
    page.keyboard.press("Enter")


def vote_for_a(page: Any, place: int) -> None:
    """Choose the red one by its key, and wait for the next."""
    page.get_by_text(f"{place + 1} of {len(CLIPS)}", exact=True).wait_for()
    [third] = page.evaluate(SIDE_OF_RED)
    assert third in (0, 2)
    page.keyboard.press("ArrowLeft" if third == 0 else "ArrowRight")


def test_a_voter_who_goes_and_comes_again_votes_by_keys_and_reads_the_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from playwright.sync_api import sync_playwright

    write_folders(tmp_path, CLIPS)
    with prefer(tmp_path) as (process, url), sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=flags)
        page, problems = browser.new_page(), []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)

        begin(page, url)
        vote_for_a(page, 0)
        vote_for_a(page, 1)
        page.get_by_text("3 of 6", exact=True).wait_for()
        begin(page, url)  # where it was left
        page.get_by_text("3 of 6", exact=True).wait_for()
        page.keyboard.press("Backspace")
        vote_for_a(page, 1)
        for place in range(2, len(CLIPS) - 1):
            vote_for_a(page, place)
        page.get_by_text("6 of 6", exact=True).wait_for()
        page.keyboard.press("ArrowDown")
        page.click("#show")
        own = page.locator("#result tbody tr").last
        own.wait_for()
        assert own.inner_text().split("\t")[:5] == ["You", "6", "5", "1", "0"]
        assert own.inner_text().endswith("92 % [52, 99]")
        assert page.locator("#share").inner_text() == "Share of a"
        begin(page, url)  # a closed ballot shows its result again
        page.locator("#result:not([hidden])").wait_for()
        assert not problems

        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        printed = process.stdout.read()
        assert process.wait(PATIENCE_S) == 0
    assert "a is preferred" in printed
    kept = read_ballot(tmp_path / "votes" / "anna.json")
    assert [vote.preferred for vote in kept.votes] == ["a"] * 5 + ["tie"]
    assert {vote.left for vote in kept.votes} == {"a", "b"}
    assert main(["bench", "votes", str(tmp_path / "votes"), "--json", str(tmp_path / "shares.json")]) == 0
    assert "92 % [52, 99]" in capsys.readouterr().out
    assert '"tie": 1' in (tmp_path / "shares.json").read_text()


def test_votes_on_other_pairs_and_a_port_in_use_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, source = map(str, write_folders(tmp_path, CLIPS[:1]))
    asked = ["bench", "prefer", a, b, "--source", source, "--out", str(tmp_path / "votes")]
    assert main([*asked, "--port", "99999"]) == 2
    assert "--port" in capsys.readouterr().err
    assert main(["bench", "votes", str(tmp_path / "votes")]) == 3
    (tmp_path / "votes" / "bo.json").write_text(
        '{"voter": "bo", "a": "x", "b": "y", "pairs": "others", "votes": [{"clip": "c", "left": "a"}]}'
    )
    assert main(asked) == 2
    assert "votes on other pairs, of x and y" in capsys.readouterr().err.replace("\n", " ")
