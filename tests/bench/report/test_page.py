import re
from html.parser import HTMLParser

import pytest

from bench.documents import METRICS, document, row
from bench.materials import material, picture, strip, worst
from vivace.bench.document import CaseInfo, MetricInfo, NotRun
from vivace.bench.report.material import Curve, Distribution, Material, Stages
from vivace.bench.report.page import PICTURES_BYTES, render, write_report
from vivace.errors import SinkWriteError

HOSTILE = "<script>alert('x')</script> \"quoted\" & $x^2$ \\1 ünïcode 墨 \x07"
VOID = {"meta", "img", "input", "br", "link"}


class Page(HTMLParser):
    """Parser that collects the tested parts of a page, and checks that every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.urls: list[str] = []
        self.ids: list[str] = []
        self.alts: list[str | None] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        fields = dict(attrs)
        self.tags.append(tag)
        self.urls += [fields[name] for name in ("src", "href", "srcset", "action", "data") if name in fields]
        self.ids += [fields["id"]] if "id" in fields else []
        if tag == "img":
            self.alts.append(fields.get("alt"))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if not self._open or self._open[-1] != "style":
            self.text += data


@pytest.fixture(scope="module")
def whole() -> str:
    return render(document(), material())


def test_nothing_is_fetched(whole):
    page = Page(whole)
    assert all(url.startswith(("data:image/", "#")) for url in page.urls)
    assert all(target.startswith("#") for target in re.findall(r"url\(\s*['\"]?([^)]+)", whole))
    assert "@import" not in whole
    assert "script" not in page.tags
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in whole


def test_links_within_the_page_lead_somewhere(whole):
    page = Page(whole)
    assert {url[1:] for url in page.urls if url.startswith("#")} <= set(page.ids)


def test_no_name_is_given_twice(whole):
    ids = Page(whole).ids
    assert len(ids) == len(set(ids))


def test_every_metric_is_in_the_page_with_its_meaning_and_source(whole):
    text = Page(whole).text
    for metric in METRICS:
        assert metric.title in text
        assert metric.meaning in text
        assert metric.key in text


def test_a_metric_nobody_has_a_value_for_is_still_listed():
    extra = MetricInfo(
        key="none", title="Never said", group="quality", unit="", direction="higher", meaning="m", source="s"
    )
    assert "Never said" in Page(render(document(metrics=[*METRICS, extra]), Material())).text


def test_what_was_measured_can_be_read_and_repeated(whole):
    text = Page(whole).text
    for fact in (
        "Example CPU, 2 cores",
        "0123456789ab",
        "vivace bench all --model mini",
        "seed 0",
        "quick",
        "[256, 256]",
    ):
        assert fact in text
    assert "2026-01-02 03:04:05 UTC" in text


def test_faults_and_what_was_not_run_are_told(whole):
    text = Page(whole).text
    assert "brightness alternates by ±2 %" in text
    assert "caught" in text
    assert "needs transformers" in text


def test_where_a_baseline_wins_is_shown(whole):
    text = Page(whole).text
    assert "Where a baseline does better than mini" in text
    assert whole.count('title="does better than mini"') >= 5


def test_a_busy_machine_is_told_beside_its_times(whole):
    busy = document().machine.model_copy(update={"load_average": (3.0, 2.0, 1.0)})
    assert "busy when the run began" not in whole
    assert render(document(machine=busy), Material()).count("busy when the run began (load 3.0 on 2 cores)") == 2


def test_every_picture_says_what_it_shows(whole):
    alts = Page(whole).alts
    assert None not in alts
    assert "mini at 0.50 s" in alts
    assert "mini, frame 7" in alts


def test_a_system_that_changes_nothing_shares_the_row_of_the_source(whole):
    assert "passthrough at 0.50 s" not in whole
    assert Page(whole).alts.count("source at 0.50 s") == 1


def test_the_outline_is_drawn_over_every_picture_of_a_masked_strip():
    masked, plain = (render(document(), Material(strips=(one,))) for one in (strip(), strip(masks=None)))
    assert masked.count('class="outline"') == 9
    assert 'class="outline"' not in plain


def test_equal_input_gives_equal_bytes(whole):
    assert render(document(), material()) == whole


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("strips", ["Pictures"]),
        ("worst", ["Worst frames"]),
        ("stages", ["Stage by stage"]),
        ("curves", ["Cost of a frame over time", "Brightness over time", "Drift"]),
        ("distributions", ["Latency of all frames"]),
    ],
)
def test_material_that_is_not_there_leaves_no_trace(whole, part, names):
    full = material()
    less = Material(**{name: () if name == part else getattr(full, name) for name in Material.__dataclass_fields__})
    text, all_text = Page(render(document(), less)).text, Page(whole).text
    for name in names:
        assert name in all_text
        assert name not in text


def test_a_document_of_one_group_has_no_other_sections():
    speed = [m for m in METRICS if m.group == "speed"]
    made = document([row("mini", 1.0, metrics=speed)], metrics=speed, cases=[], planted_faults=[], not_run=[])
    text = Page(render(made, Material())).text
    assert "Cost of a frame" in text
    for name in ("Latency", "Quality", "Not run", "Planted", "baseline", "Clip by clip"):
        assert name not in text


@pytest.mark.parametrize("rows", [[], [row("passthrough", 0.0, role="baseline")]])
def test_a_document_without_a_subject_is_a_page_too(rows):
    assert "Baselines" in Page(render(document(rows), Material())).text


@pytest.mark.filterwarnings("error")
def test_hostile_words_are_shown_as_words():
    described = [
        METRICS[0].model_copy(update={"title": HOSTILE, "meaning": HOSTILE, "unit": HOSTILE, "source": HOSTILE})
    ]
    quality = METRICS[2].model_copy(update={"title": HOSTILE, "unit": HOSTILE})
    made = document(
        [row(HOSTILE, 1.0, about=HOSTILE, metrics=[*described, quality])],
        metrics=[*described, quality],
        cases=[CaseInfo(case=HOSTILE, about=HOSTILE, prompt=HOSTILE)],
        command=["vivace", HOSTILE],
        settings={HOSTILE: HOSTILE, "list": [HOSTILE]},
        not_run=[NotRun(what=HOSTILE, reason=HOSTILE)],
    )
    shown = Material(
        strips=(strip(case=HOSTILE, title=HOSTILE, rows={HOSTILE: [picture(i) for i in range(3)]}),),
        worst=(worst(metric=HOSTILE, system=HOSTILE, why=HOSTILE, pictures={HOSTILE: picture(0)}),),
        curves=(Curve("drift", HOSTILE, HOSTILE, HOSTILE, [0, 1], {HOSTILE: [0.0, 1.0]}, HOSTILE),),
        distributions=(Distribution("latency", HOSTILE, HOSTILE, {HOSTILE: [1.0, 2.0]}, {HOSTILE: 1.5}),),
        stages=(Stages(HOSTILE, {HOSTILE: {HOSTILE: 1.0}}),),
    )
    html = render(made, shown)
    page = Page(html)
    assert "script" not in page.tags
    assert "<script" not in html
    assert page.text.count("<script>alert('x')</script>") > 15


def test_many_pictures_still_make_a_page_that_can_be_sent():
    noise = [picture(i, (512, 384)) for i in range(30)]
    many = Material(strips=tuple(strip(rows={"source": noise[i : i + 3]}, masks=None) for i in range(0, 27, 3)))
    assert len(render(document(), many)) < PICTURES_BYTES + 1_500_000


def test_the_page_is_written_and_what_cannot_be_is_said(tmp_path):
    write_report(tmp_path / "report.html", document())
    assert (tmp_path / "report.html").read_text("utf-8").startswith("<!doctype html>")
    with pytest.raises(SinkWriteError, match="cannot be written"):
        write_report(tmp_path / "none" / "report.html", document())
