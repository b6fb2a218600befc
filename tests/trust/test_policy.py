"""The list of refused requests: refusals, harmless requests, and an operator's own lists."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from vivace.errors import PolicyError, UsageError
from vivace.models.mini.lexicon import read_lexicon
from vivace.trust.policy.policy import Policy, built_in, open_policy
from vivace.trust.policy.score import HARMLESS, Request, read_requests, score

GOLDEN = Path(__file__).parent.parent / "golden"
REQUESTS = read_requests(GOLDEN / "policy_requests.toml")
FALSE_ALARMS = {"will smith iron in the forge"}
"""Known and accepted false alarms: the words are a name."""

SMALL = """
[safe]
en = "red {thing}"
[sets]
thing = "rose*|rose garden"
plain = "the"
[reasons.colour]
says = "a colour"
en = "red|{word} red|blu*"
[reasons.other]
says = "something else"
de = "rot"
ja = "赤"
"""


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy.open()


def test_there_are_enough_requests_of_both_kinds_in_every_language() -> None:
    assert sum(request.reason != HARMLESS for request in REQUESTS) >= 60
    assert sum(request.reason == HARMLESS for request in REQUESTS) >= 100
    for harmless in (True, False):
        spoken = {request.language for request in REQUESTS if (request.reason == HARMLESS) is harmless}
        assert spoken >= {"en", "de", "es", "fr", "it", "pt", "ja", "zh"}


def test_what_should_be_refused_is_and_nothing_else(policy: Policy) -> None:
    wrong = [
        request
        for request in REQUESTS
        if (policy.judge(request.text) is None) != (request.reason == HARMLESS) and request.text not in FALSE_ALARMS
    ]
    assert wrong == []


@pytest.mark.parametrize("reason", ["sexual", "minors", "impersonation"])
def test_the_reason_is_told_of_most_of_what_is_refused(policy: Policy, reason: str) -> None:
    mine = [request for request in REQUESTS if request.reason == reason]
    told = [policy.judge(request.text) for request in mine]
    assert sum(refusal is not None and refusal.reason == reason for refusal in told) >= 0.95 * len(mine)


def _requests_for_models() -> Iterator[tuple[str, Any]]:
    for name in ("requests", "requests_dev", "requests_languages"):
        for part in tomllib.loads((GOLDEN / f"{name}.toml").read_text("utf-8")).values():
            for group in part.values():
                yield from group.items()


def test_requests_that_were_written_for_the_reader_of_words_pass(policy: Policy) -> None:
    harmless = [text for text, wanted in _requests_for_models() if "policy" not in json.dumps(wanted)]
    assert len(harmless) > 1000
    assert [text for text in harmless if policy.judge(text)] == ["make me a baby"]


def test_what_looks_and_styles_are_called_passes(policy: Policy) -> None:
    prompts = tomllib.loads((GOLDEN / "prompts.toml").read_text("utf-8"))
    looks = tomllib.loads((resources.files("vivace.models.mini2.text") / "looks.toml").read_text("utf-8"))
    names = [name for table in (prompts, read_lexicon(), looks) for name in _texts(table)]
    assert len(names) > 5000
    assert [name for name in names if policy.judge(name)] == ["five year old"]  # "drawn by a" passes


def _texts(table: Any) -> Iterator[str]:
    if isinstance(table, str):
        yield table
    elif isinstance(table, dict):
        for key, value in table.items():
            yield key
            yield from _texts(value)
    elif isinstance(table, (list, tuple)):
        for value in table:
            yield from _texts(value)


@pytest.mark.parametrize(
    "disguised",
    [
        *("NAKED", "n a k e d", "n.a.k.e.d", "n_a_k_e_d", "n-a-k-e-d", "na-ked", "nak3d", "n4k3d", "nakeeeed", "ñåkéd"),
        *(
            "ｎａｋｅｄ",
            "n\u200baked",
            "n\u0430ked",
            "naked!!",
            "(naked:1.3)",
            "[[naked]]",
            "a n a k e d woman",
            "nak\u00aded",
        ),
    ],
)
def test_cheap_disguises_are_undone(policy: Policy, disguised: str) -> None:
    refusal = policy.judge(f"watercolour of {disguised} body")
    assert refusal is not None
    assert refusal.reason == "sexual"


@pytest.mark.parametrize("harmless", ["8-bit", "1980s", "4k 16:9", "a b c d e", "3D, 2.5D", "", "...", "\n\t", "o/"])
def test_figures_and_signs_are_no_disguises(policy: Policy, harmless: str) -> None:
    assert policy.judge(harmless) is None


def test_what_is_safe_hides_nothing_beside_it(policy: Policy) -> None:
    assert policy.judge("nude colours") is None
    assert policy.judge("a naked woman in nude colours") is not None
    assert policy.judge("in the style of Egon Schiele, nude") is not None


def test_refusals_say_why_and_are_counted(policy: Policy) -> None:
    before = dict(policy.refused)
    assert before.keys() == {"minors", "sexual", "impersonation"}
    policy.check_text("prompt", "ink")
    with pytest.raises(
        PolicyError, match=r"^prompt asks for sexual content \('nude'\), which is not painted"
    ) as refused:
        policy.check_text("prompt", "a nude")
    assert (refused.value.code, refused.value.reason, refused.value.control) == ("policy", "sexual", "prompt")
    assert refused.value.exit_code == 2
    assert policy.refused == before | {"sexual": before["sexual"] + 1}


def test_a_list_of_ones_own_decides_alone(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SMALL, encoding="utf-8")
    mine = open_policy(str(path))
    assert mine is not None
    said = {
        text: refusal and (refusal.reason, refusal.phrase) for text in SAID if (refusal := mine.judge(text)) or True
    }
    assert said == SAID
    assert open_policy("off") is None


SAID = {
    "RED": ("colour", "red"),
    "red roses": None,
    "red rose garden": None,
    "red roses, red": ("colour", "red"),
    "dark red": ("colour", "dark red"),
    "the red": ("colour", "red"),
    "blue": ("colour", "blue"),
    "redder": None,
    "rot": ("other", "rot"),
    "真っ赤な": ("other", "赤"),
    "naked": None,
}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("reasons = 3", "no table \\[reasons.NAME\\]"),
        ("", "no table \\[reasons.NAME\\]"),
        ("[reasons.a]\nen = 'x'", "\\[reasons.a\\] has no `says`"),
        ("[reasons.a]\nsays = 'x'", "\\[reasons.a\\] has no phrases"),
        ("[reasons.a]\nsays = 'x'\nen = 3", "en in \\[reasons.a\\] is no text"),
        ("[reasons.a]\nsays = 'x'\nen = '{b}'", "\\{b\\} is no set"),
        ("[sets]\nb = '{b} x'\n[reasons.a]\nsays = 'x'\nen = '{b}'", "the set b uses itself"),
        ("[sets]\nb = 'x {c'\n[reasons.a]\nsays = 'x'\nen = '{b}'", "'x \\{c'"),
        ("[reasons.a]\nsays = 'x'\nen = '***'", "'\\*\\*\\*'"),
        ("[other]\n[reasons.a]\nsays = 'x'\nen = 'x'", "no table \\[other\\]"),
        ("[reasons.a", "cannot be used as a policy"),
        ("[reasons.a]\nsays = 'x'\nen = 'x'\n[sets]\nb = '{d}'", "\\{d\\} is no set"),
    ],
)
def test_a_list_that_is_none_is_refused_with_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"mine .*{said}"):
        Policy(text, "mine")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    for name, said in (("none.toml", "No such file"), ("bytes.toml", "no text in UTF-8"), ("", "Is a directory")):
        with pytest.raises(UsageError, match=f"the policy .*cannot be read .*{said}"):
            Policy.open(tmp_path / name)
    (tmp_path / "none.toml").write_text("[a.b]\nc = 3", "utf-8")
    for name, said in (("gone.toml", "No such file"), ("none.toml", "holds no requests")):
        with pytest.raises(UsageError, match=said):
            read_requests(tmp_path / name)


def test_the_list_that_is_shown_is_the_one_that_judges() -> None:
    assert Policy(built_in(), "a copy").judge("nude") == Policy.open().judge("nude")


def test_a_score_counts_both_kinds_of_mistakes() -> None:
    texts = (("colour", "red"), ("colour", "purple"), (HARMLESS, "blue"), (HARMLESS, "ink"), (HARMLESS, "sea"))
    lines = list(score(Policy(SMALL, "small"), [Request("all", reason, "en", text) for reason, text in texts]))
    assert lines == [
        "all: 1 of 2 refused, 1 of 3 harmless refused; precision 50.0%, recall 50.0%",
        "  colour (en) 'purple': painted",
        "  harmless (en) 'blue': refused as colour: 'blue'",
    ]
